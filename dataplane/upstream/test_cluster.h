// Clusters for tests: endpoints 10.0.0.1:8080, 10.0.0.2:8080, ... with the weights given.
#pragma once

#include <vector>

#include "dataplane/upstream/cluster.h"
#include "dataplane/upstream/endpoint_registry.h"

namespace ringway::upstream {

struct TestCluster {
  explicit TestCluster(const std::vector<uint32_t>& weights,
                       BalancerKind kind = BalancerKind::kRoundRobin) {
    cluster.name = "default/web:80";
    cluster.uid = 1;
    cluster.revision = 1;
    cluster.balancer = kind;
    for (size_t i = 0; i < weights.size(); ++i) {
      auto state = registry.find_or_make(
          "10.0." + std::to_string(i / 250) + "." + std::to_string(i % 250 + 1), 8080,
          Protocol::kHttp1);
      cluster.endpoints.push_back({.state = *state, .weight = weights[i]});
    }
  }
  EndpointState& state(size_t i) { return *cluster.endpoints[i].state; }
  size_t index(const EndpointRef* ref) const {
    return static_cast<size_t>(ref - cluster.endpoints.data());
  }

  EndpointRegistry registry;
  Cluster cluster;
};

constexpr uint64_t kMs = 1'000'000;
constexpr uint64_t kSecond = 1'000'000'000;

}  // namespace ringway::upstream
