// Waits between attempts: exponential with full jitter, so that clients of a server that comes back
// do not come in step. One thread.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

#include "base/random.h"

namespace ringway::kube {

struct BackoffLimits {
  std::chrono::milliseconds first{800};  // Upper bound of the first wait; doubles each time.
  // Upper bound of all. client-go's 30 s protect a server from the kubelets of every node; this is
  // one client with a handful of collections, and until it asks again nothing that changed in the
  // cluster is served.
  std::chrono::milliseconds most{5'000};
};

class Backoff {
 public:
  Backoff(BackoffLimits limits, Random& random)
      : limits_(limits), random_(random), bound_(limits.first) {}

  // Evenly from 0 to the bound. `at_least`: a server's Retry-After, waited in full before that.
  std::chrono::milliseconds next(std::chrono::milliseconds at_least = {}) {
    const std::chrono::milliseconds jitter(
        random_.below(static_cast<uint32_t>(bound_.count()) + 1));
    bound_ = std::min(bound_ * 2, limits_.most);
    return at_least + jitter;
  }

  void reset() { bound_ = limits_.first; }

 private:
  const BackoffLimits limits_;
  Random& random_;
  std::chrono::milliseconds bound_;
};

}  // namespace ringway::kube
