// Calls from other threads to the control thread.
#pragma once

#include <functional>
#include <mutex>
#include <vector>

#include "dataplane/io/ring.h"

namespace ringway::control {

class Inbox {
 public:
  explicit Inbox(io::Ring& ring) : ring_(ring) {}

  void post(std::function<void()> call) {   // Any thread.
    {
      const std::lock_guard lock(mutex_);
      calls_.push_back(std::move(call));
    }
    ring_.wake();
  }

  void run() {                              // Control thread, between turns.
    std::vector<std::function<void()>> calls;
    {
      const std::lock_guard lock(mutex_);
      calls.swap(calls_);
    }
    for (const auto& call : calls) call();
  }

 private:
  io::Ring& ring_;
  std::mutex mutex_;
  std::vector<std::function<void()>> calls_;
};

}  // namespace ringway::control
