#include "dataplane/upstream/outlier.h"

#include <algorithm>

namespace ringway::upstream {
namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;

struct Share {
  uint32_t endpoints = 0;  // That would take requests if they were healthy.
  uint32_t ejected = 0;
};

Share share_of(const Cluster& cluster, uint64_t now_ns) {
  Share share;
  for (const EndpointRef& ref : cluster.endpoints) {
    if (!ref.ready || !ref.serving) continue;
    ++share.endpoints;
    share.ejected += ref.state->ejected(now_ns);
  }
  return share;
}

uint64_t ejection_ns(const OutlierPolicy& policy, uint32_t ejections) {
  // Bounded first: neither the product nor the sum with the clock can overflow.
  const uint64_t steps = std::min<uint64_t>(
      ejections, policy.max_ejection_ns / std::max<uint64_t>(1, policy.base_ejection_ns) + 1);
  return std::min(policy.base_ejection_ns * steps, policy.max_ejection_ns);
}

bool try_eject(const Cluster& cluster, EndpointState& endpoint, uint64_t now_ns) {
  const OutlierPolicy& policy = cluster.outlier;
  uint64_t until = endpoint.ejected_until_ns.load(kRelaxed);
  if (until > now_ns) return false;
  const Share before = share_of(cluster, now_ns);
  const uint32_t allowed = ejected_max(before.endpoints, policy.max_ejected_percent);
  if (before.ejected >= allowed) return false;
  const uint32_t ejections = endpoint.ejections.load(kRelaxed) + 1;
  const uint64_t length = ejection_ns(policy, ejections);
  if (!endpoint.ejected_until_ns.compare_exchange_strong(until, now_ns + length))
    return false;  // Another worker did.
  // Two workers may have taken the last place at once, by different endpoints: the later to look
  // steps back.
  if (share_of(cluster, now_ns).ejected > allowed) {
    endpoint.ejected_until_ns.store(0, kRelaxed);
    return false;
  }
  endpoint.ejections.store(ejections, kRelaxed);
  endpoint.decay_at_ns.store(now_ns + length + policy.base_ejection_ns, kRelaxed);
  return true;
}

}  // namespace

uint32_t ejected_max(uint32_t endpoints, uint32_t percent) {
  const auto share = static_cast<uint32_t>(uint64_t{endpoints} * std::min(percent, 100u) / 100);
  return endpoints >= 2 ? std::max(1u, share) : share;
}

void note_success(const Cluster& cluster, EndpointState& endpoint, uint64_t now_ns) {
  // Loads first: in the usual case nothing is written and the cache line stays shared.
  if (endpoint.consecutive_errors.load(kRelaxed) != 0)
    endpoint.consecutive_errors.store(0, kRelaxed);
  if (endpoint.ejections.load(kRelaxed) == 0) return;
  uint64_t decay_at = endpoint.decay_at_ns.load(kRelaxed);
  if (now_ns < decay_at) return;
  if (!endpoint.decay_at_ns.compare_exchange_strong(
          decay_at, now_ns + cluster.outlier.base_ejection_ns, kRelaxed))
    return;
  uint32_t ejections = endpoint.ejections.load(kRelaxed);
  while (ejections != 0 &&
         !endpoint.ejections.compare_exchange_weak(ejections, ejections - 1, kRelaxed)) {
  }
}

bool note_error(const Cluster& cluster, EndpointState& endpoint, uint64_t now_ns) {
  const uint32_t errors = endpoint.consecutive_errors.fetch_add(1, kRelaxed) + 1;
  if (cluster.outlier.off || errors < cluster.outlier.consecutive_errors) return false;
  return try_eject(cluster, endpoint, now_ns);
}

}  // namespace ringway::upstream
