#include "dataplane/net/cidr.h"

#include <algorithm>
#include <charconv>
#include <cstring>

#include "dataplane/net/address.h"

namespace ringway::net {
namespace {

// The address in network order; returns its length in bytes, 0 for what is no IP address.
size_t raw_bytes(const io::SocketAddress& address, std::array<uint8_t, 16>& out) {
  if (address.family() == AF_INET) {
    std::memcpy(out.data(), &address.v4.sin_addr, 4);
    return 4;
  }
  if (address.family() != AF_INET6) return 0;
  const uint8_t* bytes = address.v6.sin6_addr.s6_addr;
  if (IN6_IS_ADDR_V4MAPPED(&address.v6.sin6_addr)) {
    std::memcpy(out.data(), bytes + 12, 4);
    return 4;
  }
  std::memcpy(out.data(), bytes, 16);
  return 16;
}

}  // namespace

std::expected<Cidr, std::string> Cidr::parse(std::string_view text) {
  const auto refuse = [&](const char* why) {
    return std::unexpected("bad address range \"" + std::string(text) + "\": " + why);
  };
  const size_t slash = text.find('/');
  io::SocketAddress address;
  const std::string_view host = text.substr(0, slash);
  if (host.find_first_of("[]%") != std::string_view::npos || !parse_ip(host, 0, address))
    return refuse("write it as \"10.0.0.0/8\" or \"fd00::/8\"");
  Cidr out;
  const size_t length = raw_bytes(address, out.bytes_);
  out.v4_ = length == 4;
  out.bits_ = static_cast<uint32_t>(length * 8);
  if (slash == std::string_view::npos) return out;
  const std::string_view digits = text.substr(slash + 1);
  uint32_t bits = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), bits);
  // "::ffff:10.0.0.0/104" counts in IPv6 bits.
  if (out.v4_ && address.family() == AF_INET6 && bits >= 96) bits -= 96;
  if (error != std::errc() || end != digits.data() + digits.size() || bits > out.bits_)
    return refuse("the length of the prefix is not in range");
  out.bits_ = bits;
  return out;
}

bool Cidr::contains(const io::SocketAddress& address) const {
  std::array<uint8_t, 16> bytes{};
  const size_t length = raw_bytes(address, bytes);
  if (length != (v4_ ? 4u : 16u)) return false;
  const size_t whole = bits_ / 8;
  if (std::memcmp(bytes.data(), bytes_.data(), whole) != 0) return false;
  if (bits_ % 8 == 0) return true;
  const auto mask = static_cast<uint8_t>(0xff << (8 - bits_ % 8));
  return (bytes[whole] & mask) == (bytes_[whole] & mask);
}

bool contains(const std::vector<Cidr>& ranges, const io::SocketAddress& address) {
  return std::ranges::any_of(ranges, [&](const Cidr& range) { return range.contains(address); });
}

}  // namespace ringway::net
