#include "dataplane/net/address.h"

#include <arpa/inet.h>
#include <net/if.h>

#include <array>
#include <charconv>
#include <cstddef>
#include <cstring>
#include <optional>

#include "base/check.h"

namespace ringway::net {
namespace {

constexpr std::string_view kUnixPrefix = "unix:";
constexpr size_t kPathOffset = offsetof(sockaddr_un, sun_path);

std::optional<uint32_t> parse_number(std::string_view text, uint32_t max) {
  uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value > max) return std::nullopt;
  return value;
}

bool parse_scope(std::string_view scope, uint32_t& out) {
  if (const auto number = parse_number(scope, ~uint32_t{0})) {
    out = *number;
    return true;
  }
  if (scope.empty() || scope.size() >= IF_NAMESIZE) return false;
  out = if_nametoindex(std::string(scope).c_str());
  return out != 0;
}

std::unexpected<std::string> refuse(std::string_view text, std::string_view why) {
  return std::unexpected("bad address \"" + std::string(text) + "\": " + std::string(why));
}

std::expected<io::SocketAddress, std::string> parse_unix(std::string_view text) {
  const std::string_view path = text.substr(kUnixPrefix.size());
  io::SocketAddress address;
  if (path.empty() || path == "@") return refuse(text, "a path or @name must follow \"unix:\"");
  if (path.find('\0') != std::string_view::npos) return refuse(text, "the path holds a NUL byte");
  const bool abstract = path.starts_with('@');
  const size_t bytes =
      path.size() + (abstract ? 0 : 1);  // unix(7): a path with its NUL, an abstract name without.
  if (bytes > sizeof address.local.sun_path) {
    return refuse(text, "longer than the " + std::to_string(sizeof address.local.sun_path - 1) +
                            " bytes that a Unix socket address holds");
  }
  address.local.sun_family = AF_UNIX;
  std::memcpy(address.local.sun_path, path.data(), path.size());
  if (abstract) address.local.sun_path[0] = '\0';
  address.length = static_cast<socklen_t>(kPathOffset + bytes);
  return address;
}

// The IPv4 address in host order, also when mapped into IPv6.
std::optional<uint32_t> ipv4_of(const io::SocketAddress& address) {
  if (address.family() == AF_INET) return ntohl(address.v4.sin_addr.s_addr);
  if (address.family() != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&address.v6.sin6_addr))
    return std::nullopt;
  uint32_t v4 = 0;
  std::memcpy(&v4, &address.v6.sin6_addr.s6_addr[12], sizeof v4);
  return ntohl(v4);
}

}  // namespace

bool parse_ip(std::string_view text, uint16_t port, io::SocketAddress& out) {
  if (text.starts_with('[')) {
    if (!text.ends_with(']') || text.find(':') == std::string_view::npos) return false;
    text = text.substr(1, text.size() - 2);
  }
  out = io::SocketAddress();
  std::string_view scope;
  const size_t percent = text.find('%');
  if (percent != std::string_view::npos) {
    scope = text.substr(percent + 1);
    text = text.substr(0, percent);
  }
  std::array<char, kIpTextMax> terminated{};
  if (text.size() >= terminated.size() || text.find('\0') != std::string_view::npos) return false;
  std::memcpy(terminated.data(), text.data(), text.size());
  if (percent == std::string_view::npos &&
      inet_pton(AF_INET, terminated.data(), &out.v4.sin_addr) == 1) {
    out.v4.sin_family = AF_INET;
    out.v4.sin_port = htons(port);
    out.length = sizeof out.v4;
    return true;
  }
  if (inet_pton(AF_INET6, terminated.data(), &out.v6.sin6_addr) != 1) return false;
  if (percent != std::string_view::npos && !parse_scope(scope, out.v6.sin6_scope_id)) return false;
  out.v6.sin6_family = AF_INET6;
  out.v6.sin6_port = htons(port);
  out.length = sizeof out.v6;
  return true;
}

