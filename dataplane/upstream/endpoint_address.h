// Addresses of endpoints as the configuration gives them: numbers and socket paths only. Names are
// not resolved: an endpoint is an address.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

#include "dataplane/io/socket_address.h"

namespace ringway::upstream {

struct EndpointAddress {
  io::SocketAddress address;
  std::string text;  // Canonical: "10.0.0.1:8080", "[fd00::1]:8080", "unix:/path". Equal text,
                     // equal address.
};

// `address`: IPv4, IPv6 (no brackets), or "unix:/path" and "unix:@abstract", of which `port` is ignored. Error: one line
// for people.
std::expected<EndpointAddress, std::string> parse_endpoint(std::string_view address, uint32_t port);

}  // namespace ringway::upstream
