// A socket address in the kernel's form. Parsing and printing live in net/address.h.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>

namespace ringway::io {

struct SocketAddress {
  union {
    sockaddr generic;
    sockaddr_in v4;
    sockaddr_in6 v6;
    sockaddr_un local;
  };
  socklen_t length = 0;

  SocketAddress() { std::memset(&local, 0, sizeof local); }
  int family() const { return generic.sa_family; }
  bool operator==(const SocketAddress& other) const {
    return length == other.length && std::memcmp(&local, &other.local, length) == 0;
  }
};

}  // namespace ringway::io
