// gRPC-Web. The input is a conversation: lines with the request's Content-Type and Accept, the
// response's Content-Type and the fields of its trailers, an empty line, and the request's text.
// What must hold for any bytes: what is no request of gRPC-Web is left alone, and one that is has
// become one of gRPC; base64 has the verdict and bytes of a plain decoder, however it is cut;
// what was decoded, encoded and decoded again is the same; a frame of trailers says what they said.
#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/check.h"
#include "dataplane/proxy/grpc.h"
#include "dataplane/proxy/grpc_web.h"

namespace ringway::proxy {
namespace {

struct Conversation {
  std::string_view type, accept, response_type;
  std::vector<std::string_view> trailers;
  std::string_view text;
};

// As the codecs leave values: without line ends, NUL, and space around them.
std::string_view value_of(std::string_view line) {
  line = line.substr(0, line.find_first_of(std::string_view("\r\0", 2)));
  while (line.starts_with(' ') || line.starts_with('\t')) line.remove_prefix(1);
  while (line.ends_with(' ') || line.ends_with('\t')) line.remove_suffix(1);
  return line;
}

Conversation parse(std::string_view input) {
  Conversation out;
  for (size_t number = 0; !input.empty(); ++number) {
    const size_t end = input.find('\n');
    const std::string_view line = value_of(input.substr(0, end));
    input = end == std::string_view::npos ? std::string_view() : input.substr(end + 1);
    if (number == 0) {
      out.type = line;
    } else if (number == 1) {
      out.accept = line;
    } else if (number == 2) {
      out.response_type = line;
    } else if (line.empty()) {
      break;
    } else {
      out.trailers.push_back(line);
    }
  }
  out.text = input;
  return out;
}

struct Buffers {
  io::BufferPool pool{{.buffer_bytes = 256, .buffers = 8, .buffers_max = 4096}};
  io::SliceQueue queue;
  std::string take() {
    std::string out;
    while (!queue.empty()) out += queue.pop().view();
    return out;
  }
};

// RFC 4648 section 4 by whole quanta, padded or not, one behind the other.
std::optional<std::string> plain_decode(std::string_view text) {
  static constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  if (text.size() % 4 != 0) return std::nullopt;
  std::string out;
  for (; !text.empty(); text.remove_prefix(4)) {
    std::string_view quantum = text.substr(0, 4);
    while (quantum.size() > 2 && quantum.ends_with('=')) quantum.remove_suffix(1);
    uint32_t bits = 0;
    for (const char c : quantum) {
      const size_t value = kDigits.find(c);
      if (value == std::string_view::npos) return std::nullopt;
      bits = bits << 6 | static_cast<uint32_t>(value);
    }
    bits <<= 6 * (4 - quantum.size());
    for (size_t i = 0; i + 1 < quantum.size(); ++i) out += static_cast<char>(bits >> (16 - 8 * i));
  }
  return out;
}

// A decoder of text; its response's form does not matter.
GrpcWeb text_decoder(Buffers& buffers) {
  GrpcWeb web;
  http::RequestHead head;
  head.method = http::Method::kPost;
  head.headers.add(http::HeaderName::kContentType, "application/grpc-web-text");
  CHECK(web.begin(head) && web.decodes() && buffers.queue.empty());
  return web;
}

std::optional<std::string> decode(std::string_view text, size_t step) {
  Buffers buffers;
  GrpcWeb web = text_decoder(buffers);
  bool good = true;
  for (size_t at = 0; good && at < text.size(); at += step) {
    const bool end = at + step >= text.size();
    good = web.decode(text.substr(at, step), end, buffers.queue, buffers.pool);
  }
  good = good && web.complete();
  std::string bytes = buffers.take();
  CHECK(buffers.pool.in_use() == 0 && bytes.size() <= text.size() / 4 * 3 + 3);
  return good ? std::optional(std::move(bytes)) : std::nullopt;
}

void check_text(std::string_view text) {
  const std::optional<std::string> plain = plain_decode(text);
  for (const size_t step : {size_t{1}, size_t{2}, size_t{3}, size_t{7}, size_t{1021}, text.size()})
    CHECK(decode(text, std::max<size_t>(step, 1)) == plain);
  // Whatever the bytes are, as a message of an endpoint.
  Buffers buffers;
  const std::string_view bytes = plain ? std::string_view(*plain) : text;
  GrpcWeb::encode(bytes, buffers.queue, buffers.pool);
  const std::string encoded = buffers.take();
  CHECK(encoded.size() == (bytes.size() + 2) / 3 * 4);
  CHECK(plain_decode(encoded) == std::string(bytes));
  CHECK(decode(encoded, 5) == std::string(bytes));
}

void check_heads(const Conversation& talk) {
  http::RequestHead head;
  head.method = http::Method::kPost;
  head.headers.add(http::HeaderName::kContentType, talk.type);
  if (!talk.accept.empty()) head.headers.add(http::HeaderName::kAccept, talk.accept);
  head.headers.add(http::HeaderName::kContentLength, "4");
  head.body = {http::BodyKind::kKnown, 4};
  GrpcWeb web;
  if (!web.begin(head)) {
    CHECK(!web.active() && !web.decodes() && !web.encodes());
    CHECK(head.headers.find(http::HeaderName::kContentType)->value() == talk.type);
    CHECK(head.headers.has(http::HeaderName::kAccept) == !talk.accept.empty());
    CHECK(head.body.kind == http::BodyKind::kKnown);
    return;
  }
  CHECK(web.active() && is_grpc(head.headers) && !head.headers.has(http::HeaderName::kAccept));
  CHECK((head.body.kind == http::BodyKind::kChunked) == web.decodes());
  CHECK(head.headers.has(http::HeaderName::kContentLength) != web.decodes());
  for (const bool end : {false, true}) {
    GrpcWeb of_response = web;
    http::ResponseHead response;
    response.status = 200;
    response.headers.add(http::HeaderName::kContentType, talk.response_type);
    response.body = {http::BodyKind::kKnown, 4};
    const bool grpc = is_grpc(response.headers);
    of_response.translate(response, end);
    const std::string_view type = response.headers.find(http::HeaderName::kContentType)->value();
    CHECK(of_response.active() == grpc);
    CHECK(grpc ? type.starts_with("application/grpc-web") : type == talk.response_type);
    CHECK(!grpc || type.starts_with("application/grpc-web-text") == web.encodes());
    CHECK((response.body.kind == http::BodyKind::kChunked) == (grpc && !end));
  }
}

void check_trailers(const Conversation& talk) {
  http::HeaderList trailers;
  std::string expected;
  for (const std::string_view line : talk.trailers) {
    const size_t colon = line.find(':');
    if (colon == 0 || colon == std::string_view::npos) continue;
    const std::string_view name = line.substr(0, colon), value = value_of(line.substr(colon + 1));
    if (!trailers.add(http::HeaderName::kOther, name, value)) break;
    for (const char c : name)
      expected += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    expected.append(": ").append(value).append("\r\n");
  }
  const std::string_view frame = GrpcWeb::trailers_frame(trailers);
  CHECK(frame.size() == 5 + expected.size() && static_cast<uint8_t>(frame[0]) == 0x80);
  uint32_t length = 0;
  for (size_t i = 1; i < 5; ++i) length = length << 8 | static_cast<uint8_t>(frame[i]);
  CHECK(length == expected.size() && frame.substr(5) == expected);
}

}  // namespace
}  // namespace ringway::proxy

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ringway::proxy;
  const Conversation talk = parse({reinterpret_cast<const char*>(data), size});
  check_heads(talk);
  check_trailers(talk);
  check_text(talk.text);
  return 0;
}
