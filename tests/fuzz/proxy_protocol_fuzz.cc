// The PROXY protocol reader. What must hold for any bytes: the verdict on a prefix never
// contradicts the verdict on the whole, a header is never longer than the bytes or the bound, and
// what was read can be written and read again.
#include <array>
#include <cstdint>
#include <span>

#include "base/check.h"
#include "dataplane/net/proxy_protocol.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ringway::net;
  const auto bytes = std::as_bytes(std::span(data, size));
  ProxyHeader header;
  const ProxyParse whole = parse_proxy_header(bytes, header);
  const bool read = whole == ProxyParse::kLocal || whole == ProxyParse::kAddresses;
  CHECK(!read || (header.bytes <= size && header.bytes > 0 && header.bytes <= kProxyV2BytesMax));
  CHECK(whole != ProxyParse::kIncomplete || size < kProxyV2BytesMax);
  for (size_t prefix = 0; prefix < size && prefix < 300; ++prefix) {
    ProxyHeader shorter;
    const ProxyParse verdict = parse_proxy_header(bytes.first(prefix), shorter);
    if (verdict == ProxyParse::kIncomplete) continue;
    CHECK(verdict == whole && shorter.bytes == header.bytes);
  }
  if (whole != ProxyParse::kAddresses) return 0;
  for (const ProxyVersion version : {ProxyVersion::kV1, ProxyVersion::kV2}) {
    std::array<std::byte, kProxyWriteBytesMax> out;
    const size_t written = write_proxy_header(version, header.source, header.destination, out);
    ProxyHeader again;
    const ProxyParse verdict = parse_proxy_header(std::span(out).first(written), again);
    CHECK(verdict == ProxyParse::kAddresses || verdict == ProxyParse::kLocal);
    CHECK(again.bytes == written);
  }
  return 0;
}
