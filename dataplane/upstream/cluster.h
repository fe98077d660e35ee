// A cluster as compiled into a snapshot: immutable; refers to shared EndpointStates.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/tls/client_context.h"
#include "dataplane/upstream/endpoint.h"

namespace ringway::upstream {

enum class BalancerKind : uint8_t { kRoundRobin, kLeastRequest };

struct EndpointRef {
  std::shared_ptr<EndpointState> state;
  uint32_t weight = 1;
  bool ready = true;
  bool serving = true;
  bool terminating = false;
  std::string pod, node, zone;
};

struct PoolLimits {  // Per worker and endpoint.
  uint32_t connections_max = 1024;
  uint32_t idle_max = 320;
  uint64_t idle_timeout_ns = 60'000'000'000;
  uint32_t requests_max = 10000;  // Per connection.
  uint64_t age_max_ns = 3'600'000'000'000;
  uint32_t pending_max = 1024;  // Waiting requests, per worker and cluster.
};

struct OutlierPolicy {
  bool off = false;
  uint32_t consecutive_errors = 5;
  uint64_t base_ejection_ns = 10'000'000'000;
  uint64_t max_ejection_ns = 300'000'000'000;
  uint32_t max_ejected_percent = 50;
};

struct StatusRange {
  uint16_t first, last;
};

struct HealthCheckPolicy {
  enum class Kind : uint8_t { kHttp, kTcp, kGrpc } kind = Kind::kHttp;
  uint64_t interval_ns = 5'000'000'000;
  uint64_t timeout_ns = 1'000'000'000;
  uint32_t unhealthy_threshold = 3;
  uint32_t healthy_threshold = 2;
  uint32_t jitter_percent = 10;
  std::string path = "/";
  std::string host;  // "": the endpoint's address.
  std::vector<StatusRange> expected{{200, 399}};
  std::string body_contains;
  std::string grpc_service;  // kGrpc: "" is the server as a whole.
};

struct Cluster {
  std::string name;   // "<namespace>/<service>:<port>"
  uint32_t slot = 0;  // Dense index: Snapshot::cluster(slot), per-worker balancer state.
  uint64_t uid = 0;   // Changes when the slot is given to another name.
  uint64_t revision =
      0;  // Changes with every change of endpoints or policy: per-worker state is then rebuilt.
  Protocol protocol = Protocol::kHttp1;
  std::shared_ptr<const tls::ClientContext> tls;  // Of the TLS protocols.
  BalancerKind balancer = BalancerKind::kRoundRobin;
  PoolLimits pool;
  OutlierPolicy outlier;
  std::shared_ptr<const HealthCheckPolicy> health_check;  // nullptr: no active checks.
  std::string service_namespace, service;
  std::vector<EndpointRef> endpoints;  // Order of the configuration, which is sorted.
};

}  // namespace ringway::upstream
