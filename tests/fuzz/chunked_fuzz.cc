// The chunked coding. What must hold for any bytes: the same data and verdict for every cut, never
// more data than bytes that came, and data that was decoded, written as chunks and decoded again is
// the same.
#include <algorithm>
#include <cstdint>
#include <string>

#include "base/check.h"
#include "dataplane/http/chunked_decoder.h"
#include "dataplane/http/codec_testing.h"

namespace ringway::http::testing {
namespace {

constexpr uint32_t kExtensionBytesMax = 256;

struct Decoded {
  std::string data;
  ChunkedDecoder::Event end = ChunkedDecoder::Event::kMore;
  size_t consumed = 0;
  bool operator==(const Decoded&) const = default;
};

// `piece`: how many bytes the decoder sees at a time.
Decoded decode(std::string_view text, size_t piece) {
  Decoded decoded;
  ChunkedDecoder decoder;
  while (decoded.consumed < text.size()) {
    std::string_view in = text.substr(decoded.consumed, piece - decoded.consumed % piece);
    const ChunkedDecoder::Step step = decoder.next(in, kExtensionBytesMax);
    if (step.event == ChunkedDecoder::Event::kError) {
      decoded.end = step.event;
      decoded.consumed = 0;  // Where the error was seen depends on the cut, that it was does not.
      return decoded;
    }
    CHECK(step.bytes > 0 && step.bytes <= in.size());
    if (step.event == ChunkedDecoder::Event::kData) decoded.data += in.substr(0, step.bytes);
    decoded.consumed += step.bytes;
    if (step.event == ChunkedDecoder::Event::kLast) {
      decoded.end = step.event;
      return decoded;
    }
  }
  return decoded;
}

}  // namespace
}  // namespace ringway::http::testing

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ringway::http;
  using namespace ringway::http::testing;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const Decoded whole = decode(text, std::max<size_t>(size, 1));
  for (const size_t piece : {1u, 2u, 3u, 7u, 64u}) CHECK(decode(text, piece) == whole);
  CHECK(whole.data.size() <= size);

  ServerHarness server;
  server.answer = false;
  server.feed("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
  server.feed(text);
  const std::string body = server.events.size() > 1 && server.events[1].starts_with("body ")
                               ? server.events[1].substr(5)
                               : "";
  CHECK(body.size() <= size);

  ClientHarness client;
  RequestHead& head = client.request_head;
  head.method_text = "POST";
  head.path = "/";
  head.authority = "a";
  head.body.kind = BodyKind::kChunked;
  client.codec->open();
  client.codec->send_head(0, head, false);
  feed_text(client.receive_pool, body,
            [&](ringway::io::Slice slice) { client.codec->send_body(0, std::move(slice), false); });
  client.codec->send_body(0, {}, true);
  ServerHarness again;
  again.answer = false;
  again.feed(client.output_text());
  CHECK(again.events.back() == "end");
  CHECK(body.empty() ? again.events.size() == 2 : again.events[1] == "body " + body);
  return 0;
}
