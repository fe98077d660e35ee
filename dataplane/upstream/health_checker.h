// Active health checks: asks every endpoint of the clusters that want it and writes
// EndpointState::check_failed.
//
// One check per (endpoint, policy), however many clusters share them, and once per process: workers
// only read the outcome. An endpoint fails while any of its checks does. Checks are spread over the
// interval, so that a thousand endpoints are not asked in one moment.
//
// Thread rule: the control thread's; everything runs from its calls, Ring::turn() and
// TimerWheel::advance().
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/random.h"
#include "dataplane/io/ring.h"
#include "dataplane/io/timer_wheel.h"
#include "dataplane/upstream/cluster.h"
#include "dataplane/upstream/health_probe.h"

namespace ringway::upstream {

struct HealthCheckerStats {
  uint64_t passed = 0;
  uint64_t failed = 0;
  uint64_t skipped = 0;    // No socket was to be had.
  uint32_t checks = 0;     // (endpoint, policy) pairs watched now.
  uint32_t unhealthy = 0;  // Of these, those that say unhealthy.
};

class HealthChecker {
 public:
  static constexpr uint32_t kProbesMax = 256;  // In flight at once; further ones wait their turn.
  // An endpoint's health as its checks see it has changed. `reason`: of the check that made it
  // fail, "" when it is well again.
  using OnChange = std::function<void(const EndpointState&, bool healthy, std::string_view reason)>;

  // `ring` and `wheel` outlive the checker.
  HealthChecker(io::Ring& ring, io::TimerWheel& wheel, uint64_t seed);
  ~HealthChecker();  // CHECKs that no probe is in flight: drain() first.
  HealthChecker(const HealthChecker&) = delete;
  HealthChecker& operator=(const HealthChecker&) = delete;

  void set_on_change(OnChange on_change) { on_change_ = std::move(on_change); }
  // The cluster as it is now: checks of new endpoints begin, those of lost ones end. By
  // Cluster::uid.
  void set_cluster(const Cluster& cluster);
  void remove_cluster(uint64_t uid);
  // Ends every check; drive ring and wheel until drained().
  void drain();
  bool drained() const { return draining_ && probes_ == 0; }
  const HealthCheckerStats& stats() const { return stats_; }

 private:
  struct Check;
  struct Key {
    uint64_t endpoint;  // EndpointState::uid
    uint64_t policy;
    auto operator<=>(const Key&) const = default;
  };
  struct Policy {
    uint64_t id;
    std::shared_ptr<const HealthCheckPolicy> policy;
    uint32_t checks = 0;
  };

  const std::string& policy_of(const std::shared_ptr<const HealthCheckPolicy>&
                                   policy);  // Key in policies_, added when not there.
  void add_user(const EndpointRef& endpoint, const std::string& policy, std::vector<Key>& keys);
  void drop_user(const Key& key);
  void destroy(Check& check);
  void begin(Check& check);
  void finished(Check& check, Verdict verdict, std::string_view reason);
  void note_result(Check& check, Verdict verdict, std::string_view reason);
  void set_failing(Check& check, bool failing, std::string_view reason);
  void schedule_next(Check& check);
  void start_waiting();

  io::Ring& ring_;
  io::TimerWheel& wheel_;
  Random random_;
  OnChange on_change_;
  HealthCheckerStats stats_;
  std::map<std::string, Policy> policies_;  // By content.
  std::map<Key, std::unique_ptr<Check>> checks_;
  std::unordered_map<uint64_t, std::vector<Key>> clusters_;  // By Cluster::uid; what each uses.
  std::unordered_map<uint64_t, uint32_t>
      failing_;              // EndpointState::uid -> checks that say unhealthy.
  std::deque<Key> waiting_;  // Due, but kProbesMax are in flight.
  uint64_t last_policy_ = 0;
  uint32_t probes_ = 0;
  bool starting_ = false;
  bool draining_ = false;
};

}  // namespace ringway::upstream
