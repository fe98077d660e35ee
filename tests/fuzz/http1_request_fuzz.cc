// Requests. What must hold for any bytes: the same events for every cut; both scan twins agree; a
// head that was accepted, written for an upstream and read again is accepted, means the same, and
// its body ends at the same byte.
#include <cstdint>
#include <string>

#include "dataplane/http/codec_testing.h"
#include "dataplane/http/hop_by_hop.h"
#include "dataplane/http/path.h"
#include "dataplane/http/request_parser.h"

namespace ringway::http::testing {
namespace {

std::string events_of(std::string_view text, size_t cut) {
  ServerHarness server;
  server.feed(text.substr(0, cut));
  server.feed(text.substr(cut));
  return server.text() + (server.codec->wants_close() ? "closes" : "");
}

std::string events_byte_by_byte(std::string_view text) {
  ServerHarness server;
  for (size_t i = 0; i < text.size(); ++i) server.feed(text.substr(i, 1));
  return server.text() + (server.codec->wants_close() ? "closes" : "");
}

void check_twins(std::string_view text) {
  const Limits limits;
  RequestHead heads[2];
  ParseResult results[2];
  for (const ScanKind kind : {ScanKind::kPortable, ScanKind::kVector}) {
    HeadProgress progress;
    results[static_cast<int>(kind)] =
        parse_request_head(text, limits, progress, heads[static_cast<int>(kind)], kind);
  }
  CHECK(results[0].status == results[1].status && results[0].error == results[1].error &&
        results[0].bytes == results[1].bytes);
  CHECK(describe(heads[0]) == describe(heads[1]));
}

void check_written_head(std::string_view text) {
  ServerHarness first;
  first.answer = false;
  first.feed(text);
  if (first.heads == 0) return;
  if (first.head.authority.empty())
    return;  // HTTP/1.0 without Host goes on with an empty one, which our own server refuses.
  CHECK(first.head.asterisk || is_canonical_path(first.head.path));
  remove_hop_by_hop(first.head);
  const bool no_body = first.head.body.kind == BodyKind::kNone ||
                       (first.head.body.kind == BodyKind::kKnown && first.head.body.bytes == 0);
  ClientHarness client;
  client.codec->open();
  client.codec->send_head(0, first.head, no_body);

  ServerHarness second;
  second.answer = false;
  // The list that was parsed may be at its limits; what is written may be some bytes longer.
  second.limits.request_line_bytes_max += 64;
  second.limits.header_bytes_max += 64;
  second.limits.headers_bytes_max += 256;
  second.limits.headers_max += 8;
  second.feed(client.output_text());
  CHECK(second.heads == 1 && second.error == Error::kNone);
  CHECK(second.head.method_text == first.head.method_text);
  CHECK(second.head.path == first.head.path && second.head.query == first.head.query);
  CHECK(second.head.asterisk == first.head.asterisk && second.head.upgrade == first.head.upgrade);
  CHECK(second.head.authority == first.head.authority);
  CHECK(second.head.body.bytes == first.head.body.bytes);
  CHECK((second.head.body.kind == BodyKind::kChunked) ==
        (first.head.body.kind == BodyKind::kChunked));
}

}  // namespace
}  // namespace ringway::http::testing

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ringway::http::testing;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  check_twins(text);
  const std::string whole = events_of(text, size);
  CHECK(events_byte_by_byte(text) == whole);
  for (size_t i = 1; i <= 4; ++i) CHECK(events_of(text, size * i / 5) == whole);
  check_written_head(text);
  return 0;
}
