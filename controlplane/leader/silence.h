// What a controller does that no longer hears the API server. What it knows grows old, and its
// proxies would send requests to pods that are gone. So it shows itself as not ready, its Service
// leads to the others, and then it sends its proxies away. Once: when the API server is away for
// everybody they come back here, and what they have is as good as any.
//
// Pure: time is an argument. One thread.
#pragma once

#include <cstdint>

#include "base/clock.h"

namespace ringway::leader {

class Silence {
 public:
  // Longer than an API server takes to start again; and then what a Service takes to learn.
  static constexpr uint64_t kUnreadyNs = 30 * kNsPerSecond;
  static constexpr uint64_t kSendAwayNs = 45 * kNsPerSecond;

  explicit Silence(uint64_t now_ns) : heard_ns_(now_ns) {}

  void heard(uint64_t at_ns) {
    if (at_ns <= heard_ns_) return;
    heard_ns_ = at_ns;
    sent_away_ = false;
  }
  bool unready(uint64_t now_ns) const { return now_ns >= heard_ns_ + kUnreadyNs; }
  // True once in a silence, when it is time.
  bool send_away(uint64_t now_ns) {
    if (sent_away_ || now_ns < heard_ns_ + kSendAwayNs) return false;
    return sent_away_ = true;
  }

 private:
  uint64_t heard_ns_;
  bool sent_away_ = false;
};

}  // namespace ringway::leader
