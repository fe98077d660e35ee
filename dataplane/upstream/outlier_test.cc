#include "dataplane/upstream/outlier.h"

#include <gtest/gtest.h>

#include <thread>

#include "dataplane/upstream/load.h"
#include "dataplane/upstream/retry_budget.h"
#include "dataplane/upstream/test_cluster.h"

namespace ringway::upstream {
namespace {

constexpr int kFree = RetryBudget::kFreePerSecond;

bool answer(WorkerLoad& load, TestCluster& test, size_t endpoint, Outcome outcome,
            uint64_t now_ns) {
  load.begin(test.cluster, test.state(endpoint));
  return load.end(test.cluster, test.state(endpoint), outcome, now_ns);
}

TEST(Outlier, ErrorsInARowEject) {
  TestCluster test({1, 1});
  WorkerLoad load(1);
  const uint64_t now = 1000 * kSecond;
  for (const Outcome error :
       {Outcome::kServerError, Outcome::kConnectFailure, Outcome::kReset, Outcome::kTimeout}) {
    EXPECT_FALSE(answer(load, test, 0, error, now));
  }
  EXPECT_FALSE(
      answer(load, test, 0, Outcome::kAbandoned, now));  // Says nothing: neither counts nor clears.
  EXPECT_TRUE(answer(load, test, 0, Outcome::kReset, now));
  EXPECT_TRUE(test.state(0).ejected(now));
  EXPECT_EQ(test.state(0).ejected_until_ns, now + 10 * kSecond);
  EXPECT_FALSE(answer(load, test, 0, Outcome::kReset, now)) << "of one that is out already";
  EXPECT_EQ(test.state(0).errors_total, 6u);
}

TEST(Outlier, ASuccessBetweenErrorsBeginsAgain) {
  TestCluster test({1, 1});
  WorkerLoad load(1);
  for (int i = 0; i < 100; ++i) {
    EXPECT_FALSE(answer(load, test, 0, i % 5 == 4 ? Outcome::kSuccess : Outcome::kReset, kSecond));
  }
}

TEST(Outlier, EjectionsGrowToTheirLimitAndProbationIsOneError) {
  TestCluster test({1, 1});
  test.cluster.outlier.max_ejection_ns = 35 * kSecond;
  WorkerLoad load(1);
  uint64_t now = 1000 * kSecond;
  for (int i = 0; i < 4; ++i) answer(load, test, 0, Outcome::kReset, now);
  for (const uint64_t length : {10, 20, 30, 35, 35}) {
    EXPECT_TRUE(answer(load, test, 0, Outcome::kReset, now));
    EXPECT_EQ(test.state(0).ejected_until_ns - now, length * kSecond);
    now = test.state(0).ejected_until_ns;
    EXPECT_FALSE(test.state(0).ejected(now));
  }
}

TEST(Outlier, GoodTimesShortenTheNextEjection) {
  TestCluster test({1, 1});
  WorkerLoad load(1);
  uint64_t now = 1000 * kSecond;
  for (int i = 0; i < 5; ++i) answer(load, test, 0, Outcome::kReset, now);
  now = test.state(0).ejected_until_ns;
  answer(load, test, 0, Outcome::kReset, now);
  ASSERT_EQ(test.state(0).ejections, 2u);
  now = test.state(0).ejected_until_ns;
  answer(load, test, 0, Outcome::kSuccess, now + 9 * kSecond);
  EXPECT_EQ(test.state(0).ejections, 2u);
  answer(load, test, 0, Outcome::kSuccess, now + 10 * kSecond);
  answer(load, test, 0, Outcome::kSuccess, now + 11 * kSecond);
  EXPECT_EQ(test.state(0).ejections, 1u);
  answer(load, test, 0, Outcome::kSuccess, now + 20 * kSecond);
  EXPECT_EQ(test.state(0).ejections, 0u);
  answer(load, test, 0, Outcome::kSuccess, now + 40 * kSecond);
  EXPECT_EQ(test.state(0).ejections, 0u);
}

TEST(Outlier, NeverMoreThanTheShareOfTheCluster) {
  const struct {
    uint32_t endpoints, percent, most;
  } cases[] = {{1, 50, 0}, {1, 100, 1}, {2, 50, 1},  {2, 10, 1},    {3, 50, 1},
               {4, 50, 2}, {10, 30, 3}, {10, 99, 9}, {10, 100, 10}, {7, 1, 1}};
  for (const auto& c : cases) {
    EXPECT_EQ(ejected_max(c.endpoints, c.percent), c.most);
    TestCluster test(std::vector<uint32_t>(c.endpoints, 1));
    test.cluster.outlier.max_ejected_percent = c.percent;
    WorkerLoad load(1);
    uint32_t ejected = 0;
    for (int round = 0; round < 20; ++round) {
      for (size_t i = 0; i < c.endpoints; ++i)
        ejected += answer(load, test, i, Outcome::kConnectFailure, kSecond);
    }
    EXPECT_EQ(ejected, c.most) << c.endpoints << " " << c.percent;
    EXPECT_NE(load.pick(test.cluster, {}, kSecond), nullptr);
  }
}

TEST(Outlier, EndpointsWithoutTrafficDoNotWidenTheShare) {
  TestCluster test({1, 1, 1, 1});
  for (size_t i : {2, 3})
    test.cluster.endpoints[i].ready = test.cluster.endpoints[i].serving = false;
  WorkerLoad load(1);
  uint32_t ejected = 0;
  for (int round = 0; round < 20; ++round) {
    for (size_t i : {0, 1}) ejected += answer(load, test, i, Outcome::kReset, kSecond);
  }
  EXPECT_EQ(ejected, 1u);
}

TEST(Outlier, CanBeOff) {
  TestCluster test({1, 1});
  test.cluster.outlier.off = true;
  WorkerLoad load(1);
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(answer(load, test, 0, Outcome::kReset, kSecond));
}

TEST(WorkerLoad, CountsInFlightByWorkerAndInAll) {
  TestCluster test({1});
  WorkerLoad one(1);
  WorkerLoad two(2);
  for (int i = 0; i < 3; ++i) one.begin(test.cluster, test.state(0));
  two.begin(test.cluster, test.state(0));
  EXPECT_EQ(one.in_flight(test.state(0)), 3u);
  EXPECT_EQ(two.in_flight(test.state(0)), 1u);
  EXPECT_EQ(test.state(0).in_flight, 4u);
  for (int i = 0; i < 3; ++i) one.end(test.cluster, test.state(0), Outcome::kSuccess, 0);
  two.end(test.cluster, test.state(0), Outcome::kAbandoned, 0);
  EXPECT_EQ(test.state(0).in_flight, 0u);
  EXPECT_EQ(test.state(0).requests_total, 4u);
}

TEST(WorkerLoad, PublishedCountsFollowWithinAnEighth) {
  TestCluster test({1});
  WorkerLoad load(1);
  Random random(1);
  uint64_t begun = 0;
  uint32_t running = 0;
  for (int i = 0; i < 20'000; ++i) {
    if (running == 0 || random.below(2000) >= running) {
      load.begin(test.cluster, test.state(0));
      ++running;
      ++begun;
    } else {
      load.end(test.cluster, test.state(0), Outcome::kSuccess, 0);
      --running;
    }
    ASSERT_NEAR(test.state(0).in_flight, running, running / 8.0);
    ASSERT_NEAR(test.state(0).requests_total, begun, 64);
  }
  for (; running != 0; --running) load.end(test.cluster, test.state(0), Outcome::kSuccess, 0);
  EXPECT_EQ(test.state(0).in_flight, 0u);
  EXPECT_EQ(test.state(0).requests_total, begun);
}

TEST(WorkerLoad, AReusedSlotBeginsAtZero) {
  EndpointRegistry registry;
  Cluster cluster;
  WorkerLoad load(1);
  auto first = *registry.find_or_make("10.0.0.1", 80, Protocol::kHttp1);
  load.begin(cluster, *first);
  const uint32_t slot = first->slot;
  first.reset();
  const auto second = *registry.find_or_make("10.0.0.2", 80, Protocol::kHttp1);
  ASSERT_EQ(second->slot, slot);
  EXPECT_EQ(load.in_flight(*second), 0u);
}

// For ThreadSanitizer: two workers and an active checker on the same endpoints.
TEST(WorkerLoad, WorkersShareEndpointStates) {
  TestCluster test({1, 1, 1, 1}, BalancerKind::kLeastRequest);
  std::atomic<uint32_t> ejected{0};
  const auto work = [&](uint64_t seed) {
    WorkerLoad load(seed);
    Random random(seed);
    for (uint64_t i = 0; i < 20'000; ++i) {
      const uint64_t now = kSecond + i * 10 * kMs;
      const EndpointRef* picked = load.pick(test.cluster, {}, now);
      ASSERT_NE(picked, nullptr);
      load.begin(test.cluster, *picked->state);
      ejected += load.end(test.cluster, *picked->state,
                          random.below(3) == 0 ? Outcome::kSuccess : Outcome::kReset, now);
      uint32_t out = 0;
      for (const EndpointRef& ref : test.cluster.endpoints) out += ref.state->ejected(now);
      (void)out;
    }
  };
  std::thread one(work, 1);
  std::thread two(work, 2);
  for (int i = 0; i < 2000; ++i) test.state(static_cast<size_t>(i) % 4).check_failed = i % 3 == 0;
  one.join();
  two.join();
  uint64_t requests = 0;
  for (size_t i = 0; i < 4; ++i) {
    requests += test.state(i).requests_total;
    EXPECT_EQ(test.state(i).in_flight, 0u);
  }
  EXPECT_EQ(requests, 40'000u);
  EXPECT_GT(ejected, 0u);
}

TEST(RetryBudget, IsAShareOfRequestsAndSomePerSecond) {
  RetryBudget budget;
  uint64_t now = 100 * kSecond;
  int quiet = 0;
  for (int i = 0; i < 100; ++i) quiet += budget.try_spend(20, now);
  EXPECT_EQ(quiet, kFree);
  for (int i = 0; i < 100; ++i) budget.note_request(now);
  int paid = 0;
  for (int i = 0; i < 100; ++i) paid += budget.try_spend(20, now);
  EXPECT_EQ(paid, 20);
  now += kSecond;
  int next_second = 0;
  for (int i = 0; i < 100; ++i) next_second += budget.try_spend(20, now);
  EXPECT_EQ(next_second, kFree);
  now += 10 * kSecond;  // All is forgotten.
  int later = 0;
  for (int i = 0; i < 100; ++i) later += budget.try_spend(20, now);
  EXPECT_EQ(later, kFree);
}

TEST(RetryBudget, HoldsOverALongFailure) {
  RetryBudget budget;
  uint64_t retries = 0;
  for (uint64_t i = 0; i < 60'000;
       ++i) {  // 1,000 requests per second for a minute, every one wants a retry.
    const uint64_t now = 100 * kSecond + i * kMs;
    budget.note_request(now);
    retries += budget.try_spend(20, now);
  }
  EXPECT_NEAR(static_cast<double>(retries), 12'000 + kFree * 60, 250);
}

TEST(WorkerLoad, BudgetBelongsToTheCluster) {
  TestCluster test({1});
  Cluster other = test.cluster;
  other.slot = 5;
  other.uid = 9;
  WorkerLoad load(1);
  for (int i = 0; i < kFree; ++i) EXPECT_TRUE(load.try_spend_retry(test.cluster, 20, kSecond));
  EXPECT_FALSE(load.try_spend_retry(test.cluster, 20, kSecond));
  EXPECT_TRUE(load.try_spend_retry(other, 20, kSecond));
  for (int i = 0; i < 10; ++i) load.note_request(test.cluster, kSecond);
  EXPECT_TRUE(load.try_spend_retry(test.cluster, 20, kSecond));
}

}  // namespace
}  // namespace ringway::upstream
