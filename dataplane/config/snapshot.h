// An immutable configuration, published to workers by pointer. A request keeps the one it began
// with.
//
// Thread rule: built by the control thread (SnapshotBuilder); read by all; freed by the control
// thread when every worker has let go. Structural sharing: what did not change is the same object
// as in the snapshot before.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "dataplane/http/message.h"
#include "dataplane/io/socket_address.h"
#include "dataplane/route/route_table.h"
#include "dataplane/upstream/cluster.h"

namespace ringway::tls {
class ServerContext;  // Certificates and policy of a TLS listener: tls/server_context.h
}

namespace ringway::config {

enum class ListenerKind : uint8_t { kHttp, kHttps };

struct HttpPolicy {
  http::Limits limits;
  uint64_t header_timeout_ns = 10'000'000'000;
  uint64_t body_timeout_ns = 60'000'000'000;
  uint64_t idle_timeout_ns = 75'000'000'000;
  uint64_t write_stall_timeout_ns = 60'000'000'000;
  uint64_t tunnel_idle_timeout_ns = 3'600'000'000'000;
  uint64_t tls_handshake_timeout_ns = 5'000'000'000;
  uint32_t keep_alive_requests_max = 1000;
  uint32_t connections_max = 50000;             // Of the process on this listener.
  uint32_t connections_per_address_max = 0;     // 0: no limit.
  uint32_t body_rate_bytes_per_second_min = 0;  // 0: off.
  bool trust_forwarded = false;
  std::string hsts;  // Value of Strict-Transport-Security, "" when off.
};

struct Listener {
  std::string name;
  std::vector<std::string> addresses;  // As configured: what the supervisor binds.
  ListenerKind kind = ListenerKind::kHttp;
  std::string route_set;
  uint16_t public_port = 0;
  uint16_t redirect_https_port = 443;
  uint32_t default_cluster_slot = route::kNoCluster;
  std::shared_ptr<const HttpPolicy> http;
  std::shared_ptr<tls::ServerContext>
      tls;  // kHttps only. New connections take this one; old ones keep theirs.
  uint64_t revision = 0;
};

struct Snapshot {
  std::string version;      // Transaction.version
  uint64_t generation = 0;  // Counts applied transactions.
  bool complete = false;  // A full transaction has been applied: the proxy has what it is to serve.
  std::vector<std::shared_ptr<const Listener>> listeners;

  // nullptr when no such set.
  const route::RouteSet* route_set(std::string_view name) const;
  // nullptr for kNoCluster and slots without a cluster.
  const upstream::Cluster* cluster(uint32_t slot) const {
    if (slot >= cluster_chunks.size() * kChunk) return nullptr;
    const auto& chunk = cluster_chunks[slot / kChunk];
    return chunk == nullptr ? nullptr : (*chunk)[slot % kChunk].get();
  }

  // The default backend of the listener of that name; route::kNoCluster when it has none or is
  // gone.
  uint32_t default_cluster_slot(std::string_view listener) const {
    for (const auto& candidate : listeners) {
      if (candidate->name == listener) return candidate->default_cluster_slot;
    }
    return route::kNoCluster;
  }

  static constexpr uint32_t kChunk = 256;
  using ClusterChunk = std::array<std::shared_ptr<const upstream::Cluster>, kChunk>;
  std::vector<std::shared_ptr<const ClusterChunk>> cluster_chunks;  // Copy on write, by chunk.
  std::vector<std::pair<std::string, std::shared_ptr<const route::RouteSet>>> route_sets;  // Few.
  std::shared_ptr<const route::Route>
      default_route;  // For Listener::default_cluster_slot requests: metrics, timeouts.
};

}  // namespace ringway::config
