// What the guard's programs configure a worker with: one listener, one route, one endpoint.
#pragma once

#include <memory>

#include "dataplane/config/snapshot.h"
#include "dataplane/io/socket_address.h"

namespace ringway::bench {

// The listener is "http" at "guard"; its host "bench.test" goes to `endpoint`, bodies of any
// length.
std::shared_ptr<const config::Snapshot> guard_snapshot(const io::SocketAddress& endpoint);

// 127.0.0.1, unless another IPv4 address is given in host byte order.
io::SocketAddress guard_address(uint16_t port, uint32_t ip = 0x7F000001);

}  // namespace ringway::bench
