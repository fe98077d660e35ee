#include "controlplane/base/ticker.h"

#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>

namespace ringway {
namespace {

void wait_for(const std::atomic<int>& count, int at_least) {
  while (count < at_least) std::this_thread::yield();
}

TEST(TickerTest, CallsAtOnceThenWhenAskedThenWhenWoken) {
  std::atomic<int> calls = 0;
  Ticker ticker("test", [&](uint64_t now_ns) { return ++calls < 3 ? now_ns + kNsPerMs : kNever; });
  wait_for(calls, 3);
  ticker.wake();
  wait_for(calls, 4);
  ticker.stop();
  ticker.wake();
  ticker.stop();
  EXPECT_EQ(calls, 4);
}

TEST(TickerTest, AnExceptionIsNotTheEnd) {
  std::atomic<int> calls = 0;
  Ticker ticker("test", [&](uint64_t) -> uint64_t {
    if (++calls == 1) throw std::runtime_error("once");
    return kNever;
  });
  wait_for(calls, 1);
  ticker.wake();
  wait_for(calls, 2);
}

TEST(TickerTest, StopsWhileItWaitsForAnHour) {
  std::atomic<int> calls = 0;
  {
    Ticker ticker("test", [&](uint64_t) { return ++calls, kNever; });
    wait_for(calls, 1);
  }
  EXPECT_EQ(calls, 1);
}

}  // namespace
}  // namespace ringway
