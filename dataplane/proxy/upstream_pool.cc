#include "dataplane/proxy/upstream_pool.h"

#include "dataplane/proxy/exchange.h"

namespace ringway::proxy {
namespace {

// An HTTP/2 connection is opened for nobody whose timer would end it.
constexpr uint64_t kOpenTimeoutNs = 10 * kNsPerSecond;
constexpr uint64_t kCloseTimeoutNs = 2 * kNsPerSecond;  // For GOAWAY to leave.

}  // namespace

UpstreamPool::~UpstreamPool() { CHECK(connections_.empty()); }

PoolEntry& UpstreamPool::entry(const upstream::Cluster& cluster,
                               const upstream::EndpointRef& endpoint) {
  const uint32_t slot = endpoint.state->slot;
  if (slot >= entries_.size()) entries_.resize(slot + 1);
  std::unique_ptr<PoolEntry>& place = entries_[slot];
  if (place != nullptr && place->endpoint.get() != endpoint.state.get()) {
    CHECK(place->pending == 0);
    while (place->idle_oldest != nullptr) place->idle_oldest->retire();
    if (place->open > 0) leaving_.push_back(std::move(place));
    place.reset();
  }
  if (place == nullptr) {
    place = std::make_unique<PoolEntry>();
    place->endpoint = endpoint.state;
  }
  place->limits = cluster.pool;
  if (place->tls != cluster.tls) place->tls = cluster.tls;
  return *place;
}

Acquired UpstreamPool::acquire(Exchange& exchange, const upstream::Cluster& cluster,
                               const upstream::EndpointRef& endpoint, bool fresh,
                               UpstreamConnection*& connection) {
  PoolEntry& entry = this->entry(cluster, endpoint);
  if (entry.multiplexed()) {
    if (entry.refuses_upgrades && exchange.request_head().upgrade)
      return open_for_upgrade(entry, exchange, connection);
    return acquire_stream(entry, exchange, fresh);
  }
  while (!fresh && entry.idle_newest != nullptr) {
    UpstreamConnection& candidate = *entry.idle_newest;
    if (expired(candidate, context_.now_ns())) {
      candidate.drain();  // Leaves the idle list.
      continue;
    }
    remove_idle(candidate);
    candidate.attach(exchange);
    ++context_.stats.upstream_reuses;
    return Acquired::kReady;
  }
  if (entry.open < entry.limits.connections_max) {
    connection = open(entry, &exchange);
    return connection == nullptr ? Acquired::kNoSocket : Acquired::kConnecting;
  }
  return wait(entry, exchange);
}

Acquired UpstreamPool::open_for_upgrade(PoolEntry& entry, Exchange& exchange,
                                        UpstreamConnection*& connection) {
  if (entry.open >= entry.limits.connections_max) {
    ++context_.stats.pending_overflow;
    return Acquired::kOverflow;
  }
  connection = open(entry, &exchange, true);
  return connection == nullptr ? Acquired::kNoSocket : Acquired::kConnecting;
}

Acquired UpstreamPool::acquire_stream(PoolEntry& entry, Exchange& exchange, bool fresh) {
  // Behind those who wait already.
  UpstreamConnection* const chosen = entry.pending > 0 ? nullptr : least_loaded(entry, fresh);
  if (chosen != nullptr) {
    if (chosen->idle()) remove_idle(*chosen);
    chosen->attach(exchange);
    ++context_.stats.upstream_reuses;
    return Acquired::kReady;
  }
  const uint64_t carried = uint64_t{entry.connecting} * entry.streams_expected;
  if (entry.pending >= carried && entry.open < entry.limits.connections_max &&
      open(entry, nullptr) == nullptr && entry.open == 0) {
    return Acquired::kNoSocket;
  }
  return wait(entry, exchange);
}

Acquired UpstreamPool::wait(PoolEntry& entry, Exchange& exchange) {
  if (entry.pending >= entry.limits.pending_max) {
    ++context_.stats.pending_overflow;
    return Acquired::kOverflow;
  }
  exchange.next_pending = nullptr;
  exchange.pending_entry = &entry;
  exchange.pending_ticket = ++entry.tickets;
  if (entry.pending_last == nullptr) {
    entry.pending_first = &exchange;
  } else {
    entry.pending_last->next_pending = &exchange;
  }
  entry.pending_last = &exchange;
  ++entry.pending;
  return Acquired::kPending;
}

// Those past their age or number take no more and go when they are through.
UpstreamConnection* UpstreamPool::least_loaded(PoolEntry& entry, bool fresh) {
  UpstreamConnection* best = nullptr;
  for (size_t i = 0; i < entry.shared.size(); ++i) {
    UpstreamConnection& candidate = *entry.shared[i];
    const bool through = candidate.idle() ? expired(candidate, context_.now_ns())
                                          : worn_out(candidate, context_.now_ns());
    if (through) {
      const size_t before = entry.shared.size();
      candidate.retire();
      if (entry.shared.size() != before) --i;  // It was idle and has left the list.
      continue;
    }
    if (!candidate.has_room() || (fresh && candidate.idle())) continue;
    if (best == nullptr || candidate.streams() < best->streams()) best = &candidate;
  }
  return best;
}

UpstreamConnection* UpstreamPool::open(PoolEntry& entry, Exchange* exchange, bool for_upgrade) {
  auto connection = std::make_unique<UpstreamConnection>(context_, *this, entry, for_upgrade);
  if (!connection->connect(exchange)) return nullptr;
  ++entry.open;
  if (exchange == nullptr) ++entry.connecting;
  ++context_.stats.upstream_connections_active;
  connection->index = connections_.size();
  connections_.push_back(std::move(connection));
  return connections_.back().get();
}

void UpstreamPool::on_established(UpstreamConnection& connection) {
  PoolEntry& entry = connection.entry();
  CHECK(entry.connecting > 0);
  --entry.connecting;
  entry.shared.push_back(&connection);
  connection.become_idle();  // Serves those who wait.
}

void UpstreamPool::on_connect_failed(UpstreamConnection& connection) {
  PoolEntry& entry = connection.entry();
  CHECK(entry.connecting > 0);
  --entry.connecting;
  if (entry.connecting > 0 || !entry.shared.empty()) return;
  // Only those who wait now: each may try again, and wait here, from inside the call.
  const uint64_t last = entry.tickets;
  while (entry.pending_first != nullptr && entry.pending_first->pending_ticket <= last) {
    pop_pending(entry)->on_upstream_failed(upstream::Outcome::kConnectFailure, http::Error::kNone);
  }
}

void UpstreamPool::remove_shared(UpstreamConnection& connection) {
  std::erase(connection.entry().shared, &connection);
}

Exchange* UpstreamPool::pop_pending(PoolEntry& entry) {
  Exchange* exchange = entry.pending_first;
  if (exchange != nullptr) cancel_pending(*exchange, entry);
  return exchange;
}

void UpstreamPool::cancel_pending(Exchange& exchange, PoolEntry& entry) {
  Exchange* previous = nullptr;
  for (Exchange* at = entry.pending_first; at != nullptr; previous = at, at = at->next_pending) {
    if (at != &exchange) continue;
    (previous == nullptr ? entry.pending_first : previous->next_pending) = at->next_pending;
    if (entry.pending_last == at) entry.pending_last = previous;
    --entry.pending;
    exchange.next_pending = nullptr;
    exchange.pending_entry = nullptr;
    return;
  }
  CHECK(false && "the exchange does not wait here");
}

void UpstreamPool::put_idle(UpstreamConnection& connection) {
  PoolEntry& entry = connection.entry();
  connection.previous_idle = entry.idle_newest;
  connection.next_idle = nullptr;
  (entry.idle_newest == nullptr ? entry.idle_oldest : entry.idle_newest->next_idle) = &connection;
  entry.idle_newest = &connection;
  ++entry.idle;
  ++context_.stats.upstream_connections_idle;
  if (draining_ || expired(connection, context_.now_ns())) return connection.retire();
  serve_pending(entry);
  if (entry.idle > entry.limits.idle_max) entry.idle_oldest->retire();
}

void UpstreamPool::remove_idle(UpstreamConnection& connection) {
  PoolEntry& entry = connection.entry();
  CHECK(entry.idle > 0);
  (connection.previous_idle == nullptr ? entry.idle_oldest : connection.previous_idle->next_idle) =
      connection.next_idle;
  (connection.next_idle == nullptr ? entry.idle_newest : connection.next_idle->previous_idle) =
      connection.previous_idle;
  connection.next_idle = connection.previous_idle = nullptr;
  --entry.idle;
  --context_.stats.upstream_connections_idle;
}

void UpstreamPool::serve_pending(PoolEntry& entry) {
  if (entry.multiplexed()) return serve_pending_streams(entry);
  while (entry.pending_first != nullptr) {
    if (entry.idle_newest != nullptr) {
      UpstreamConnection& connection = *entry.idle_newest;
      remove_idle(connection);
      Exchange* exchange = pop_pending(entry);
      connection.attach(*exchange);
      exchange->on_upstream_ready();
    } else if (entry.open < entry.limits.connections_max) {
      Exchange* exchange = pop_pending(entry);
      UpstreamConnection* connection = open(entry, exchange);
      if (connection == nullptr) {
        exchange->on_upstream_failed(upstream::Outcome::kAbandoned, http::Error::kNone);
      } else {
        exchange->on_upstream_opened(*connection);
      }
    } else {
      return;
    }
  }
}

void UpstreamPool::serve_pending_streams(PoolEntry& entry) {
  while (entry.pending_first != nullptr) {
    UpstreamConnection* const connection = least_loaded(entry, false);
    if (connection == nullptr) break;
    if (connection->idle()) remove_idle(*connection);
    Exchange* exchange = pop_pending(entry);
    connection->attach(*exchange);
    exchange->on_upstream_ready();
  }
  // The last connection has gone while somebody waits for room on it.
  if (entry.pending_first != nullptr && entry.shared.empty() && entry.connecting == 0 &&
      entry.open < entry.limits.connections_max && open(entry, nullptr) == nullptr) {
    pop_pending(entry)->on_upstream_failed(upstream::Outcome::kAbandoned, http::Error::kNone);
  }
}

void UpstreamPool::forget(UpstreamConnection& connection) {
  PoolEntry& entry = connection.entry();
  CHECK(entry.open > 0);
  --entry.open;
  --context_.stats.upstream_connections_active;
  const size_t index = connection.index;
  std::unique_ptr<UpstreamConnection> dead = std::move(connections_[index]);
  CHECK(dead.get() == &connection);
  if (index + 1 != connections_.size()) {
    connections_[index] = std::move(connections_.back());
    connections_[index]->index = index;
  }
  connections_.pop_back();
  dead.reset();
  if (!draining_) serve_pending(entry);
}

bool UpstreamPool::worn_out(const UpstreamConnection& connection, uint64_t now_ns) const {
  const PoolEntry& entry = connection.entry();
  return now_ns - connection.created_ns() >= entry.limits.age_max_ns ||
         connection.requests() >= entry.limits.requests_max ||
         entry.endpoint->retired.load(std::memory_order_relaxed);
}

bool UpstreamPool::expired(const UpstreamConnection& connection, uint64_t now_ns) const {
  return now_ns - connection.idle_since_ns() >= connection.entry().limits.idle_timeout_ns ||
         worn_out(connection, now_ns);
}

// A pod whose network is gone answers no SYN, not even with a reset. Once its endpoint has left the configuration there is nothing to
// wait for: the request goes on to another one.
bool UpstreamPool::hopeless(const UpstreamConnection& connection, uint64_t now_ns) const {
  if (connection.entry().endpoint->retired.load(std::memory_order_relaxed)) return true;
  return connection.multiplexed() && now_ns - connection.created_ns() >= kOpenTimeoutNs;
}

void UpstreamPool::sweep(uint64_t now_ns) {
  for (size_t i = 0; i < connections_.size(); ++i) {
    UpstreamConnection& connection = *connections_[i];
    connection.on_second();
    if (connection.idle()) {
      if (expired(connection, now_ns)) connection.retire();
    } else if (connection.closing()) {
      if (now_ns - connection.idle_since_ns() >= kCloseTimeoutNs) connection.drain();
    } else if (connection.connecting() && hopeless(connection, now_ns)) {
      connection.give_up_connecting();
    }
  }
  erase_unused_entries();
}

void UpstreamPool::erase_unused_entries() {
  std::erase_if(leaving_, [](const auto& entry) { return entry->open == 0; });
  for (auto& entry : entries_) {
    // An entry pins its endpoint's slot: let go of those that left the configuration.
    if (entry != nullptr && entry->open == 0 && entry->pending == 0 &&
        entry->endpoint->retired.load(std::memory_order_relaxed)) {
      entry.reset();
    }
  }
}

void UpstreamPool::drain_all() {
  draining_ = true;
  for (size_t i = 0; i < connections_.size(); ++i) {
    UpstreamConnection& connection = *connections_[i];
    if (connection.idle()) {
      connection.retire();
    } else if (connection.connecting() && connection.multiplexed() &&
               connection.entry().pending == 0) {
      connection.give_up_connecting();
    }
  }
}

}  // namespace ringway::proxy
