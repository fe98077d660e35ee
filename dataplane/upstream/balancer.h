// Choice of an endpoint among those of a cluster. Pure bookkeeping of one worker and one cluster
// revision.
//
// Tiers, the first with an endpoint in it wins: (1) ready and healthy; (2) serving while
// terminating, healthy (both: not gone from the newest configuration); (3) ready, whatever its health (panic: everything is ejected or failed, so
// the news about health is more likely wrong than useful); (4) serving while terminating. Inside a
// tier, endpoints already tried by this request come last.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "base/random.h"
#include "dataplane/upstream/cluster.h"

namespace ringway::upstream {

enum class Tier : uint8_t { kHealthy, kTerminating, kPanic, kLast };
constexpr Tier kTiers[] = {Tier::kHealthy, Tier::kTerminating, Tier::kPanic, Tier::kLast};

bool in_tier(const EndpointRef& endpoint, Tier tier, uint64_t now_ns);

// What a choice may take.
struct Candidates {
  const std::vector<EndpointRef>& endpoints;
  std::span<const EndpointState* const> tried;  // Left out.
  Tier tier;
  uint64_t now_ns;
  bool has(const EndpointRef& endpoint) const;
};

// Smooth weighted round robin as nginx does it: among the candidates each gains its weight, the
// richest is taken and pays the sum. Over one sum of weights each is taken exactly `weight` times,
// spread out. Equal weights need no sums: plain rotation gives the same.
class RoundRobin {
 public:
  // Starts somewhere in the rotation, so that workers (and proxies) do not all begin with the first
  // endpoint.
  void reset(const std::vector<EndpointRef>& endpoints, Random& random);
  const EndpointRef* pick(const Candidates& candidates);  // nullptr: there is none.

 private:
  const EndpointRef* rotate(const Candidates& candidates);
  const EndpointRef* weigh(const Candidates& candidates);
  bool equal_ = true;
  size_t next_ = 0;
  std::vector<int64_t> current_;  // By endpoint; empty when equal_.
};

// Power of two choices: of two random candidates the one with less (in flight + 1) / weight.
// `in_flight`: the worker's own count.
template <typename InFlight>
const EndpointRef* pick_least_loaded(const Candidates& candidates, Random& random,
                                     InFlight&& in_flight) {
  const auto& endpoints = candidates.endpoints;
  const auto size = static_cast<uint32_t>(endpoints.size());
  if (size == 0) return nullptr;
  const EndpointRef* first = nullptr;
  const EndpointRef* second = nullptr;
  // Blind draws are enough while most endpoints are candidates.
  for (int draw = 0; draw < 6 && second == nullptr; ++draw) {
    const EndpointRef& drawn = endpoints[random.below(size)];
    if (&drawn == first || !candidates.has(drawn)) continue;
    (first == nullptr ? first : second) = &drawn;
  }
  if (second == nullptr) {
    // Two by reservoir sampling over all candidates.
    first = nullptr;
    uint32_t seen = 0;
    for (const EndpointRef& endpoint : endpoints) {
      if (!candidates.has(endpoint)) continue;
      ++seen;
      if (first == nullptr) {
        first = &endpoint;
      } else if (second == nullptr) {
        second = &endpoint;
      } else if (const uint32_t place = random.below(seen); place < 2) {
        (place == 0 ? first : second) = &endpoint;
      }
    }
    if (second == nullptr) return first;
    if (random.below(2) == 0)
      std::swap(first, second);  // Ties go to the first: neither end of the list is favoured.
  }
  const uint64_t first_load = (uint64_t{in_flight(*first->state)} + 1) * second->weight;
  const uint64_t second_load = (uint64_t{in_flight(*second->state)} + 1) * first->weight;
  return second_load < first_load ? second : first;
}

}  // namespace ringway::upstream
