// How many tries beyond the first a worker may spend on one cluster: a share of its requests of the
// last ten seconds, and some per second in any case, so that a quiet cluster can retry too. Keeps a
// failing upstream from being hit harder than a working one.
//
// Thread rule: one worker.
#pragma once

#include <array>
#include <cstdint>

#include "base/clock.h"

namespace ringway::upstream {

class RetryBudget {
 public:
  static constexpr uint64_t kSeconds = 10;
  // More than what ejects an endpoint (OutlierDetection.consecutive_errors, default 5): one that
  // dies in a quiet cluster costs no request.
  static constexpr uint32_t kFreePerSecond = 10;

  void note_request(uint64_t now_ns) { ++slot(now_ns).requests; }

  // False: the budget is used up. `percent`: retries per 100 requests.
  bool try_spend(uint32_t percent, uint64_t now_ns) {
    Slot& current = slot(now_ns);
    uint64_t requests = 0;
    uint64_t retries = 0;
    for (const Slot& s : slots_) {
      if (s.second + kSeconds <= current.second) continue;
      requests += s.requests;
      retries += s.retries;
    }
    if ((retries + 1) * 100 <= requests * percent) {
      ++current.retries;
      return true;
    }
    if (current.free == kFreePerSecond) return false;
    ++current.free;
    return true;
  }

 private:
  struct Slot {
    uint64_t second = 0;
    uint32_t requests = 0;
    uint32_t retries = 0;  // Paid by requests.
    uint32_t free = 0;
  };
  Slot& slot(uint64_t now_ns) {
    const uint64_t second = now_ns / kNsPerSecond;
    Slot& s = slots_[second % kSeconds];
    if (s.second != second) s = {second, 0, 0, 0};
    return s;
  }
  std::array<Slot, kSeconds> slots_{};
};

}  // namespace ringway::upstream
