#include "controlplane/status/pace.h"

#include <gtest/gtest.h>

namespace ringway::status {
namespace {

TEST(PaceTest, ABurstThenOneEachInterval) {
  Pace pace(3, kNsPerSecond);
  uint64_t now = 100 * kNsPerSecond;
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(pace.take(now)) << i;
  EXPECT_FALSE(pace.take(now));
  EXPECT_FALSE(pace.take(now + kNsPerSecond - 1));
  EXPECT_TRUE(pace.take(now + kNsPerSecond));
  EXPECT_FALSE(pace.take(now + kNsPerSecond));
  now += 1000 * kNsPerSecond;
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(pace.take(now)) << i;
  EXPECT_FALSE(pace.take(now)) << "it never holds more than the burst";
}

TEST(PauseTest, DoublesToTenSecondsAndForgets) {
  Pause pause;
  EXPECT_TRUE(pause.over(0));
  uint64_t now = 5;
  for (const uint64_t seconds : {1, 2, 4, 8, 10, 10}) {
    pause.failed(now);
    EXPECT_EQ(pause.until_ns(), now + seconds * kNsPerSecond);
    EXPECT_FALSE(pause.over(pause.until_ns() - 1));
    now = pause.until_ns();
    EXPECT_TRUE(pause.over(now));
  }
  pause.succeeded();
  EXPECT_TRUE(pause.over(0));
}

}  // namespace
}  // namespace ringway::status
