// A compiled route: what to do with a request. Immutable, part of a snapshot.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ringway::route {

struct WeightedCluster {
  uint32_t cluster_slot;  // Snapshot::cluster(), nullptr there while no such cluster exists;
                          // kNoCluster when none is named.
  uint32_t weight;
  uint32_t https_cluster_slot;  // For requests that came by HTTPS; most often the same.
};
constexpr uint32_t kNoCluster = ~uint32_t{0};

enum class ActionKind : uint8_t { kBackend, kRedirect, kFixedResponse };

struct Timeouts {
  uint64_t connect_ns = 5'000'000'000;
  uint64_t response_idle_ns = 60'000'000'000;
  uint64_t request_idle_ns = 60'000'000'000;
  uint64_t request_total_ns = 0;  // 0: none.
  uint64_t tunnel_idle_ns = 0;      // 0: HttpPolicy::tunnel_idle_timeout_ns.
  uint64_t tunnel_lifetime_ns = 0;  // 0: none.
};

struct RetryPolicy {
  uint32_t tries = 3;       // The first included.
  uint64_t timeout_ns = 0;  // 0: none.
  bool non_idempotent = false;
  uint32_t replay_bytes_max = 65536;
  uint32_t budget_percent = 20;
};

struct HttpsRedirect {
  uint16_t status = 308;
  std::vector<std::string> exempt_prefixes;
};

// rewrite-target, parsed: literal pieces and capture references.
class Rewrite;

struct Route {
  std::string name;                                            // "<namespace>/<ingress>#<index>"
  std::string namespace_name, ingress, service, service_port;  // Metric labels.
  uint32_t metrics_slot = 0;  // (namespace, ingress, service) -> index of per-worker counters.
  std::shared_ptr<const void> metrics_lease;  // Keeps the slot from being given to other labels.
  ActionKind action = ActionKind::kBackend;
  std::vector<WeightedCluster> clusters;  // kBackend
  uint32_t weight_total = 0;
  uint16_t status = 0;   // kRedirect, kFixedResponse
  std::string location;  // kRedirect
  std::string body;      // kFixedResponse
  std::optional<HttpsRedirect> https_redirect;
  std::shared_ptr<const Rewrite> rewrite;  // nullptr: the path is forwarded as matched (canonical).
  Timeouts timeouts;
  RetryPolicy retry;
  uint64_t request_body_bytes_max = 1 << 20;
  bool grpc_web = false;  // gRPC-Web of clients is translated to gRPC.
};

// The outcome of a lookup. `route` is nullptr when nothing matched.
struct Match {
  const Route* route = nullptr;
};

}  // namespace ringway::route
