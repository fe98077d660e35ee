// Sockets that leave from an address of another host: IP_TRANSPARENT (ip(7)), IPV6_TRANSPARENT.
//
// Needs CAP_NET_RAW or CAP_NET_ADMIN in the calling thread. Answers come back only where the host
// is told to take packets for such addresses as its own.
#pragma once

#include "dataplane/io/socket_address.h"

namespace ringway::io {

// Binds `fd`, not connected yet, to the IP address of `source`; the port is chosen by the connect,
// where one that is taken towards another target is free (IP_BIND_ADDRESS_NO_PORT, Linux 4.2).
// REQUIRES: the port of `source` is 0, its family the socket's, IPv4 or IPv6. 0, or an errno.
int bind_source(int fd, const SocketAddress& source);

}  // namespace ringway::io
