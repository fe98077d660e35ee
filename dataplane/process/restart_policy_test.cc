#include "dataplane/process/restart_policy.h"

#include <gtest/gtest.h>

namespace ringway::process {
namespace {

TEST(RestartPolicyTest, QuickDeathsAreFollowedAtOnceThenAfterGrowingDelays) {
  SupervisorOptions options;
  options.deaths_max = 100;
  RestartPolicy policy(options);
  std::vector<uint32_t> delays;
  for (uint64_t now = 0; delays.size() < 15; now += 10) {
    policy.on_start(now);
    const auto delay = policy.on_death(now + 5);
    ASSERT_TRUE(delay.has_value());
    delays.push_back(*delay);
  }
  EXPECT_EQ(delays, (std::vector<uint32_t>{0, 0, 0, 0, 0, 100, 200, 400, 800, 1600, 3200, 6400,
                                           10000, 10000, 10000}));
}

TEST(RestartPolicyTest, GivesUpWhenNoneEverBecameReady) {
  SupervisorOptions options;
  RestartPolicy policy(options);
  for (uint32_t i = 1; i < options.deaths_max; ++i) {
    policy.on_start(i);
    ASSERT_TRUE(policy.on_death(i).has_value()) << i;
  }
  EXPECT_FALSE(policy.on_death(100).has_value());
}

TEST(RestartPolicyTest, DeathsFarApartAreNoCrashLoop) {
  SupervisorOptions options;
  RestartPolicy policy(options);
  for (uint64_t i = 1; i < 1000; ++i) {
    const uint64_t now = i * options.deaths_window_ms;
    policy.on_start(now - options.quick_death_ms);
    EXPECT_EQ(policy.on_death(now), 0u);
  }
}

TEST(RestartPolicyTest, NeverGivesUpNorWaitsOnceReady) {
  SupervisorOptions options;
  RestartPolicy policy(options);
  for (uint64_t i = 1; i < 1000; ++i) {
    policy.on_start(i);
    policy.on_ready();
    EXPECT_EQ(policy.on_death(i), 0u);
  }
  // Not even when later ones do not become ready any more; but those wait.
  std::optional<uint32_t> last;
  for (uint64_t i = 1000; i < 1100; ++i) {
    policy.on_start(i);
    last = policy.on_death(i);
    ASSERT_TRUE(last.has_value());
  }
  EXPECT_EQ(last, options.delay_max_ms);
}

}  // namespace
}  // namespace ringway::process
