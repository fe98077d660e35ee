// What one worker knows of its upstreams: balancer positions, requests in flight, retry budget. No
// locks, no allocation per request.
//
// Thread rule: one worker.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/random.h"
#include "dataplane/upstream/cluster.h"

namespace ringway::upstream {

enum class Outcome : uint8_t {
  kSuccess,         // A response head below 500, or 500/501/505…: the endpoint works.
  kServerError,     // 502, 503, 504 from the endpoint: counts as an error.
  kConnectFailure,  // Refused, unreachable, connect timeout.
  kReset,           // Broke before or inside the response.
  kTimeout,         // No response head in time.
  kAbandoned,       // The client left, or we gave up for reasons of our own: says nothing about the
                    // endpoint.
};

class WorkerLoad {
 public:
  explicit WorkerLoad(uint64_t seed);
  ~WorkerLoad();

  // Chooses an endpoint for one try. Candidates: ready and serving, not failed by checks, not
  // ejected. When none: serving-but-terminating ones; when none: if every ready endpoint is merely
  // ejected or failed (panic), one of the ready all the same; nullptr when the cluster has no
  // usable endpoint. Inside each of these, an endpoint to which a connect has failed within the
  // last second comes after the others (when most pods of a Service end at once, one request finds
  // that out for those behind it), and those in `tried` come last. The result is valid while the
  // snapshot of `cluster` is pinned.
  const EndpointRef* pick(const Cluster& cluster, std::span<const EndpointState* const> tried,
                          uint64_t now_ns);

  // Brackets one try. `end` does passive health: errors in a row eject the endpoint for a growing
  // time (cluster.outlier), never more than the share; returns true when this call ejected it (the
  // caller counts).
  void begin(const Cluster& cluster, EndpointState& endpoint);
  bool end(const Cluster& cluster, EndpointState& endpoint, Outcome outcome, uint64_t now_ns);

  // Retry budget of (worker, cluster): requests earn, retries spend; at least 10 per second always.
  void note_request(const Cluster& cluster, uint64_t now_ns);
  bool try_spend_retry(const Cluster& cluster, uint32_t budget_percent, uint64_t now_ns);

  uint32_t in_flight(const EndpointState& endpoint) const;

 private:
  struct ClusterEntry;
  struct EndpointEntry;
  ClusterEntry& entry(const Cluster& cluster);
  EndpointEntry& entry(const EndpointState& endpoint);
  bool shunned(const EndpointState& endpoint, uint64_t now_ns) const;
  // `tried` and the shunned ones, in avoided_.
  std::span<const EndpointState* const> tried_or_shunned(
      const Cluster& cluster, std::span<const EndpointState* const> tried, uint64_t now_ns);

  Random random_;
  std::vector<std::unique_ptr<ClusterEntry>> clusters_;  // By Cluster::slot.
  std::vector<EndpointEntry> endpoints_;                 // By EndpointState::slot.
  uint64_t shunned_until_ns_ = 0;                        // The last of them all.
  std::vector<const EndpointState*> avoided_;            // Of one pick().
};

}  // namespace ringway::upstream
