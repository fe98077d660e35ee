// The server name that a TLS client asks for (SNI), read from its first bytes without taking part
// in the handshake.
//
// Pure. A ClientHello may be spread over several records (RFC 8446, section 5.1) and over any
// number of receives. The name is what a router goes by, so whatever two readers could take
// differently is malformed here: a second server_name extension, a second host name, an empty one.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace ringway::tls {

// Of the records that hold the ClientHello, their headers included. As much as BoringSSL takes of a
// handshake message; with post-quantum key shares a hello is about 2 kB.
inline constexpr size_t kHelloBytesMax = 16 * 1024;

enum class HelloParse : uint8_t {
  kIncomplete,  // A valid beginning: more bytes are needed.
  kMalformed,   // Not a ClientHello, or longer than kHelloBytesMax.
  kNoName,      // A whole ClientHello without the extension.
  kName,
};

struct ServerName {
  // RFC 1035, section 2.3.4: 255 bytes on the wire, 253 as text.
  std::array<char, 256> text;
  uint8_t size = 0;
  std::string_view view() const { return {text.data(), size}; }  // Lower case.
};

HelloParse read_server_name(std::span<const std::byte> bytes, ServerName& out);

}  // namespace ringway::tls
