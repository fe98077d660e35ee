// Which of several controllers writes to the cluster: a Lease of coordination.k8s.io/v1, taken and
// renewed as client-go's leaderelection does, so that people read it as they know it.
//
// Safety rests on one process's own clock only: a holder believes in itself until renew_deadline
// after the *start* of its last successful write, others wait lease_duration from the moment they
// saw that write. As renew_deadline < lease_duration and a write is seen after it started, two
// never believe at once (clocks that run at different speeds aside, as in client-go). Times in the
// Lease are for people.
//
// Thread rule: step() and release() on one thread; is_leader() from any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "base/clock.h"
#include "base/random.h"
#include "controlplane/kube/caller.h"

namespace ringway::leader {

struct ElectorOptions {
  std::string ns;
  std::string name;      // Of the Lease; --election-id.
  std::string identity;  // Unique per process; spec.holderIdentity.
  // client-go's defaults. REQUIRES: retry < renew_deadline < lease_duration, in whole seconds.
  uint64_t lease_duration_ns = 15 * kNsPerSecond;
  uint64_t renew_deadline_ns = 10 * kNsPerSecond;
  uint64_t retry_ns = 2 * kNsPerSecond;
};

class Elector {
 public:
  Elector(kube::Caller& api, ElectorOptions options, uint64_t seed);

  // One try to take or renew the Lease. Returns when to call next (monotonic). `now_ns`: read just
  // before; what the call takes counts against us. `wall_ns`: since the epoch.
  uint64_t step(uint64_t now_ns, int64_t wall_ns);
  bool is_leader(uint64_t now_ns) const;
  // Gives the Lease back at once, so that another need not wait. Does nothing when not the leader.
  void release(uint64_t now_ns, int64_t wall_ns);

  const ElectorOptions& options() const { return options_; }
  std::string holder() const;  // As of the last look; "" = nobody. Of the stepping thread.
  // Begin of the last step in which the API server answered, whatever it said; 0 = none yet. Of the
  // stepping thread.
  uint64_t heard_ns() const { return heard_ns_; }
  uint64_t writes() const { return writes_.load(std::memory_order_relaxed); }
  uint64_t transitions() const { return transitions_.load(std::memory_order_relaxed); }

 private:
  enum class Outcome : uint8_t { kHeld, kNotOurs, kFailed };
  Outcome try_once(uint64_t now_ns, int64_t wall_ns);
  Outcome create(int64_t wall_ns);
  Outcome update(nlohmann::json lease, int64_t wall_ns);
  void observe(nlohmann::json lease, uint64_t now_ns);
  void complain(const std::string& what);
  std::string path() const;
  kube::Result ask(kube::Request request);

  kube::Caller& api_;
  const ElectorOptions options_;
  Random random_;
  nlohmann::json observed_;   // null: nothing seen yet.
  uint64_t observed_ns_ = 0;  // When it was first seen as it is.
  bool held_ = false;         // The last successful look or write said so.
  bool answered_ = false;     // In this step.
  uint64_t heard_ns_ = 0;
  std::atomic<uint64_t> leading_until_ns_ = 0;
  std::atomic<uint64_t> writes_ = 0;
  std::atomic<uint64_t> transitions_ = 0;  // Times that this process became the leader.
  std::string complaint_;                  // A fault that repeats is logged once.
};

}  // namespace ringway::leader
