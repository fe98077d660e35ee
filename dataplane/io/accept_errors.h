// What the errors of accept(2) mean to every ring.
#pragma once

#include <cerrno>

namespace ringway::io {

// The connection died in the queue, or its network error is passed on by accept (accept(2), "Error
// handling"; EPERM: a firewall rule): the listener is well, the next one may be taken. EOPNOTSUPP
// is left out of the list there: it is also the answer of a socket that can never accept.
inline bool accept_goes_on(int error) {
  switch (error) {
    case EAGAIN:
    case EINTR:
    case ECONNABORTED:
    case EPERM:
    case EPROTO:
    case ENETDOWN:
    case ENETUNREACH:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENONET:
      return true;
    default:
      return false;
  }
}

}  // namespace ringway::io
