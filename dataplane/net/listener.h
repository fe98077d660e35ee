// Listening sockets: made by the supervisor at start, before any thread; their descriptors go to
// the data process.
//
// What an accepted socket inherits is set here once instead of per connection: TCP_NODELAY.
// TCP_DEFER_ACCEPT stays off: a proxy has its own deadline for the first byte, and a client that
// waits for a greeting must be accepted.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <expected>
#include <string>
#include <vector>

#include "dataplane/io/socket_address.h"

namespace ringway::net {

struct ListenOptions {
  // TCP: so many with SO_REUSEPORT, one per worker; the kernel spreads connections over them. Unix:
  // so many descriptors of one socket (it has no SO_REUSEPORT), one queue.
  uint32_t sockets = 1;
  int backlog = 4096;  // The kernel cuts it to net.core.somaxconn.
  // Refuse a TCP address that another process listens on. SO_REUSEPORT alone would share it in
  // silence with any process of the same user.
  bool exclusive = true;
  mode_t unix_mode = 0660;  // Of the file of a Unix socket.
};

// Binds and listens. The descriptors are close-on-exec and blocking, and the caller's. Port 0: the
// kernel chooses one for all of them; local_address() tells it. IPv6 sockets take no IPv4
// (IPV6_V6ONLY). A Unix path whose socket nobody listens on any more is replaced. Error: one line
// for people: "cannot listen on 0.0.0.0:80: Permission denied: ..."; no descriptor stays open then.
std::expected<std::vector<int>, std::string> listen_on(const io::SocketAddress& address,
                                                       const ListenOptions& options);

// Sockets for datagrams, bound with SO_REUSEPORT, that tell to which address a datagram came
// (IP_PKTINFO). `address`: IPv4 or IPv6. Otherwise as listen_on().
std::expected<std::vector<int>, std::string> bind_datagrams(const io::SocketAddress& address,
                                                            const ListenOptions& options);

// The address that `fd` is bound to; family() is AF_UNSPEC when it has none.
io::SocketAddress local_address(int fd);

}  // namespace ringway::net
