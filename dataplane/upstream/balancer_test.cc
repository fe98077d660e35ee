#include "dataplane/upstream/balancer.h"

#include <gtest/gtest.h>

#include <numeric>
#include <set>

#include "dataplane/upstream/load.h"
#include "dataplane/upstream/test_cluster.h"

namespace ringway::upstream {
namespace {

std::vector<uint32_t> picks(WorkerLoad& load, TestCluster& test, int count) {
  std::vector<uint32_t> out(test.cluster.endpoints.size());
  for (int i = 0; i < count; ++i) ++out[test.index(load.pick(test.cluster, {}, 0))];
  return out;
}

TEST(RoundRobin, GivesEachExactlyItsWeightFromAnyStart) {
  const std::vector<std::vector<uint32_t>> cases{{1},          {1, 1, 1}, {7, 7},   {5, 1, 1},
                                                 {1, 2, 3, 4}, {100, 1},  {3, 3, 2}};
  for (const auto& weights : cases) {
    const auto sum = static_cast<int>(std::accumulate(weights.begin(), weights.end(), 0u));
    for (uint64_t seed = 0; seed < 50; ++seed) {
      TestCluster test(weights);
      WorkerLoad load(seed);
      auto got = picks(load, test, sum * 3);
      // Equal weights rotate with a period of one each, whatever the weight.
      for (size_t i = 0; i < weights.size(); ++i)
        EXPECT_EQ(got[i], weights[i] * 3) << seed << " " << i;
    }
  }
}

TEST(RoundRobin, IsSmooth) {
  TestCluster test({5, 1, 1});
  WorkerLoad load(3);
  int run = 0;
  for (int i = 0; i < 70; ++i) {
    run = test.index(load.pick(test.cluster, {}, 0)) == 0 ? run + 1 : 0;
    EXPECT_LE(run, 4);  // nginx: a a b a c a a, and round the corner.
  }
}

TEST(RoundRobin, WorkersStartAtDifferentEndpoints) {
  std::vector<uint32_t> first(4);
  for (uint64_t seed = 0; seed < 200; ++seed) {
    TestCluster test({1, 1, 1, 1});
    WorkerLoad load(seed);
    ++first[test.index(load.pick(test.cluster, {}, 0))];
  }
  for (const uint32_t count : first) EXPECT_GT(count, 25u);
}

TEST(RoundRobin, SkipsWhatIsUnhealthyAndSharesItsPartEvenly) {
  TestCluster test({1, 1, 1, 1});
  WorkerLoad load(1);
  test.state(1).check_failed = true;
  EXPECT_EQ(picks(load, test, 30), (std::vector<uint32_t>{10, 0, 10, 10}));
  test.state(1).check_failed = false;
  EXPECT_EQ(picks(load, test, 40), (std::vector<uint32_t>{10, 10, 10, 10}));
}

TEST(RoundRobin, AChangedRevisionIsFollowed) {
  TestCluster test({1, 3});
  WorkerLoad load(1);
  picks(load, test, 5);
  TestCluster more({1, 3, 4});
  more.cluster.revision = 2;
  EXPECT_EQ(picks(load, more, 80), (std::vector<uint32_t>{10, 30, 40}));
  TestCluster fewer({2});
  fewer.cluster.revision = 3;
  EXPECT_EQ(picks(load, fewer, 4), (std::vector<uint32_t>{4}));
  TestCluster other({1, 1});  // The slot belongs to another cluster now.
  other.cluster.uid = 2;
  EXPECT_EQ(picks(load, other, 4), (std::vector<uint32_t>{2, 2}));
}

TEST(Pick, AnEndpointThatRefusedAConnectIsLeftAloneForASecond) {
  for (const BalancerKind kind : {BalancerKind::kRoundRobin, BalancerKind::kLeastRequest}) {
    TestCluster test({1, 1, 1}, kind);
    WorkerLoad load(1);
    const auto fail = [&](size_t i, Outcome outcome, uint64_t now_ns) {
      load.begin(test.cluster, test.state(i));
      load.end(test.cluster, test.state(i), outcome, now_ns);
    };
    const auto picked = [&](uint64_t now_ns, std::vector<const EndpointState*> tried = {}) {
      std::set<size_t> out;
      for (int i = 0; i < 100; ++i) out.insert(test.index(load.pick(test.cluster, tried, now_ns)));
      return out;
    };
    using Set = std::set<size_t>;
    fail(0, Outcome::kReset, 0);
    EXPECT_EQ(picked(0), (Set{0, 1, 2}));  // It was there.
    fail(0, Outcome::kConnectFailure, 0);
    fail(1, Outcome::kConnectFailure, kMs);
    EXPECT_EQ(picked(kMs), Set{2});
    EXPECT_EQ(picked(kMs, {&test.state(2)}), (Set{0, 1}));  // Rather than what this request tried.
    EXPECT_EQ(picked(kSecond), (Set{0, 2}));
    EXPECT_EQ(picked(kSecond + kMs), (Set{0, 1, 2}));
    for (size_t i = 0; i < 3; ++i) fail(i, Outcome::kConnectFailure, 2 * kSecond);
    EXPECT_EQ(picked(2 * kSecond), (Set{0, 1, 2}));  // None is better.
    fail(1, Outcome::kSuccess, 2 * kSecond);
    EXPECT_EQ(picked(2 * kSecond), Set{1});
  }
}

struct Condition {
  bool ready, serving, terminating, check_failed, ejected;
};

TEST(Pick, TiersInOrder) {
  constexpr Condition kGood{true, true, false, false, false};
  constexpr Condition kFailed{true, true, false, true, false};
  constexpr Condition kEjected{true, true, false, false, true};
  constexpr Condition kTerminating{false, true, true, false, false};
  constexpr Condition kTerminatingReady{true, true, true, false,
                                        false};  // publishNotReadyAddresses
  constexpr Condition kTerminatingFailed{false, true, true, true, false};
  constexpr Condition kTerminated{false, false, true, false, false};
  constexpr Condition kNotReady{false, false, false, false, false};
  const struct {
    std::vector<Condition> endpoints;
    int picked;
  } cases[] = {
      {{}, -1},
      {{kNotReady}, -1},
      {{kTerminated}, -1},
      {{kNotReady, kGood}, 1},
      {{kTerminating, kGood}, 1},
      {{kTerminatingReady, kGood}, 1},
      {{kFailed, kTerminating}, 1},
      {{kFailed, kEjected, kGood}, 2},
      {{kNotReady, kFailed}, 1},
      {{kNotReady, kEjected, kTerminated}, 1},
      {{kTerminatingFailed, kEjected}, 1},
      {{kTerminated, kTerminatingFailed}, 1},
  };
  for (const BalancerKind kind : {BalancerKind::kRoundRobin, BalancerKind::kLeastRequest}) {
    for (const auto& c : cases) {
      TestCluster test(std::vector<uint32_t>(c.endpoints.size(), 1), kind);
      for (size_t i = 0; i < c.endpoints.size(); ++i) {
        EndpointRef& ref = test.cluster.endpoints[i];
        ref.ready = c.endpoints[i].ready;
        ref.serving = c.endpoints[i].serving;
        ref.terminating = c.endpoints[i].terminating;
        ref.state->check_failed = c.endpoints[i].check_failed;
        ref.state->ejected_until_ns = c.endpoints[i].ejected ? 100 : 0;
      }
      WorkerLoad load(7);
      for (int round = 0; round < 20; ++round) {
        const EndpointRef* picked = load.pick(test.cluster, {}, 50);
        EXPECT_EQ(picked == nullptr ? -1 : static_cast<int>(test.index(picked)), c.picked);
      }
    }
  }
}

TEST(Pick, AnEjectionEndsByTime) {
  TestCluster test({1, 1});
  test.state(0).ejected_until_ns = 100;
  WorkerLoad load(1);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(test.index(load.pick(test.cluster, {}, 99)), 1u);
  bool first = false;
  for (int i = 0; i < 2; ++i) first |= test.index(load.pick(test.cluster, {}, 100)) == 0;
  EXPECT_TRUE(first);
}

TEST(Pick, AvoidsWhatWasTriedWhileThereIsAnother) {
  for (const BalancerKind kind : {BalancerKind::kRoundRobin, BalancerKind::kLeastRequest}) {
    for (const std::vector<uint32_t>& weights :
         {std::vector<uint32_t>{1, 1, 1}, std::vector<uint32_t>{50, 1, 2}}) {
      TestCluster test(weights, kind);
      WorkerLoad load(1);
      for (int i = 0; i < 50; ++i) {
        const EndpointState* tried[] = {&test.state(0), &test.state(2)};
        EXPECT_EQ(test.index(load.pick(test.cluster, std::span(tried), 0)), 1u);
        const EndpointState* all[] = {&test.state(0), &test.state(1), &test.state(2)};
        EXPECT_NE(load.pick(test.cluster, std::span(all), 0), nullptr);
      }
    }
  }
}

TEST(LeastRequest, PrefersTheLessLoadedOfTwo) {
  TestCluster test({1, 1, 1, 1}, BalancerKind::kLeastRequest);
  WorkerLoad load(1);
  for (int i = 0; i < 100; ++i) load.begin(test.cluster, test.state(0));
  const auto got = picks(load, test, 4000);
  EXPECT_EQ(got[0], 0u);  // It loses every comparison.
  for (size_t i = 1; i < 4; ++i) EXPECT_NEAR(got[i], 4000 / 3, 200);
  for (int i = 0; i < 100; ++i) load.end(test.cluster, test.state(0), Outcome::kSuccess, 0);
}

TEST(LeastRequest, KeepsLoadInProportionToWeights) {
  TestCluster test({1, 2, 5}, BalancerKind::kLeastRequest);
  WorkerLoad load(1);
  Random random(2);
  std::vector<EndpointState*> running;
  uint64_t sums[3] = {};
  for (int i = 0; i < 20'000; ++i) {
    EndpointState& picked = *load.pick(test.cluster, {}, 0)->state;
    load.begin(test.cluster, picked);
    running.push_back(&picked);
    if (running.size() > 80) {
      std::swap(running[random.below(80)], running.back());
      load.end(test.cluster, *running.back(), Outcome::kSuccess, 0);
      running.pop_back();
    }
    for (size_t e = 0; e < 3; ++e) sums[e] += load.in_flight(test.state(e));
  }
  EXPECT_NEAR(static_cast<double>(sums[1]) / sums[0], 2, 0.3);
  EXPECT_NEAR(static_cast<double>(sums[2]) / sums[0], 5, 0.75);
  for (EndpointState* endpoint : running) load.end(test.cluster, *endpoint, Outcome::kSuccess, 0);
}

TEST(LeastRequest, FindsTheFewCandidatesAmongMany) {
  TestCluster test(std::vector<uint32_t>(200, 1), BalancerKind::kLeastRequest);
  for (size_t i = 0; i < 200; ++i) test.state(i).check_failed = i != 17 && i != 150;
  WorkerLoad load(1);
  const auto got = picks(load, test, 1000);
  EXPECT_NEAR(got[17], 500, 80);
  EXPECT_EQ(got[17] + got[150], 1000u);
}

}  // namespace
}  // namespace ringway::upstream
