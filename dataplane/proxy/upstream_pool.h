// Connections of one worker to its endpoints: kept alive between requests, bounded, aged.
//
// Thread rule: one worker. Pool empty policy: a request above connections_max waits (bounded by pending_max), then 503.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "dataplane/proxy/context.h"
#include "dataplane/proxy/upstream_connection.h"

namespace ringway::proxy {

struct PoolEntry {
  std::shared_ptr<upstream::EndpointState> endpoint;   // Keeps its slot from being given again.
  upstream::PoolLimits limits;
  uint32_t open = 0;                                   // Connecting, busy and idle ones.
  uint32_t idle = 0;
  uint32_t pending = 0;
  UpstreamConnection* idle_newest = nullptr;
  UpstreamConnection* idle_oldest = nullptr;
  Exchange* pending_first = nullptr;                   // Exchange::next_pending
  Exchange* pending_last = nullptr;
};

enum class Acquired : uint8_t {
  kReady,        // `connection` serves the exchange: send.
  kConnecting,   // on_upstream_ready or on_upstream_failed follows.
  kPending,      // Waits for a connection; leave by cancel_pending().
  kOverflow,     // Too many wait.
  kNoSocket,     // The process has no descriptor left.
};

class UpstreamPool {
 public:
  explicit UpstreamPool(Context& context) : context_(context) {}
  ~UpstreamPool();  // CHECKs that drain_all() has come to its end.

  // `fresh`: not an idle one; after a kept-alive connection turned out to be dead, its neighbours are likely dead too.
  Acquired acquire(Exchange& exchange, const upstream::Cluster& cluster, const upstream::EndpointRef& endpoint, bool fresh,
                   UpstreamConnection*& connection);
  void cancel_pending(Exchange& exchange, PoolEntry& entry);

  void put_idle(UpstreamConnection& connection);
  void remove_idle(UpstreamConnection& connection);
  void forget(UpstreamConnection& connection);         // Closed: frees it.

  // Closes idle connections past their idle time, age or number, and those of endpoints that left the configuration. Once a second.
  void sweep(uint64_t now_ns);
  void drain_all();
  bool empty() const { return connections_.empty(); }

 private:
  PoolEntry& entry(const upstream::Cluster& cluster, const upstream::EndpointRef& endpoint);
  void serve_pending(PoolEntry& entry);
  Exchange* pop_pending(PoolEntry& entry);
  bool expired(const UpstreamConnection& connection, const PoolEntry& entry, uint64_t now_ns) const;
  UpstreamConnection* open(PoolEntry& entry, Exchange& exchange);
  void erase_unused_entries();

  Context& context_;
  std::vector<std::unique_ptr<PoolEntry>> entries_;    // By EndpointState::slot.
  std::vector<std::unique_ptr<PoolEntry>> leaving_;    // Of endpoints whose slot went to another; until their connections are closed.
  std::vector<std::unique_ptr<UpstreamConnection>> connections_;
  bool draining_ = false;
};

}  // namespace ringway::proxy
