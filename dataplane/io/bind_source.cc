#include "dataplane/io/bind_source.h"

#include <cerrno>

#include "base/check.h"

namespace ringway::io {

int bind_source(int fd, const SocketAddress& source) {
  const bool v6 = source.family() == AF_INET6;
  CHECK(v6 || source.family() == AF_INET);
  CHECK((v6 ? source.v6.sin6_port : source.v4.sin_port) == 0);
  const int on = 1;
  if (setsockopt(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_TRANSPARENT : IP_TRANSPARENT, &on,
                 sizeof on) != 0)
    return errno;
  // IPv6 sockets know it by its IPv4 name. Without it a port is taken at once: it works, for fewer.
  setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
  return ::bind(fd, &source.generic, source.length) == 0 ? 0 : errno;
}

}  // namespace ringway::io
