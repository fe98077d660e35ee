#include "dataplane/upstream/health_exchange.h"

#include <algorithm>

#include "dataplane/http/h1_client_codec.h"
#include "dataplane/http/h2_client_codec.h"

namespace ringway::upstream {
namespace {

constexpr size_t kBodyBytesMax = 4096;  // HttpCheck.body_contains is looked for in this much.
constexpr size_t kGrpcPrefixBytes = 5;  // A flag and the length (PROTOCOL-HTTP2.md).
constexpr uint64_t kServing = 1;        // HealthCheckResponse.ServingStatus
const http::Limits kLimits;             // Of what a response may be; the codec keeps a reference.

// Base 128 of protobuf. False: cut short or too long.
bool read_varint(std::string_view& bytes, uint64_t& value) {
  value = 0;
  for (uint32_t shift = 0; shift < 64 && !bytes.empty(); shift += 7) {
    const auto byte = static_cast<uint8_t>(bytes.front());
    bytes.remove_prefix(1);
    value |= uint64_t{byte & 0x7Fu} << shift;
    if ((byte & 0x80) == 0) return true;
  }
  return false;
}

}  // namespace

bool says_serving(std::string_view body) {
  if (body.size() < kGrpcPrefixBytes || body[0] != 0) return false;  // Compressed: we ask for none.
  uint64_t length = 0;
  for (size_t i = 1; i < kGrpcPrefixBytes; ++i)
    length = length << 8 | static_cast<uint8_t>(body[i]);
  body.remove_prefix(kGrpcPrefixBytes);
  if (length != body.size()) return false;
  uint64_t status = 0;
  while (!body.empty()) {
    uint64_t tag = 0;
    uint64_t value = 0;
    if (!read_varint(body, tag) || !read_varint(body, value)) return false;
    switch (tag & 7) {
      case 0:
        if (tag >> 3 == 1) status = value;  // The last one counts.
        break;
      case 2:  // Of a later version of the message.
        if (value > body.size()) return false;
        body.remove_prefix(value);
        break;
      default:
        return false;
    }
  }
  return status == kServing;
}

std::string health_check_request(std::string_view service) {
  std::string message;
  if (!service.empty()) {
    message = "\x0A";  // Field 1, a string.
    uint64_t length = service.size();
    for (; length >= 0x80; length >>= 7) message += static_cast<char>(length | 0x80);
    message += static_cast<char>(length);
    message += service;
  }
  std::string framed(1, '\0');
  for (int shift = 24; shift >= 0; shift -= 8) {
    framed += static_cast<char>(message.size() >> shift & 0xFF);
  }
  return framed + message;
}

HealthExchange::HealthExchange(io::Ring& ring, const HealthCheckPolicy& policy,
                               const EndpointState& endpoint)
    : ring_(ring), policy_(policy), endpoint_(endpoint) {
  http::ClientSink& sink = *this;
  if (is_http2(endpoint.protocol)) {
    codec_ = std::make_unique<http::H2ClientCodec>(
        sink, output, ring.output_pool(), kLimits,
        http::H2ClientCodec::Options{.tls = is_tls(endpoint.protocol)});
  } else {
    codec_ = std::make_unique<http::H1ClientCodec>(sink, output, ring.output_pool(), kLimits);
  }
}

HealthExchange::~HealthExchange() = default;

void HealthExchange::begin() {
  if (!policy_.host.empty()) {
    request_.authority = policy_.host;
  } else if (endpoint_.address.family() == AF_UNIX) {
    request_.authority = "localhost";
  } else {
    request_.authority = endpoint_.text;
  }
  request_.headers.add(http::HeaderName::kHost, request_.authority);
  request_.headers.add(http::HeaderName::kUserAgent, "ringway-health-check/" RINGWAY_VERSION);
  const http::StreamId stream = codec_->open();
  if (!is_grpc()) {
    request_.method = http::Method::kGet;
    request_.method_text = "GET";
    request_.path = policy_.path;
    request_.headers.add(http::HeaderName::kAccept, "*/*");
    return codec_->send_head(stream, request_, true);
  }
  request_.method = http::Method::kPost;
  request_.method_text = "POST";
  request_.path = "/grpc.health.v1.Health/Check";
  request_.headers.add(http::HeaderName::kContentType, "application/grpc");
  request_.headers.add(http::HeaderName::kTe, "trailers");
  request_.body.kind = http::BodyKind::kChunked;
  codec_->send_head(stream, request_, false);
  io::SliceQueue body;
  body.append_copy(ring_.output_pool(), health_check_request(policy_.grpc_service));
  while (!body.empty()) {
    io::Slice piece = body.pop();
    codec_->send_body(stream, std::move(piece), body.empty());
  }
}

void HealthExchange::feed(io::Slice data) { codec_->feed(std::move(data)); }

void HealthExchange::on_end_of_input() {
  codec_->on_end_of_input();
  judge(Verdict::kFail, "connection closed");
}

void HealthExchange::on_response_head(http::StreamId, http::ResponseHead& head, bool end) {
  if (is_grpc()) {
    if (head.status != 200) return judge(Verdict::kFail, "unexpected status");
    if (end) judge_grpc(head.headers);
    return;
  }
  const bool expected = std::ranges::any_of(policy_.expected, [&head](const StatusRange& range) {
    return head.status >= range.first && head.status <= range.last;
  });
  if (!expected) return judge(Verdict::kFail, "unexpected status");
  if (policy_.body_contains.empty()) return judge(Verdict::kPass, "");
  if (end) judge(Verdict::kFail, "text not found");
}

void HealthExchange::on_response_body(http::StreamId, io::Slice data, bool end) {
  if (verdict) return;
  body_.append(data.view().substr(0, kBodyBytesMax - body_.size()));
  if (!is_grpc()) return judge_text(end);
  if (end || body_.size() == kBodyBytesMax) judge(Verdict::kFail, "not a gRPC response");
}

void HealthExchange::judge_text(bool end) {
  if (body_.find(policy_.body_contains) != std::string::npos) return judge(Verdict::kPass, "");
  if (end || body_.size() == kBodyBytesMax) judge(Verdict::kFail, "text not found");
}

void HealthExchange::on_response_trailers(http::StreamId, const http::HeaderList& trailers) {
  is_grpc() ? judge_grpc(trailers) : judge(Verdict::kFail, "text not found");
}

void HealthExchange::judge_grpc(const http::HeaderList& fields) {
  const http::Header* status = fields.find(http::HeaderName::kGrpcStatus);
  if (status == nullptr) return judge(Verdict::kFail, "not a gRPC response");
  if (status->value() == "12") {
    return judge(Verdict::kFail, "grpc.health.v1.Health is not implemented");
  }
  if (status->value() == "5") return judge(Verdict::kFail, "gRPC service unknown to the server");
  if (status->value() != "0") return judge(Verdict::kFail, "unexpected gRPC status");
  says_serving(body_) ? judge(Verdict::kPass, "") : judge(Verdict::kFail, "not serving");
}

void HealthExchange::on_response_error(http::StreamId, http::Error) {
  judge(Verdict::kFail, "malformed or truncated response");
}

void HealthExchange::judge(Verdict v, std::string_view why) {
  if (verdict) return;
  verdict = v;
  reason = why;
}

}  // namespace ringway::upstream
