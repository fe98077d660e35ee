#include "dataplane/net/client_source.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "dataplane/net/address.h"

namespace ringway::net {
namespace {

// Without port, and IPv4 as IPv4. nullopt: no IP address.
std::optional<io::SocketAddress> plain_ip(const io::SocketAddress& address) {
  io::SocketAddress out;
  if (address.family() == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&address.v6.sin6_addr)) {
    out.v4.sin_family = AF_INET;
    std::memcpy(&out.v4.sin_addr, &address.v6.sin6_addr.s6_addr[12], sizeof out.v4.sin_addr);
    out.length = sizeof out.v4;
  } else if (address.family() == AF_INET) {
    out.v4.sin_family = AF_INET;
    out.v4.sin_addr = address.v4.sin_addr;
    out.length = sizeof out.v4;
  } else if (address.family() == AF_INET6) {
    out.v6.sin6_family = AF_INET6;
    out.v6.sin6_addr = address.v6.sin6_addr;
    out.length = sizeof out.v6;
  } else {
    return std::nullopt;
  }
  return out;
}

}  // namespace

std::optional<io::SocketAddress> client_source(const io::SocketAddress& client,
                                               const io::SocketAddress& target) {
  const auto source = plain_ip(client);
  const auto endpoint = plain_ip(target);
  // A mapped endpoint is connected to by a socket of IPv6, which an IPv4 address does not fit.
  if (!source || !endpoint || source->family() != target.family()) return std::nullopt;
  if (is_unspecified(*source) || is_multicast(*source) || is_link_local(*source))
    return std::nullopt;
  if (is_loopback(*source)) {
    if (!is_loopback(*endpoint)) return std::nullopt;
  } else if (*source == *endpoint) {
    return std::nullopt;
  }
  return source;
}

std::expected<void, std::string> may_use_client_source() {
  for (const int family : {AF_INET, AF_INET6}) {
    const int fd = ::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) continue;  // A kernel without that family has no endpoints of it.
    const bool v6 = family == AF_INET6;
    const int on = 1;
    const int result = setsockopt(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP,
                                  v6 ? IPV6_TRANSPARENT : IP_TRANSPARENT, &on, sizeof on);
    const int error = errno;
    ::close(fd);
    if (result == 0) continue;
    return std::unexpected("cannot connect from clients' addresses: " +
                           std::string(v6 ? "IPV6_TRANSPARENT" : "IP_TRANSPARENT") + ": " +
                           std::strerror(error) +
                           "; the process needs the capability NET_RAW (or NET_ADMIN), or start it "
                           "without --transparent-source");
  }
  return {};
}

}  // namespace ringway::net
