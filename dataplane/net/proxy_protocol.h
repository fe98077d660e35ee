// The PROXY protocol: who the client of a load balancer is, said in the first bytes of a connection
// (https://www.haproxy.org/download/2.8/doc/proxy-protocol.txt). Version 1 is a line of text,
// version 2 is binary.
//
// Pure functions over bytes. Whether a header is expected is configured, never guessed from the
// bytes; whether it is believed is for the caller, by the address that the bytes came from.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/io/socket_address.h"

namespace ringway::net {

enum class ProxyVersion : uint8_t { kNone, kV1, kV2 };

enum class ProxyParse : uint8_t {
  kIncomplete,  // A valid beginning: more bytes are needed.
  kMalformed,   // Will never be a header.
  kLocal,       // A header without addresses (UNKNOWN, LOCAL, other families): the connection's own
                // stand.
  kAddresses,
};

struct ProxyHeader {
  io::SocketAddress source;  // kAddresses only.
  io::SocketAddress destination;
  size_t bytes = 0;  // Length of the header; what follows is the client's.
};

// Version 1: 107 bytes with its CRLF (section 2.1). Version 2: 16 bytes and what they announce;
// announced lengths above this (addresses take at most 216, the rest is for TLVs) are malformed.
inline constexpr size_t kProxyV1BytesMax = 107;
inline constexpr size_t kProxyV2BytesMax = 16 + 2048;
inline constexpr size_t kProxyWriteBytesMax = kProxyV1BytesMax;

// Reads a header at the start of `bytes`. TLVs of version 2 are skipped.
ProxyParse parse_proxy_header(std::span<const std::byte> bytes, ProxyHeader& out);

// Writes one into `out` and returns its length. Addresses of two IP families, or none of a family
// that the version has, become UNKNOWN (v1) or LOCAL (v2); IPv4 mapped into IPv6 counts as IPv4.
// REQUIRES: version != kNone, out.size() >= kProxyWriteBytesMax.
size_t write_proxy_header(ProxyVersion version, const io::SocketAddress& source,
                          const io::SocketAddress& destination, std::span<std::byte> out);

}  // namespace ringway::net
