// The wait before another try at a server that could not be reached, or refused. When one of those
// that wait gets through, the server is back, and the others need not sit out their waits: they
// are woken, spread a little. Loop's thread only.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <set>

#include "base/random.h"
#include "controlplane/kube/backoff.h"
#include "controlplane/kube/loop.h"

namespace ringway::kube {

class Retry;

// What those share that ask the same server.
class Retries {
 public:
  ~Retries();  // REQUIRES: nobody waits.
  size_t waiting() const { return waiting_.size(); }

 private:
  friend class Retry;
  void wake(Random& random);

  std::set<Retry*> waiting_;  // After a failure.
  uint64_t through_ns_ = 0;   // When one of them last got through who had failed before.
  uint64_t woken_ns_ = 0;
};

class Retry {
 public:
  using Task = std::function<void()>;
  using Wait = std::chrono::milliseconds;
  struct Least {
    Wait not_before{0};  // A server's Retry-After: waited in full, whoever gets through.
    Wait more{0};        // On top of the back-off; cut short when somebody gets through.
  };

  // All references outlive it.
  Retry(Loop& loop, Retries& all, BackoffLimits limits, Random& random)
      : loop_(loop), all_(all), random_(random), backoff_(limits, random) {}
  ~Retry() { cancel(); }
  Retry(const Retry&) = delete;
  Retry& operator=(const Retry&) = delete;

  // Each replaces what was waited for. The back-off grows with both.
  void after_failure(Task task, Least least);
  void after_failure(Task task) { after_failure(std::move(task), Least()); }
  // Nothing failed, and yet the next try is not to come at once: nobody cuts it short.
  void after_pause(Task task, Wait more = Wait(0));
  void cancel();

  // The server took what was asked. After a failure of this one it wakes the others. The back-off
  // stays as it is: what was taken may break at once.
  void got_through();
  void reset() { backoff_.reset(); }  // What was taken has lasted.

  bool waits() const { return timer_ != 0; }
  uint64_t due_ns() const { return due_ns_; }  // CLOCK_MONOTONIC, while it waits.

 private:
  friend class Retries;
  void arm(Task task, uint64_t due_ns);
  void hurry(Wait wait);

  Loop& loop_;
  Retries& all_;
  Random& random_;
  Backoff backoff_;
  bool failing_ = false;   // Since it last got through.
  uint64_t asked_ns_ = 0;  // Of the last after_failure().
  uint64_t not_before_ns_ = 0;
  uint64_t due_ns_ = 0;
  Loop::TimerId timer_ = 0;
  Task task_;
};

}  // namespace ringway::kube
