// Frames of a client. What must hold for any bytes behind the preface: whole or byte by byte, the
// same requests are seen; none is seen twice or stays open behind the end of the connection; what
// is sent is bounded by what was asked for; nothing is leaked.
#include <cstdint>
#include <string>

#include "dataplane/http/h2_server_harness.h"

namespace ringway::http::testing {
namespace {

std::string events_of(std::string_view text, size_t step) {
  H2ServerHarness server;
  server.glitches_max = 200;
  for (size_t at = 0; at < text.size(); at += step) server.feed(text.substr(at, step));
  const size_t sent = server.pump_output().size();
  CHECK(sent <= 4096 + text.size() * 64);
  server.codec.on_end_of_input();
  server.pump_output();
  if (server.codec.wants_close()) CHECK(server.codec.open_requests() == 0);
  return server.events;
}

}  // namespace
}  // namespace ringway::http::testing

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ringway::http::testing;
  if (size > 20'000) return 0;
  const std::string text = h2_hello() + std::string(reinterpret_cast<const char*>(data), size);
  const std::string whole = events_of(text, text.size());
  CHECK(events_of(text, 1) == whole);
  CHECK(events_of(text, 7) == whole);
  return 0;
}
