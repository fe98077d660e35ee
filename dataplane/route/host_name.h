// Host names as routing compares them: lower case, without port and trailing dot (RFC 9110
// section 4.2.3, RFC 3986 section 3.2.2).
#pragma once

#include <cstdint>
#include <string_view>

namespace ringway::route {

constexpr size_t kHostBytesMax = 253;  // RFC 1035 section 2.3.4, without the root's length byte.

struct HostBuffer {
  char bytes[kHostBytesMax + 3];
};

// The host of `authority` ("Example.COM:8080", "a.example.", "[::1]:80" gives "[::1]"), written to
// `buffer`.
// "" when there is none or it is longer than kHostBytesMax. Any thread; no allocation.
std::string_view normal_host(std::string_view authority, HostBuffer& buffer);

// REQUIRES: `host` in normal form. Not seeded: only configured names are stored, so a client cannot
// make collisions.
uint64_t hash_host(std::string_view host);

}  // namespace ringway::route
