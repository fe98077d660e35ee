// Waits of users of one server, on the real loop: those that matter are hours long, so that what
// runs ran because it was woken.
#include "controlplane/kube/retry.h"

#include <gtest/gtest.h>

#include <future>
#include <memory>

#include "base/clock.h"
#include "controlplane/kube/timings.h"

namespace ringway::kube {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

constexpr uint64_t kHourNs = 3600 * kNsPerSecond;
// Jitter goes down to 0: what is to last an hour for certain has it on top.
constexpr Retry::Least kAnHourMore{.more = hours(1)};

class RetryTest : public testing::Test {
 protected:
  RetryTest() {
    on_loop([this] {
      for (auto& retry : {&one_, &two_, &three_}) {
        *retry =
            std::make_unique<Retry>(loop_, all_, BackoffLimits{.first = milliseconds(1)}, random_);
      }
    });
  }
  ~RetryTest() override {
    on_loop([this] {
      one_.reset();
      two_.reset();
      three_.reset();
    });
  }
  template <typename Action>
  void on_loop(Action action) {
    std::promise<void> done;
    ASSERT_TRUE(loop_.post([&] {
      action();
      done.set_value();
    }));
    done.get_future().get();
  }
  Retry::Task ran(std::promise<void>& promise) {
    return [&promise] { promise.set_value(); };
  }

  Retries all_;
  Random random_{7};
  Loop loop_;
  std::unique_ptr<Retry> one_, two_, three_;
};

TEST_F(RetryTest, RunsAfterItsWait) {
  std::promise<void> failed, paused;
  on_loop([&] {
    one_->after_failure(ran(failed));
    two_->after_pause(ran(paused));
  });
  failed.get_future().get();
  paused.get_future().get();
  on_loop([&] {
    EXPECT_FALSE(one_->waits());
    EXPECT_EQ(all_.waiting(), 0u);
  });
}

TEST_F(RetryTest, OneThatGetsThroughWakesThoseThatFailed) {
  std::promise<void> two, three;
  on_loop([&] {
    one_->after_failure([] {}, kAnHourMore);
    two_->after_failure(ran(two), kAnHourMore);
    three_->after_failure(ran(three), kAnHourMore);
    one_->cancel();
    EXPECT_EQ(all_.waiting(), 2u);
    one_->got_through();
  });
  two.get_future().get();
  three.get_future().get();
}

TEST_F(RetryTest, NobodyIsWokenByOneThatHadNotFailedNorOutOfAPause) {
  on_loop([&] {
    two_->after_failure([] {}, kAnHourMore);
    three_->after_pause([] {}, hours(1));
    one_->got_through();
    const uint64_t soon_ns = monotonic_ns() + kHourNs / 2;
    EXPECT_GT(two_->due_ns(), soon_ns);
    two_->cancel();
    two_->got_through();
    EXPECT_GT(three_->due_ns(), soon_ns);
    EXPECT_TRUE(three_->waits());
  });
}

TEST_F(RetryTest, RetryAfterIsWaitedInFull) {
  on_loop([&] {
    const uint64_t before_ns = monotonic_ns();
    two_->after_failure([] {}, {.not_before = hours(1), .more = hours(5)});
    EXPECT_GE(two_->due_ns(), before_ns + 6 * kHourNs);
    one_->after_failure([] {}, kAnHourMore);
    one_->cancel();
    one_->got_through();
    EXPECT_GE(two_->due_ns(), before_ns + kHourNs);
    EXPECT_LT(two_->due_ns(), before_ns + 2 * kHourNs) << "the rest of the wait is cut short";
  });
}

// A server that flaps: one success after the other must not make all others ask each time.
TEST_F(RetryTest, WakesAreFewWhenOneFlaps) {
  on_loop([&] {
    const uint64_t begin_ns = monotonic_ns();
    uint64_t woken = 0;
    for (int i = 0; i < 5; ++i) {
      two_->after_failure([] {}, kAnHourMore);
      one_->after_failure([] {}, kAnHourMore);
      one_->cancel();
      one_->got_through();
      woken += two_->due_ns() < monotonic_ns() + kHourNs / 2 ? 1 : 0;
    }
    EXPECT_GE(woken, 1u);
    EXPECT_LE(woken, 1 + (monotonic_ns() - begin_ns) / kNsPerSecond);
  });
}

// It failed while somebody got through: its back-off begins anew, as if it had been woken.
TEST_F(RetryTest, ASuccessMeanwhileTakesTheBackoffBack) {
  on_loop([&] {
    Retry slow(loop_, all_, {.first = milliseconds(1), .most = hours(1000)}, random_);
    for (int i = 0; i < 40; ++i) slow.after_failure([] {});
    slow.cancel();  // Its next try is under way.
    one_->after_failure([] {}, kAnHourMore);
    one_->got_through();
    one_->cancel();
    slow.after_failure([] {});
    EXPECT_LE(slow.due_ns(), monotonic_ns() + 2 * kNsPerMs);
  });
}

TEST_F(RetryTest, ATaskMayEndItsRetry) {
  std::promise<void> done;
  on_loop([&] {
    one_->after_failure([&] {
      one_.reset();
      done.set_value();
    });
  });
  done.get_future().get();
}

TEST(TimingsTest, ASourceAsksAgainWithinSeconds) {
  EXPECT_LE(Timings().backoff.most, milliseconds(5'000));
  EXPECT_LE(Timings().named_backoff().most, milliseconds(30'000));
}

}  // namespace
}  // namespace ringway::kube
