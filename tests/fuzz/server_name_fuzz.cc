// The reader of server names. What must hold for any bytes: a prefix is incomplete or has the
// verdict of the whole; a name is lower case host-name text of at most 253 bytes.
#include <algorithm>
#include <cstdint>
#include <span>

#include "base/check.h"
#include "dataplane/tls/server_name.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ringway::tls;
  const auto bytes = std::as_bytes(std::span(data, size));
  ServerName name;
  const HelloParse whole = read_server_name(bytes, name);
  CHECK(whole != HelloParse::kIncomplete || size < kHelloBytesMax);
  CHECK((whole == HelloParse::kName) == (name.size > 0) || whole == HelloParse::kMalformed);
  if (whole == HelloParse::kName) {
    CHECK(name.size <= 253 && std::ranges::all_of(name.view(), [](char c) {
            return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
                   c == '_';
          }));
  }
  for (size_t prefix = 0; prefix < size && prefix < 1000; ++prefix) {
    ServerName shorter;
    const HelloParse verdict = read_server_name(bytes.first(prefix), shorter);
    if (verdict == HelloParse::kIncomplete) continue;
    CHECK(verdict == whole);
    CHECK(verdict != HelloParse::kName || shorter.view() == name.view());
  }
  return 0;
}
