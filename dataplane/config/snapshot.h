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
#include <unordered_map>
#include <utility>
#include <vector>

#include "dataplane/http/message.h"
#include "dataplane/io/socket_address.h"
#include "dataplane/net/cidr.h"
#include "dataplane/net/proxy_protocol.h"
#include "dataplane/route/route_table.h"
#include "dataplane/upstream/cluster.h"

namespace ringway::tls {
class ServerContext;  // Certificates and policy of a TLS listener: tls/server_context.h
}

namespace ringway::config {

enum class ListenerKind : uint8_t {
  kHttp,
  kHttps,
  kTcp,             // Bytes go to a cluster as they are.
  kTls,             // TLS ends here, the bytes inside go to a cluster.
  kTlsPassthrough,  // TLS goes on as it is, to a cluster by server name.
  kUdp,
};

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
  uint32_t http2_streams_max = 128;             // Open at once on one connection.
  bool http2 = true;  // Spoken beside HTTP/1.1: ALPN, or the preface in clear text.
  bool trust_forwarded = false;
  std::string hsts;  // Value of Strict-Transport-Security, "" when off.
};

// A cluster by its slot, and the uid that tells whether the slot is still that cluster's.
struct ClusterTarget {
  uint32_t slot = route::kNoCluster;
  uint64_t uid = 0;
};

// Where their connections to endpoints come from.
enum class StreamSource : uint8_t {
  kProxy,
  kClient,  // The client's address, where net::client_source() has one.
};

// What relays of bytes and datagrams go by. Defaults: proxy-stream-* of ingress-nginx.
struct StreamPolicy {
  uint64_t connect_timeout_ns = 5'000'000'000;
  uint64_t idle_timeout_ns = 600'000'000'000;         // proxy-stream-timeout
  uint64_t tls_handshake_timeout_ns = 5'000'000'000;  // kTls
  uint32_t tries = 3;                                 // proxy-stream-next-upstream-tries
  uint64_t tries_timeout_ns = 600'000'000'000;        // proxy-stream-next-upstream-timeout; 0: none
  uint32_t connections_max = 50000;                   // Of the process on this listener; UDP: sessions.
  uint32_t connections_per_address_max = 0;           // 0: no limit.
  net::ProxyVersion send_proxy = net::ProxyVersion::kNone;
  StreamSource source = StreamSource::kProxy;  // Of the process: --transparent-source.
  uint32_t udp_responses = 0;  // proxy-stream-responses: a session ends after so many; 0: by idle time only.
};

// What is read from a connection before it is known what is to be done with it.
struct PreludePolicy {
  bool proxy_protocol = false;     // A header is required from everyone ...
  std::vector<net::Cidr> trusted;  // ... and believed from these.
  uint64_t timeout_ns = 5'000'000'000;  // For header and ClientHello together.
};

// Which server names pass through, and where to.
struct PassthroughHosts {
  // Lower case; exact names, and "example.com" of "*.example.com" (one label).
  std::unordered_map<std::string, ClusterTarget> exact, wildcard;
  // nullptr: terminated here. `server_name`: lower case.
  const ClusterTarget* find(std::string_view server_name) const;
};

struct Listener {
  std::string name;
  std::vector<std::string> addresses;  // As configured: what the supervisor binds.
  ListenerKind kind = ListenerKind::kHttp;
  std::string route_set;
  uint16_t public_port = 0;
  uint16_t redirect_https_port = 443;
  uint32_t default_cluster_slot = route::kNoCluster;
  std::shared_ptr<const HttpPolicy> http;      // kHttp and kHttps only.
  std::shared_ptr<const StreamPolicy> stream;  // The other kinds; kHttps with `passthrough` too.
  std::shared_ptr<tls::ServerContext>
      tls;  // kHttps and kTls only. New connections take this one; old ones keep theirs.
  std::shared_ptr<const PreludePolicy> prelude;          // nullptr: nothing is read beforehand.
  std::shared_ptr<const PassthroughHosts> passthrough;   // kHttps, kTlsPassthrough; nullptr: none.
  ClusterTarget stream_cluster;  // kTcp, kTls, kUdp; kTlsPassthrough: for names that are not listed.
  uint64_t revision = 0;

  bool is_http() const { return kind == ListenerKind::kHttp || kind == ListenerKind::kHttps; }
  bool reads_hello() const { return kind == ListenerKind::kTlsPassthrough || passthrough != nullptr; }
  uint32_t connections_max() const { return http != nullptr ? http->connections_max : stream->connections_max; }
  uint32_t connections_per_address_max() const {
    return http != nullptr ? http->connections_per_address_max : stream->connections_per_address_max;
  }
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

  // The cluster itself, to be held beyond the snapshot; nullptr when the slot has none or another one.
  std::shared_ptr<const upstream::Cluster> cluster(const ClusterTarget& target) const {
    const upstream::Cluster* there = cluster(target.slot);
    if (there == nullptr || there->uid != target.uid) return nullptr;
    return (*cluster_chunks[target.slot / kChunk])[target.slot % kChunk];
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
