// Responses. The first byte chooses what was asked for. What must hold for any bytes: the same
// events for every cut; an accepted final head, written for a client and read again, means the
// same; the connection is not reusable after an error or with bytes left.
#include <cstdint>
#include <string>

#include "dataplane/http/codec_testing.h"
#include "dataplane/http/hop_by_hop.h"

namespace ringway::http::testing {
namespace {

constexpr std::string_view kKey = "dGhlIHNhbXBsZSBub25jZQ==";

void ask(ClientHarness& client, uint8_t choice) {
  switch (choice % 3) {
    case 0:
      return client.request("GET");
    case 1:
      return client.request("HEAD");
    default:
      return client.request("GET", "websocket", kKey);
  }
}

std::string events_of(std::string_view text, size_t cut, uint8_t choice) {
  ClientHarness client;
  ask(client, choice);
  client.feed(text.substr(0, cut));
  client.feed(text.substr(cut));
  const bool reusable = client.codec->reusable();
  CHECK(!reusable || (client.error == Error::kNone && client.codec->buffered() == 0));
  client.codec->on_end_of_input();
  CHECK(!client.codec->reusable());
  return client.text() + (reusable ? "reusable" : "");
}

std::string events_byte_by_byte(std::string_view text, uint8_t choice) {
  ClientHarness client;
  ask(client, choice);
  for (size_t i = 0; i < text.size(); ++i) client.feed(text.substr(i, 1));
  const bool reusable = client.codec->reusable();
  client.codec->on_end_of_input();
  return client.text() + (reusable ? "reusable" : "");
}

// What the proxy would send on must be read by a client as one response with the same length.
void check_written_head(std::string_view text) {
  ClientHarness first;
  first.request("GET");
  first.feed(text);
  const bool final =
      first.head.status >= 200 && first.error == Error::kNone && !first.events.empty();
  if (!final || !first.events.back().starts_with("head")) return;
  ServerHarness server;
  server.answer = false;
  server.feed("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  remove_hop_by_hop(first.head);
  server.codec->send_head(0, first.head, false, false);
  ClientHarness second;
  second.limits.headers_bytes_max += 256;
  second.limits.headers_max += 8;
  second.request("GET");
  second.feed(server.output_text());
  CHECK(second.error == Error::kNone && second.head.status == first.head.status);
  CHECK(second.head.body.bytes == first.head.body.bytes);
}

}  // namespace
}  // namespace ringway::http::testing

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ringway::http::testing;
  if (size == 0) return 0;
  const uint8_t choice = data[0];
  const std::string_view text(reinterpret_cast<const char*>(data + 1), size - 1);
  const std::string whole = events_of(text, text.size(), choice);
  CHECK(events_byte_by_byte(text, choice) == whole);
  for (size_t i = 1; i <= 4; ++i) CHECK(events_of(text, text.size() * i / 5, choice) == whole);
  check_written_head(text);
  return 0;
}
