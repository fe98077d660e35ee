// Connections of one worker to its endpoints: kept alive between requests, bounded, aged.
//
// Thread rule: one worker. Pool empty policy: a request above connections_max waits (bounded by
// pending_max), then 503. HTTP/1: a connection serves one request, the newest idle one first.
// HTTP/2: a connection serves as many as its peer allows; the one with the fewest takes the next;
// another is opened when all are full. Who waits for a connection that is being made waits in the
// entry, so that a burst opens as few as can carry it.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "dataplane/proxy/context.h"
#include "dataplane/proxy/upstream_connection.h"

namespace ringway::proxy {

struct PoolEntry {
  std::shared_ptr<upstream::EndpointState> endpoint;  // Keeps its slot from being given again.
  upstream::PoolLimits limits;
  std::shared_ptr<const tls::ClientContext> tls;  // nullptr: clear text.
  tls::ResumableSession tls_session;
  uint32_t open = 0;        // Connecting, busy, idle and closing ones.
  uint32_t connecting = 0;  // HTTP/2 only.
  uint32_t idle = 0;
  uint32_t pending = 0;
  bool refuses_upgrades = false;    // HTTP/2 without extended CONNECT, by its last SETTINGS.
  uint32_t streams_expected = 100;  // Of a new HTTP/2 connection: what the last one allowed.
  UpstreamConnection* idle_newest = nullptr;
  UpstreamConnection* idle_oldest = nullptr;
  Exchange* pending_first = nullptr;  // Exchange::next_pending
  Exchange* pending_last = nullptr;
  uint64_t tickets = 0;                     // Exchange::pending_ticket
  std::vector<UpstreamConnection*> shared;  // HTTP/2: established, and not on their way out.

  bool multiplexed() const { return upstream::is_http2(endpoint->protocol); }
};

enum class Acquired : uint8_t {
  kReady,       // The exchange is attached: send.
  kConnecting,  // `connection` is opened for the exchange: it is attached when ready.
  kPending,     // Waits for a connection; leave by cancel_pending().
  kOverflow,    // Too many wait.
  kNoSocket,    // The process has no descriptor left.
};

class UpstreamPool {
 public:
  explicit UpstreamPool(Context& context) : context_(context) {}
  ~UpstreamPool();  // CHECKs that drain_all() has come to its end.

  // `fresh`: not an idle one; after a kept-alive connection turned out to be dead, its neighbours
  // are likely dead too.
  Acquired acquire(Exchange& exchange, const upstream::Cluster& cluster,
                   const upstream::EndpointRef& endpoint, bool fresh,
                   UpstreamConnection*& connection);
  // An HTTP/1.1 connection to an endpoint of HTTP/2 that refuses upgrades: for this exchange alone.
  Acquired open_for_upgrade(PoolEntry& entry, Exchange& exchange, UpstreamConnection*& connection);
  void cancel_pending(Exchange& exchange, PoolEntry& entry);
  // Who waits here waits because connections are full, not because none can be had.
  static bool busy(const PoolEntry& entry) { return !entry.multiplexed() || !entry.shared.empty(); }

  // ---- from connections ----
  void put_idle(UpstreamConnection& connection);
  void remove_idle(UpstreamConnection& connection);
  void remove_shared(UpstreamConnection& connection);      // HTTP/1: nothing.
  void on_established(UpstreamConnection& connection);     // HTTP/2
  void on_connect_failed(UpstreamConnection& connection);  // HTTP/2
  void serve_pending(PoolEntry& entry);
  void forget(UpstreamConnection& connection);  // Closed: frees it.

  // Closes idle connections past their idle time, age or number, those of endpoints that left the
  // configuration, and what takes too long to open or close; gives up connects to endpoints that left
  // the configuration. Once a second.
  void sweep(uint64_t now_ns);
  void drain_all();
  bool empty() const { return connections_.empty(); }

 private:
  PoolEntry& entry(const upstream::Cluster& cluster, const upstream::EndpointRef& endpoint);
  Acquired acquire_stream(PoolEntry& entry, Exchange& exchange, bool fresh);
  Acquired wait(PoolEntry& entry, Exchange& exchange);
  UpstreamConnection* least_loaded(PoolEntry& entry, bool fresh);
  void serve_pending_streams(PoolEntry& entry);
  Exchange* pop_pending(PoolEntry& entry);
  bool expired(const UpstreamConnection& connection, uint64_t now_ns) const;
  bool hopeless(const UpstreamConnection& connection, uint64_t now_ns) const;
  bool worn_out(const UpstreamConnection& connection, uint64_t now_ns) const;
  UpstreamConnection* open(PoolEntry& entry, Exchange* exchange, bool for_upgrade = false);
  void erase_unused_entries();

  Context& context_;
  std::vector<std::unique_ptr<PoolEntry>> entries_;  // By EndpointState::slot.
  // Of endpoints whose slot went to another; until their connections are closed.
  std::vector<std::unique_ptr<PoolEntry>> leaving_;
  std::vector<std::unique_ptr<UpstreamConnection>> connections_;
  bool draining_ = false;
};

}  // namespace ringway::proxy
