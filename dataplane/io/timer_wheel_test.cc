#include "dataplane/io/timer_wheel.h"

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <vector>

#include "base/random.h"

namespace ringway::io {
namespace {

constexpr uint64_t kTick = TimerWheel::kTickNs;

struct Probe {
  explicit Probe(TimerWheel& w) : wheel(w) { timer.bind<&Probe::on_fire>(*this); }
  void on_fire() {
    ++fired;
    if (then) then();
  }
  TimerWheel& wheel;
  Timer timer;
  int fired = 0;
  std::function<void()> then;
};

TEST(TimerWheel, NeverEarlyAtMostOneTickLate) {
  TimerWheel wheel(123 * kNsPerMs);
  Probe probe(wheel);
  for (uint64_t start = 123; start < 100'000; start += 7777) {
    wheel.advance(start * kNsPerMs);
    const uint64_t deadline = start * kNsPerMs + 42'000'001;
    probe.fired = 0;
    wheel.arm(probe.timer, deadline);
    for (uint64_t now = start * kNsPerMs; !probe.fired; now += kNsPerMs) {
      wheel.advance(now);
      if (now < deadline) {
        ASSERT_EQ(probe.fired, 0);
      }
      ASSERT_LE(now, deadline + kTick + kNsPerMs);
    }
  }
}

TEST(TimerWheel, EveryDistanceFires) {
  // Around each level's border, from different phases of the wheel.
  for (uint64_t phase : {0ull, 1ull, 255ull, 256ull, 65535ull, 70000ull, 16777215ull}) {
    for (uint64_t distance :
         {1ull, 2ull, 255ull, 256ull, 257ull, 511ull, 65535ull, 65536ull, 65537ull, 16777215ull,
          16777216ull, 16777300ull, 4294967295ull, 4294967296ull, 9000000000ull}) {
      TimerWheel wheel(phase * kTick);
      Probe probe(wheel);
      const uint64_t deadline = (phase + distance) * kTick;
      wheel.arm(probe.timer, deadline);
      int rounds = 0;
      while (!probe.fired) {
        const uint64_t next = wheel.next_deadline_ns();
        ASSERT_LE(next, deadline) << phase << "+" << distance;
        ASSERT_LT(++rounds, 20);
        wheel.advance(next);
      }
      EXPECT_EQ(wheel.next_deadline_ns(), kNever);
      // And in one leap.
      wheel.arm(probe.timer, deadline + distance * kTick);
      wheel.advance(deadline + distance * kTick - 1);
      EXPECT_EQ(probe.fired, 1);
      wheel.advance(deadline + distance * kTick);
      EXPECT_EQ(probe.fired, 2);
    }
  }
}

TEST(TimerWheel, PastDeadlineFiresAtTheNextAdvanceOnly) {
  TimerWheel wheel(5 * kTick + 3);
  Probe probe(wheel);
  probe.then = [&] {
    if (probe.fired < 3) wheel.arm(probe.timer, 0);
  };
  wheel.arm(probe.timer, 5 * kTick);
  EXPECT_EQ(wheel.next_deadline_ns(), 0u);
  EXPECT_EQ(probe.fired, 0) << "arming fires nothing";
  wheel.advance(5 * kTick + 3);
  EXPECT_EQ(probe.fired, 1) << "re-armed while firing: one a turn";
  wheel.advance(5 * kTick + 3);
  wheel.advance(5 * kTick + 4);
  wheel.advance(5 * kTick + 4);
  EXPECT_EQ(probe.fired, 3);
}

TEST(TimerWheel, FiringMayCancelOthersOfTheSameTick) {
  TimerWheel wheel(0);
  Probe first(wheel), second(wheel), third(wheel);
  first.then = [&] {
    second.timer.cancel();
    wheel.arm(third.timer, 10 * kTick);
  };
  for (Probe* probe : {&first, &second, &third}) wheel.arm(probe->timer, 3 * kTick);
  wheel.advance(4 * kTick);
  EXPECT_EQ(first.fired + second.fired + third.fired, 1);
  EXPECT_EQ(wheel.armed(), 1u);
  wheel.advance(10 * kTick);
  EXPECT_EQ(third.fired, 1);
}

TEST(TimerWheel, DestructorOfATimerCancels) {
  TimerWheel wheel(0);
  {
    Probe probe(wheel);
    wheel.arm(probe.timer, kTick);
    EXPECT_TRUE(probe.timer.armed());
  }
  EXPECT_EQ(wheel.armed(), 0u);
  EXPECT_EQ(wheel.next_deadline_ns(), kNever);
  wheel.advance(10 * kTick);
}

TEST(TimerWheel, KNeverStaysArmed) {
  TimerWheel wheel(0);
  Probe probe(wheel);
  wheel.arm(probe.timer, kNever);
  wheel.advance(uint64_t{1} << 60);
  EXPECT_EQ(probe.fired, 0);
  probe.timer.cancel();
}

TEST(TimerWheel, AgainstAModel) {
  Random random(7);
  uint64_t now = 1'000 * kTick;
  TimerWheel wheel(now);
  struct Entry {
    explicit Entry(TimerWheel& wheel) : probe(wheel) {}
    Probe probe;
    uint64_t deadline = kNever;
  };
  std::vector<std::unique_ptr<Entry>> entries;
  for (int i = 0; i < 200; ++i) entries.push_back(std::make_unique<Entry>(wheel));
  for (int step = 0; step < 20'000; ++step) {
    Entry& entry = *entries[random.below(200)];
    switch (random.below(4)) {
      case 0:
        entry.probe.timer.cancel();
        entry.deadline = kNever;
        break;
      case 1:
      case 2:
        entry.deadline = now + (random.next() >> (20 + random.below(40)));
        entry.probe.fired = 0;
        wheel.arm(entry.probe.timer, entry.deadline);
        break;
      default:
        now += random.next() >> (24 + random.below(40));
        wheel.advance(now);
        for (auto& e : entries) {
          if (e->deadline == kNever) continue;
          if (e->probe.fired) {
            ASSERT_LE(e->deadline, now);
            e->deadline = kNever;
            e->probe.fired = 0;
          } else {
            ASSERT_GT(e->deadline + kTick, now);
          }
        }
    }
    uint64_t earliest = kNever;
    for (auto& e : entries) earliest = std::min(earliest, e->deadline);
    if (earliest != kNever) {
      ASSERT_LE(wheel.next_deadline_ns(), earliest + kTick);
    }
  }
  for (auto& e : entries) e->probe.timer.cancel();
}

}  // namespace
}  // namespace ringway::io
