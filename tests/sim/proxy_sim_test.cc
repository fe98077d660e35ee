// The whole proxy under seeded schedules. A failure prints its seed; RINGWAY_SIM_SEED=N runs that one, RINGWAY_SIM_SEEDS=N that many.
#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/sim/world.h"

namespace ringway::sim {
namespace {

uint64_t from_environment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

struct Range {
  uint64_t first, count;
};

Range seeds(uint64_t count) {
  const uint64_t one = from_environment("RINGWAY_SIM_SEED", 0);
  if (one != 0) return {one, 1};
  return {from_environment("RINGWAY_SIM_FIRST", 1), from_environment("RINGWAY_SIM_SEEDS", count)};
}

TEST(ProxySim, CalmNetworkAnswersEveryRequest) {
  const Range range = seeds(500);
  for (uint64_t seed = range.first; seed < range.first + range.count; ++seed) {
    SCOPED_TRACE(seed);
    const Outcome outcome = run_world({.seed = seed, .calm = true});
    ASSERT_EQ(outcome.violation, "");
    ASSERT_EQ(outcome.responses_ok, outcome.requests_sent);
    ASSERT_EQ(outcome.connections_cut, 0u);
  }
}

TEST(ProxySim, FaultsHarmNothingButTheirOwnRequests) {
  const Range range = seeds(1000);
  uint64_t sent = 0, ok = 0, cut = 0;
  for (uint64_t seed = range.first; seed < range.first + range.count; ++seed) {
    SCOPED_TRACE(seed);
    const Outcome outcome = run_world({.seed = seed});
    ASSERT_EQ(outcome.violation, "");
    sent += outcome.requests_sent;
    ok += outcome.responses_ok;
    cut += outcome.connections_cut;
  }
  RecordProperty("requests", std::to_string(sent));
  std::printf("%lu requests, %lu answered 200, %lu connections cut\n", sent, ok, cut);
  if (range.count >= 100) {
    EXPECT_GT(ok, sent / 2);   // The faults are the exception: otherwise nothing was tested.
    EXPECT_GT(cut, 0u);
  }
}

// Others' nonsense costs nobody else an answer.
TEST(ProxySim, HostileClientsHarmNoOneOnACalmNetwork) {
  const Range range = seeds(300);
  for (uint64_t seed = range.first; seed < range.first + range.count; ++seed) {
    SCOPED_TRACE(seed);
    const Outcome outcome = run_world({.seed = seed, .calm = true, .hostile = 3});
    ASSERT_EQ(outcome.violation, "");
    ASSERT_EQ(outcome.responses_ok, outcome.requests_sent);
  }
}

TEST(ProxySim, HostileClientsAmongFaults) {
  const Range range = seeds(300);
  for (uint64_t seed = range.first; seed < range.first + range.count; ++seed) {
    SCOPED_TRACE(seed);
    ASSERT_EQ(run_world({.seed = seed, .hostile = 3}).violation, "");
  }
}

TEST(ProxySim, OneSeedIsOneSchedule) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    EXPECT_EQ(run_world({.seed = seed}).trace_hash, run_world({.seed = seed}).trace_hash) << seed;
  }
}

}  // namespace
}  // namespace ringway::sim
