#include "controlplane/base/ticker.h"

#include <algorithm>
#include <chrono>
#include <exception>
#include <utility>

#include "base/log.h"

namespace ringway {

Ticker::Ticker(std::string name, Tick tick)
    : name_(std::move(name)), tick_(std::move(tick)), thread_([this] { run(); }) {}

Ticker::~Ticker() { stop(); }

void Ticker::wake() {
  {
    const std::lock_guard lock(mutex_);
    woken_ = true;
  }
  changed_.notify_one();
}

void Ticker::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void Ticker::run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    woken_ = false;
    lock.unlock();
    uint64_t due_ns;
    try {
      due_ns = tick_(monotonic_ns());
    } catch (const std::exception& error) {
      log_error("{}: {}", name_, error.what());
      due_ns = monotonic_ns() + kAfterFaultNs;
    }
    lock.lock();
    const uint64_t now_ns = monotonic_ns();
    // An hour at most: kNever does not fit into the clock of a condition variable.
    const uint64_t wait_ns = due_ns <= now_ns ? 0 : std::min(due_ns - now_ns, 3600 * kNsPerSecond);
    changed_.wait_for(lock, std::chrono::nanoseconds(wait_ns),
                      [this] { return woken_ || stopping_; });
  }
}

}  // namespace ringway
