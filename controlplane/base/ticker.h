// A thread that calls one function again and again, when that function says.
//
// Thread rule: wake() and stop() from any thread but its own. What the function uses outlives the
// ticker. An exception ends the call, not the thread: it is logged, and the next call comes after
// kAfterFaultNs.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "base/clock.h"

namespace ringway {

class Ticker {
 public:
  static constexpr uint64_t kAfterFaultNs = 5 * kNsPerSecond;
  // Returns when it wants to be called next (monotonic); kNever: when woken.
  using Tick = std::function<uint64_t(uint64_t now_ns)>;

  Ticker(std::string name, Tick tick);  // The first call comes at once.
  ~Ticker();                            // stop()
  void wake();                          // Calls soon; many wakes are one call.
  void stop();                          // Waits for the call under way. Idempotent.

 private:
  void run();

  const std::string name_;
  const Tick tick_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool woken_ = false;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace ringway
