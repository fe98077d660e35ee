#include "dataplane/upstream/health_probe.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "dataplane/http/h1_client_codec.h"

namespace ringway::upstream {
namespace {

constexpr size_t kBodyBytesMax = 4096;  // HttpCheck.body_contains is looked for in this much.
const http::Limits kLimits;             // Of what a response may be; the codec keeps a reference.

}  // namespace

// Judges as events come; the probe asks for the judgement after the codec has returned.
struct HealthProbe::Exchange final : http::ClientSink {
  Exchange(io::Ring& ring, const HealthCheckPolicy& p, const EndpointState& endpoint)
      : policy(p), codec(*this, output, ring.output_pool(), kLimits) {
    request.method = http::Method::kGet;
    request.method_text = "GET";
    request.path = policy.path;
    if (!policy.host.empty()) {
      request.authority = policy.host;
    } else if (endpoint.address.family() == AF_UNIX) {
      request.authority = "localhost";
    } else {
      request.authority = endpoint.text;
    }
    request.headers.add(http::HeaderName::kHost, request.authority);
    request.headers.add(http::HeaderName::kUserAgent, "ringway-health-check/" RINGWAY_VERSION);
    request.headers.add(http::HeaderName::kAccept, "*/*");
    codec.send_head(codec.open(), request, true);
  }

  http::ResponseHead* new_response_head(http::StreamId) override { return &response; }
  void on_interim_response(http::StreamId, http::ResponseHead&) override {}
  void on_response_head(http::StreamId, http::ResponseHead& head, bool end) override {
    const bool expected = std::ranges::any_of(policy.expected, [&head](const StatusRange& range) {
      return head.status >= range.first && head.status <= range.last;
    });
    if (!expected) return judge(Verdict::kFail, "unexpected status");
    if (policy.body_contains.empty()) return judge(Verdict::kPass, "");
    if (end) judge(Verdict::kFail, "text not found");
  }
  void on_response_body(http::StreamId, io::Slice data, bool end) override {
    if (verdict) return;
    body.append(data.view().substr(0, kBodyBytesMax - body.size()));
    if (body.find(policy.body_contains) != std::string::npos) return judge(Verdict::kPass, "");
    if (end || body.size() == kBodyBytesMax) judge(Verdict::kFail, "text not found");
  }
  void on_response_trailers(http::StreamId, const http::HeaderList&) override {
    judge(Verdict::kFail, "text not found");
  }
  void on_response_error(http::StreamId, http::Error) override {
    judge(Verdict::kFail, "malformed or truncated response");
  }

  void judge(Verdict v, std::string_view why) {
    if (verdict) return;
    verdict = v;
    reason = why;
  }

  const HealthCheckPolicy& policy;
  io::SliceQueue output;
  http::RequestHead request;
  http::ResponseHead response;
  std::string body;
  std::optional<Verdict> verdict;
  std::string_view reason;
  http::H1ClientCodec codec;  // Last: refers to the others.
};

HealthProbe::HealthProbe(io::Ring& ring, const HealthCheckPolicy& policy,
                         const EndpointState& endpoint, Owner& owner)
    : ring_(ring), policy_(policy), endpoint_(endpoint), owner_(owner) {
  io::bind<&HealthProbe::on_connect>(connect_, *this);
  io::bind<&HealthProbe::on_send>(send_, *this);
  io::bind<&HealthProbe::on_recv>(recv_, *this);
  io::bind<&HealthProbe::on_close>(close_, *this);
}

HealthProbe::~HealthProbe() { CHECK(state_ == State::kNew || state_ == State::kDone); }

void HealthProbe::start() {
  CHECK(state_ == State::kNew);
  const auto socket = ring_.open_stream(endpoint_.address.family(), {});
  if (!socket) {
    state_ = State::kDone;
    return owner_.on_probe_done(*this, Verdict::kUnknown, "no socket");  // May destroy *this.
  }
  socket_ = *socket;
  state_ = State::kConnecting;
  ring_.connect(connect_, socket_, endpoint_.address);
}

void HealthProbe::time_out() { conclude(Verdict::kFail, "timeout"); }
void HealthProbe::drain() { conclude(Verdict::kUnknown, "drained"); }

void HealthProbe::on_connect(io::Completion&& completion) {
  if (state_ == State::kClosing) return close_if_quiet();
  if (completion.result < 0) return conclude(Verdict::kFail, "connect failed");
  if (policy_.kind != HealthCheckPolicy::Kind::kHttp) return conclude(Verdict::kPass, "");
  begin_exchange();
}

void HealthProbe::begin_exchange() {
  state_ = State::kExchanging;
  exchange_ = std::make_unique<Exchange>(ring_, policy_, endpoint_);
  ring_.recv(recv_, socket_, io::RecvMode::kOnce);
  send();
}

void HealthProbe::send() {
  const io::Slice& first = exchange_->output.front();
  vector_ = {const_cast<std::byte*>(first.data()), first.size()};
  ring_.send(send_, socket_, {&vector_, 1});
}

void HealthProbe::on_send(io::Completion&& completion) {
  if (state_ == State::kClosing) return close_if_quiet();
  if (completion.result <= 0) return;  // The receive tells why, or an answer that came before.
  exchange_->output.consume(static_cast<size_t>(completion.result));
  if (!exchange_->output.empty()) send();
}

void HealthProbe::on_recv(io::Completion&& completion) {
  if (state_ == State::kClosing) return close_if_quiet();
  if (completion.result < 0) return conclude(Verdict::kFail, "connection broken");
  if (completion.result == 0) {
    exchange_->codec.on_end_of_input();
    exchange_->judge(Verdict::kFail, "connection closed");
  } else {
    exchange_->codec.feed(std::move(completion.data));
  }
  if (exchange_->verdict) return conclude(*exchange_->verdict, exchange_->reason);
  ring_.recv(recv_, socket_, io::RecvMode::kOnce);
}

void HealthProbe::conclude(Verdict verdict, std::string_view reason) {
  if (state_ == State::kClosing || state_ == State::kDone) return;
  CHECK(state_ != State::kNew);
  verdict_ = verdict;
  reason_ = reason;
  state_ = State::kClosing;
  if (connect_.in_flight) ring_.cancel(connect_);
  if (send_.in_flight) ring_.cancel(send_);
  if (recv_.in_flight) ring_.cancel(recv_);
  close_if_quiet();
}

void HealthProbe::close_if_quiet() {
  if (connect_.in_flight || send_.in_flight || recv_.in_flight || close_.in_flight) return;
  exchange_.reset();
  ring_.close(close_, socket_);
}

void HealthProbe::on_close(io::Completion&&) {
  state_ = State::kDone;
  owner_.on_probe_done(*this, verdict_, reason_);  // May destroy *this.
}

}  // namespace ringway::upstream
