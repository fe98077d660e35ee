#include "dataplane/proxy/upstream_pool.h"

#include "dataplane/proxy/exchange.h"

namespace ringway::proxy {

UpstreamPool::~UpstreamPool() { CHECK(connections_.empty()); }

PoolEntry& UpstreamPool::entry(const upstream::Cluster& cluster, const upstream::EndpointRef& endpoint) {
  const uint32_t slot = endpoint.state->slot;
  if (slot >= entries_.size()) entries_.resize(slot + 1);
  std::unique_ptr<PoolEntry>& place = entries_[slot];
  if (place != nullptr && place->endpoint.get() != endpoint.state.get()) {
    CHECK(place->pending == 0);
    while (place->idle_oldest != nullptr) place->idle_oldest->drain();
    if (place->open > 0) leaving_.push_back(std::move(place));
    place.reset();
  }
  if (place == nullptr) {
    place = std::make_unique<PoolEntry>();
    place->endpoint = endpoint.state;
  }
  place->limits = cluster.pool;
  return *place;
}

Acquired UpstreamPool::acquire(Exchange& exchange, const upstream::Cluster& cluster,
                               const upstream::EndpointRef& endpoint, bool fresh,
                               UpstreamConnection*& connection) {
  PoolEntry& entry = this->entry(cluster, endpoint);
  while (!fresh && entry.idle_newest != nullptr) {
    UpstreamConnection& candidate = *entry.idle_newest;
    if (expired(candidate, entry, context_.now_ns())) {
      candidate.drain();   // Leaves the idle list.
      continue;
    }
    remove_idle(candidate);
    candidate.attach(exchange);
    ++context_.stats.upstream_reuses;
    connection = &candidate;
    return Acquired::kReady;
  }
  if (entry.open < entry.limits.connections_max) {
    connection = open(entry, exchange);
    return connection == nullptr ? Acquired::kNoSocket : Acquired::kConnecting;
  }
  if (entry.pending >= entry.limits.pending_max) {
    ++context_.stats.pending_overflow;
    return Acquired::kOverflow;
  }
  exchange.next_pending = nullptr;
  exchange.pending_entry = &entry;
  if (entry.pending_last == nullptr) {
    entry.pending_first = &exchange;
  } else {
    entry.pending_last->next_pending = &exchange;
  }
  entry.pending_last = &exchange;
  ++entry.pending;
  return Acquired::kPending;
}

UpstreamConnection* UpstreamPool::open(PoolEntry& entry, Exchange& exchange) {
  auto connection = std::make_unique<UpstreamConnection>(context_, *this, entry);
  if (!connection->connect(exchange)) return nullptr;
  ++entry.open;
  ++context_.stats.upstream_connections_active;
  connection->index = connections_.size();
  connections_.push_back(std::move(connection));
  return connections_.back().get();
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
  if (draining_ || expired(connection, entry, context_.now_ns())) return connection.drain();
  if (entry.idle > entry.limits.idle_max) entry.idle_oldest->drain();
  serve_pending(entry);
}

void UpstreamPool::remove_idle(UpstreamConnection& connection) {
  PoolEntry& entry = connection.entry();
  CHECK(entry.idle > 0);
  (connection.previous_idle == nullptr ? entry.idle_oldest : connection.previous_idle->next_idle) = connection.next_idle;
  (connection.next_idle == nullptr ? entry.idle_newest : connection.next_idle->previous_idle) = connection.previous_idle;
  connection.next_idle = connection.previous_idle = nullptr;
  --entry.idle;
  --context_.stats.upstream_connections_idle;
}

void UpstreamPool::serve_pending(PoolEntry& entry) {
  while (entry.pending_first != nullptr) {
    if (entry.idle_newest != nullptr) {
      UpstreamConnection& connection = *entry.idle_newest;
      remove_idle(connection);
      Exchange* exchange = pop_pending(entry);
      connection.attach(*exchange);
      exchange->on_upstream_ready(connection);
    } else if (entry.open < entry.limits.connections_max) {
      Exchange* exchange = pop_pending(entry);
      UpstreamConnection* connection = open(entry, *exchange);
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

bool UpstreamPool::expired(const UpstreamConnection& connection, const PoolEntry& entry, uint64_t now_ns) const {
  return now_ns - connection.idle_since_ns() >= entry.limits.idle_timeout_ns ||
         now_ns - connection.created_ns() >= entry.limits.age_max_ns ||
         connection.requests() >= entry.limits.requests_max ||
         entry.endpoint->retired.load(std::memory_order_relaxed);
}

void UpstreamPool::sweep(uint64_t now_ns) {
  for (const auto& connection : connections_) {
    if (connection->idle() && expired(*connection, connection->entry(), now_ns)) connection->drain();
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
  for (const auto& connection : connections_) {
    if (connection->idle()) connection->drain();
  }
}

}  // namespace ringway::proxy
