// A ring and its wheel, driven until something holds; for tests of what runs on the control thread,
// on both backends of the kernel.
#pragma once

#include <gtest/gtest.h>

#include <memory>

#include "base/clock.h"
#include "dataplane/io/ring.h"
#include "dataplane/io/timer_wheel.h"

namespace ringway::observe {

struct RingLoop {
  explicit RingLoop(io::Backend backend) {
    io::RingOptions options;
    options.entries = 256;
    options.sockets_max = 4096;
    options.small = {4096, 256, 256};
    options.bulk = {65536, 4, 4};
    options.output = {4096, 64, 1024};
    ring = io::make_ring(backend, options);
    ring->turn(0);
    wheel = std::make_unique<io::TimerWheel>(ring->now_ns());
  }

  void turn(uint64_t wait_ns = 10 * kNsPerMs) {
    const uint64_t deadline = std::min(wheel->next_deadline_ns(), monotonic_ns() + wait_ns);
    ring->turn(deadline);
    wheel->advance(ring->now_ns());
  }

  template <typename Condition>
  bool run_until(Condition&& condition, int timeout_ms = 10'000) {
    const uint64_t deadline = monotonic_ns() + static_cast<uint64_t>(timeout_ms) * kNsPerMs;
    while (!condition()) {
      if (monotonic_ns() > deadline) return false;
      turn();
    }
    return true;
  }
  void run_for(int ms) {
    run_until([] { return false; }, ms);
  }

  std::unique_ptr<io::Ring> ring;
  std::unique_ptr<io::TimerWheel> wheel;
};

class RingLoopTest : public testing::TestWithParam<io::Backend> {
 protected:
  void SetUp() override {
    if (GetParam() == io::Backend::kUring && !io::choose_backend(io::BackendChoice::kUring))
      GTEST_SKIP() << "no io_uring here";
    loop_ = std::make_unique<RingLoop>(GetParam());
  }
  std::unique_ptr<RingLoop> loop_;
};

}  // namespace ringway::observe
