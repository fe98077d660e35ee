// How fast we write to an API server that others need too, and how we wait when it refuses. The
// clock is an argument. One thread.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/clock.h"

namespace ringway::status {

// A bucket of `burst` that fills by one each `interval_ns`.
class Pace {
 public:
  Pace(uint32_t burst, uint64_t interval_ns) : burst_(burst), interval_ns_(interval_ns) {}

  // Whether one may be done now; if so it counts.
  bool take(uint64_t now_ns) {
    full_at_ns_ = std::max(full_at_ns_, now_ns);
    if (full_at_ns_ - now_ns + interval_ns_ > burst_ * interval_ns_) return false;
    full_at_ns_ += interval_ns_;
    return true;
  }
  uint64_t interval_ns() const { return interval_ns_; }

 private:
  const uint64_t burst_;
  const uint64_t interval_ns_;
  uint64_t full_at_ns_ = 0;  // When the bucket is full again if nothing is taken.
};

// Waits after failures: doubles from a second to ten. One leader writes, one request a wait: longer
// waits would spare a server nothing, and leave what is shown behind what is so.
class Pause {
 public:
  bool over(uint64_t now_ns) const { return now_ns >= until_ns_; }
  uint64_t until_ns() const { return until_ns_; }
  void failed(uint64_t now_ns) {
    wait_ns_ = wait_ns_ == 0 ? kNsPerSecond : std::min(2 * wait_ns_, 10 * kNsPerSecond);
    until_ns_ = now_ns + wait_ns_;
  }
  void succeeded() { wait_ns_ = until_ns_ = 0; }

 private:
  uint64_t wait_ns_ = 0;
  uint64_t until_ns_ = 0;
};

}  // namespace ringway::status
