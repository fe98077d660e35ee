#include "dataplane/upstream/balancer.h"

#include <algorithm>

namespace ringway::upstream {

bool in_tier(const EndpointRef& endpoint, Tier tier, uint64_t now_ns) {
  if (!endpoint.serving) return false;
  const bool takes_traffic = endpoint.ready && !endpoint.terminating;
  switch (tier) {
    case Tier::kPanic:
      return takes_traffic;
    case Tier::kLast:
      return endpoint.terminating;
    case Tier::kHealthy:
      if (!takes_traffic) return false;
      break;
    case Tier::kTerminating:
      if (!endpoint.terminating) return false;
      break;
  }
  // Retired: a request that began under an older configuration chooses again.
  return !endpoint.state->check_failed.load(std::memory_order_relaxed) &&
         !endpoint.state->retired.load(std::memory_order_relaxed) &&
         !endpoint.state->ejected(now_ns);
}

bool Candidates::has(const EndpointRef& endpoint) const {
  return in_tier(endpoint, tier, now_ns) &&
         (tried.empty() || std::ranges::find(tried, endpoint.state.get()) == tried.end());
}

void RoundRobin::reset(const std::vector<EndpointRef>& endpoints, Random& random) {
  equal_ = true;
  uint64_t sum = 0;
  for (const EndpointRef& endpoint : endpoints) {
    equal_ = equal_ && endpoint.weight == endpoints.front().weight;
    sum += endpoint.weight;
  }
  next_ = endpoints.empty() ? 0 : random.below(static_cast<uint32_t>(endpoints.size()));
  current_.assign(equal_ ? 0 : endpoints.size(), 0);
  if (equal_) return;
  // Any number of steps keeps the exactness; few are enough to tell workers apart.
  for (uint32_t steps = random.below(static_cast<uint32_t>(std::min<uint64_t>(sum, 32)));
       steps != 0; --steps) {
    size_t best = 0;
    for (size_t i = 0; i < endpoints.size(); ++i) {
      current_[i] += endpoints[i].weight;
      if (current_[i] > current_[best]) best = i;
    }
    current_[best] -= static_cast<int64_t>(sum);
  }
}

const EndpointRef* RoundRobin::pick(const Candidates& candidates) {
  return equal_ ? rotate(candidates) : weigh(candidates);
}

const EndpointRef* RoundRobin::rotate(const Candidates& candidates) {
  const size_t size = candidates.endpoints.size();
  for (size_t i = 0; i < size; ++i) {
    const size_t at = next_ + i < size ? next_ + i : next_ + i - size;
    if (!candidates.has(candidates.endpoints[at])) continue;
    next_ = at + 1 < size ? at + 1 : 0;
    return &candidates.endpoints[at];
  }
  return nullptr;
}

const EndpointRef* RoundRobin::weigh(const Candidates& candidates) {
  const auto& endpoints = candidates.endpoints;
  int64_t sum = 0;
  size_t best = endpoints.size();
  for (size_t i = 0; i < endpoints.size(); ++i) {
    if (!candidates.has(endpoints[i])) continue;
    sum += endpoints[i].weight;
    current_[i] += endpoints[i].weight;
    if (best == endpoints.size() || current_[i] > current_[best]) best = i;
  }
  if (best == endpoints.size()) return nullptr;
  current_[best] -= sum;
  return &endpoints[best];
}

}  // namespace ringway::upstream
