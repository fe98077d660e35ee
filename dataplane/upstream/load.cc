#include "dataplane/upstream/load.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "dataplane/upstream/balancer.h"
#include "dataplane/upstream/outlier.h"
#include "dataplane/upstream/retry_budget.h"

namespace ringway::upstream {
namespace {

// Long enough for EndpointSlices to say that a pod has gone, short enough for a pod that has come.
constexpr uint64_t kShunNs = 1'000'000'000;
// Every candidate is compared with each: of clusters with more dead endpoints some are met again.
constexpr size_t kShunnedMax = 64;

}  // namespace

struct WorkerLoad::ClusterEntry {
  uint64_t uid = 0;
  uint64_t revision = ~uint64_t{0};  // Of no cluster: the first use builds the rotation.
  RoundRobin round_robin;
  RetryBudget budget;
};

// The `unpublished` counts are this worker's changes that EndpointState does not have yet: written
// in batches, so that workers do not pass its cache line to and fro on every request.
struct WorkerLoad::EndpointEntry {
  uint64_t uid = 0;
  uint32_t in_flight = 0;
  int32_t unpublished_in_flight = 0;
  uint32_t unpublished_requests = 0;
  uint64_t shunned_until_ns = 0;

  // At few requests in flight every change is published, at many one in eight: what /endpoints
  // shows is right to an eighth, and exact when the worker has none in flight.
  void publish_if_due(EndpointState& endpoint) {
    const uint32_t change = static_cast<uint32_t>(
        unpublished_in_flight < 0 ? -unpublished_in_flight : unpublished_in_flight);
    if (in_flight != 0 && change * 8 < in_flight && unpublished_requests < 64) return;
    if (unpublished_in_flight != 0) {
      // Negative changes wrap around, as does the sum.
      endpoint.in_flight.fetch_add(static_cast<uint32_t>(unpublished_in_flight),
                                   std::memory_order_relaxed);
    }
    if (unpublished_requests != 0)
      endpoint.requests_total.fetch_add(unpublished_requests, std::memory_order_relaxed);
    unpublished_in_flight = 0;
    unpublished_requests = 0;
  }
};

WorkerLoad::WorkerLoad(uint64_t seed) : random_(seed) {}
WorkerLoad::~WorkerLoad() = default;

WorkerLoad::ClusterEntry& WorkerLoad::entry(const Cluster& cluster) {
  if (cluster.slot >= clusters_.size())
    clusters_.resize(std::max<size_t>(cluster.slot + 1, clusters_.size() * 2));
  auto& place = clusters_[cluster.slot];
  if (place == nullptr) place = std::make_unique<ClusterEntry>();
  if (place->uid != cluster.uid) *place = ClusterEntry{.uid = cluster.uid};
  if (place->revision != cluster.revision) {
    place->revision = cluster.revision;
    place->round_robin.reset(cluster.endpoints, random_);
  }
  return *place;
}

WorkerLoad::EndpointEntry& WorkerLoad::entry(const EndpointState& endpoint) {
  if (endpoint.slot >= endpoints_.size())
    endpoints_.resize(std::max<size_t>(endpoint.slot + 1, endpoints_.size() * 2));
  EndpointEntry& place = endpoints_[endpoint.slot];
  if (place.uid != endpoint.uid) place = EndpointEntry{.uid = endpoint.uid};
  return place;
}

const EndpointRef* WorkerLoad::pick(const Cluster& cluster,
                                    std::span<const EndpointState* const> tried, uint64_t now_ns) {
  if (cluster.endpoints.empty()) return nullptr;
  ClusterEntry& state = entry(cluster);
  // Each with fewer left out.
  std::array<std::span<const EndpointState* const>, 3> passes;
  size_t count = 0;
  if (now_ns < shunned_until_ns_) [[unlikely]] {
    passes[count++] = tried_or_shunned(cluster, tried, now_ns);
  }
  if (!tried.empty()) passes[count++] = tried;
  passes[count++] = {};
  for (const Tier tier : kTiers) {
    for (const auto& avoided : std::span(passes).first(count)) {
      const Candidates candidates{cluster.endpoints, avoided, tier, now_ns};
      const EndpointRef* picked =
          cluster.balancer == BalancerKind::kLeastRequest
              ? pick_least_loaded(candidates, random_,
                                  [this](const EndpointState& e) { return in_flight(e); })
              : state.round_robin.pick(candidates);
      if (picked != nullptr) return picked;
    }
  }
  return nullptr;
}

bool WorkerLoad::shunned(const EndpointState& endpoint, uint64_t now_ns) const {
  if (endpoint.slot >= endpoints_.size()) return false;
  const EndpointEntry& own = endpoints_[endpoint.slot];
  return own.uid == endpoint.uid && now_ns < own.shunned_until_ns;
}

std::span<const EndpointState* const> WorkerLoad::tried_or_shunned(
    const Cluster& cluster, std::span<const EndpointState* const> tried, uint64_t now_ns) {
  avoided_.assign(tried.begin(), tried.end());
  for (const EndpointRef& endpoint : cluster.endpoints) {
    if (avoided_.size() >= tried.size() + kShunnedMax) break;
    if (shunned(*endpoint.state, now_ns)) avoided_.push_back(endpoint.state.get());
  }
  return avoided_;
}

void WorkerLoad::begin(const Cluster&, EndpointState& endpoint) {
  EndpointEntry& own = entry(endpoint);
  ++own.in_flight;
  ++own.unpublished_in_flight;
  ++own.unpublished_requests;
  own.publish_if_due(endpoint);
}

bool WorkerLoad::end(const Cluster& cluster, EndpointState& endpoint, Outcome outcome,
                     uint64_t now_ns) {
  EndpointEntry& own = entry(endpoint);
  CHECK(own.in_flight != 0);
  --own.in_flight;
  --own.unpublished_in_flight;
  own.publish_if_due(endpoint);
  switch (outcome) {
    case Outcome::kAbandoned:
      return false;
    case Outcome::kSuccess:
      own.shunned_until_ns = 0;
      note_success(cluster, endpoint, now_ns);
      return false;
    case Outcome::kConnectFailure:
      own.shunned_until_ns = shunned_until_ns_ = now_ns + kShunNs;
      break;
    case Outcome::kServerError:
    case Outcome::kReset:
    case Outcome::kTimeout:
      break;
  }
  endpoint.errors_total.fetch_add(1, std::memory_order_relaxed);
  return note_error(cluster, endpoint, now_ns);
}

void WorkerLoad::note_request(const Cluster& cluster, uint64_t now_ns) {
  entry(cluster).budget.note_request(now_ns);
}

bool WorkerLoad::try_spend_retry(const Cluster& cluster, uint32_t budget_percent, uint64_t now_ns) {
  return entry(cluster).budget.try_spend(budget_percent, now_ns);
}

uint32_t WorkerLoad::in_flight(const EndpointState& endpoint) const {
  if (endpoint.slot >= endpoints_.size()) return 0;
  const EndpointEntry& own = endpoints_[endpoint.slot];
  return own.uid == endpoint.uid ? own.in_flight : 0;
}

}  // namespace ringway::upstream
