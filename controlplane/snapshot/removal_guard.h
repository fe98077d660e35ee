// Holds back a batch that would remove more than half of the configuration: an emptied directory or
// a wrong listing is more often a fault than a wish, and proxies that keep serving for a moment
// cost nothing. What is still gone when the time is over goes.
//
// Pure: time is an argument. One thread.
#pragma once

#include <cstdint>
#include <set>
#include <vector>

#include "controlplane/snapshot/store.h"

namespace ringway::snapshot {

struct RemovalGuardOptions {
  uint64_t hold_ns = 2'000'000'000;  // 0 = nothing is held.
  size_t resources_min = 32;         // Smaller configurations are not guarded.
};

class RemovalGuard {
 public:
  explicit RemovalGuard(RemovalGuardOptions options) : options_(options) {}

  // What of `removals` may go now; `stored`: resources in the store. `upserts` take back what was
  // held of the same key.
  std::vector<v1::ResourceName> offer(const std::vector<v1::Resource>& upserts,
                                      std::vector<v1::ResourceName> removals, size_t stored,
                                      uint64_t now_ns);
  // What is held and due; empty before the deadline.
  std::vector<v1::ResourceName> release(uint64_t now_ns);
  size_t held() const { return held_.size(); }
  uint64_t deadline_ns() const { return held_.empty() ? ~uint64_t{0} : deadline_ns_; }

 private:
  const RemovalGuardOptions options_;
  std::set<Key> held_;
  uint64_t deadline_ns_ = 0;
};

}  // namespace ringway::snapshot
