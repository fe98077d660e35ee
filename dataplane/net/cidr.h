// Ranges of IP addresses: "10.0.0.0/8", "fd00::/8", "192.0.2.7".
#pragma once

#include <array>
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/io/socket_address.h"

namespace ringway::net {

class Cidr {
 public:
  // Without a length: the one address. Bits behind the length are ignored. Error: one line for
  // people.
  static std::expected<Cidr, std::string> parse(std::string_view text);
  // An IPv4 address mapped into IPv6 counts as IPv4; Unix peers are in no range.
  bool contains(const io::SocketAddress& address) const;

 private:
  bool v4_ = false;
  uint32_t bits_ = 0;
  std::array<uint8_t, 16> bytes_{};
};

bool contains(const std::vector<Cidr>& ranges, const io::SocketAddress& address);

}  // namespace ringway::net