std::expected<io::SocketAddress, std::string> parse_address(std::string_view text) {
  if (text.starts_with(kUnixPrefix)) return parse_unix(text);
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return refuse(text, "no port: write it as \"ADDRESS:PORT\"");
  const auto port = parse_number(text.substr(colon + 1), 65535);
  if (!port) return refuse(text, "the port is not a number from 0 to 65535");
  const std::string_view host = text.substr(0, colon);
  if (host.find(':') != std::string_view::npos && !host.starts_with('[')) {
    return refuse(text, "an IPv6 address must stand in brackets, as in \"[::1]:8080\"");
  }
  io::SocketAddress address;
  if (!parse_ip(host.empty() ? "0.0.0.0" : host, static_cast<uint16_t>(*port), address)) {
    return refuse(text, "not an IPv4 or IPv6 address (names are not resolved here)");
  }
  return address;
}

std::string_view ip_text(const io::SocketAddress& address, std::span<char> buffer) {
  CHECK(buffer.size() >= kIpTextMax);
  const char* written = nullptr;
  if (const auto v4 = ipv4_of(address)) {
    const in_addr network_order{htonl(*v4)};
    written =
        inet_ntop(AF_INET, &network_order, buffer.data(), static_cast<socklen_t>(buffer.size()));
  } else if (address.family() == AF_INET6) {
    written = inet_ntop(AF_INET6, &address.v6.sin6_addr, buffer.data(),
                        static_cast<socklen_t>(buffer.size()));
  }
  return written == nullptr ? std::string_view{} : std::string_view{written};
}

std::string to_string(const io::SocketAddress& address) {
  if (address.family() == AF_UNIX) {
    if (address.length <= kPathOffset) return std::string(kUnixPrefix);
    const std::string_view path(address.local.sun_path, address.length - kPathOffset);
    if (path[0] == '\0') return std::string(kUnixPrefix) + "@" + std::string(path.substr(1));
    return std::string(kUnixPrefix) + std::string(path.substr(0, path.find('\0')));
  }
  std::array<char, kIpTextMax> buffer;
  const std::string port = ":" + std::to_string(port_of(address));
  if (address.family() == AF_INET) return std::string(ip_text(address, buffer)) + port;
  if (address.family() != AF_INET6) return "unknown";
  std::string text = "[";
  text += inet_ntop(AF_INET6, &address.v6.sin6_addr, buffer.data(), buffer.size());
  if (address.v6.sin6_scope_id != 0) text += "%" + std::to_string(address.v6.sin6_scope_id);
  return text + "]" + port;
}

uint16_t port_of(const io::SocketAddress& address) {
  if (address.family() == AF_INET) return ntohs(address.v4.sin_port);
  if (address.family() == AF_INET6) return ntohs(address.v6.sin6_port);
  return 0;
}

void set_port(io::SocketAddress& address, uint16_t port) {
  if (address.family() == AF_INET) address.v4.sin_port = htons(port);
  if (address.family() == AF_INET6) address.v6.sin6_port = htons(port);
}

bool is_loopback(const io::SocketAddress& address) {
  if (address.family() == AF_UNIX) return true;
  if (const auto v4 = ipv4_of(address)) return *v4 >> 24 == 127;
  return address.family() == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&address.v6.sin6_addr);
}

bool is_link_local(const io::SocketAddress& address) {
  if (const auto v4 = ipv4_of(address)) return *v4 >> 16 == 0xa9fe;
  return address.family() == AF_INET6 && IN6_IS_ADDR_LINKLOCAL(&address.v6.sin6_addr);
}

bool is_unspecified(const io::SocketAddress& address) {
  if (const auto v4 = ipv4_of(address)) return *v4 >> 24 == 0;
  return address.family() == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&address.v6.sin6_addr);
}

bool is_multicast(const io::SocketAddress& address) {
  if (const auto v4 = ipv4_of(address)) return *v4 >> 28 == 0xe || *v4 == 0xffffffff;
  return address.family() == AF_INET6 && IN6_IS_ADDR_MULTICAST(&address.v6.sin6_addr);
}

}  // namespace ringway::net
