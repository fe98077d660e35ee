#include "dataplane/upstream/health_checker.h"

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <optional>
#include <string>

#include "dataplane/io/sim_ring.h"
#include "dataplane/upstream/test_cluster.h"

namespace ringway::upstream {
namespace {

constexpr char kOk[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

void change_policy(Cluster& cluster, const std::function<void(HealthCheckPolicy&)>& change) {
  auto policy = cluster.health_check == nullptr
                    ? std::make_shared<HealthCheckPolicy>()
                    : std::make_shared<HealthCheckPolicy>(*cluster.health_check);
  change(*policy);
  cluster.health_check = std::move(policy);
}

// Servers that answer as told, a simulated network, and the checker.
struct World {
  explicit World(size_t endpoints, uint64_t seed = 1, io::SimFaults faults = {})
      : ring({}, {.seed = seed, .faults = faults}),
        wheel(ring.now_ns()),
        test(std::vector<uint32_t>(endpoints, 1)) {
    change_policy(test.cluster, [](HealthCheckPolicy& policy) {
      policy.interval_ns = kSecond;
      policy.timeout_ns = 300 * kMs;
    });
    for (size_t i = 0; i < endpoints; ++i) {
      answers[i] = kOk;
      serve(i);
    }
    checker.emplace(ring, wheel, seed);
    checker->set_on_change(
        [this](const EndpointState& endpoint, bool healthy, std::string_view reason) {
          changes.push_back(endpoint.text + (healthy ? " up" : " down: " + std::string(reason)));
        });
  }
  ~World() {
    checker->drain();
    run_for(10 * kSecond);
    EXPECT_TRUE(checker->drained());
    checker.reset();
    EXPECT_EQ(ring.in_flight(), 0u);
    EXPECT_EQ(ring.sockets_open(), 0u);
    EXPECT_EQ(ring.small_pool().in_use(), 0u);
    EXPECT_EQ(ring.output_pool().in_use(), 0u);
  }

  void serve(size_t i) {
    ring.serve(test.state(i).address, [this, i](io::SimPeer& peer) {
      ++connects[i];
      auto received = std::make_shared<std::string>();
      peer.on_data = [this, i, received](io::SimPeer& p, std::string_view data) {
        *received += data;
        if (!received->ends_with("\r\n\r\n")) return;
        requests[i] = *received;
        p.write(answers[i]);
        if (close_after[i]) p.half_close();
      };
    });
  }
  void run_for(uint64_t ns) {
    const uint64_t end = ring.now_ns() + ns;
    while (ring.now_ns() < end) {
      ring.turn(std::min(wheel.next_deadline_ns(), end));
      wheel.advance(ring.now_ns());
    }
  }
  bool failed(size_t i) { return test.state(i).check_failed; }

  io::SimRing ring;
  io::TimerWheel wheel;
  TestCluster test;
  std::optional<HealthChecker> checker;
  std::map<size_t, std::string> answers;
  std::map<size_t, bool> close_after;
  std::map<size_t, int> connects;
  std::map<size_t, std::string> requests;
  std::vector<std::string> changes;
};

TEST(HealthChecker, AsksEachEndpointOncePerInterval) {
  World world(3);
  change_policy(world.test.cluster, [](HealthCheckPolicy& policy) { policy.jitter_percent = 0; });
  world.checker->set_cluster(world.test.cluster);
  world.run_for(10 * kSecond);
  for (size_t i = 0; i < 3; ++i) EXPECT_NEAR(world.connects[i], 10, 1);
  EXPECT_EQ(world.checker->stats().checks, 3u);
  EXPECT_EQ(world.checker->stats().failed, 0u);
  EXPECT_TRUE(world.changes.empty());
}

TEST(HealthChecker, SendsThePathAndTheHost) {
  World world(2);
  change_policy(world.test.cluster,
                [](HealthCheckPolicy& policy) { policy.path = "/healthz?full=1"; });
  world.checker->set_cluster(world.test.cluster);
  Cluster named = world.test.cluster;
  named.uid = 2;
  named.endpoints.erase(named.endpoints.begin());
  change_policy(named, [](HealthCheckPolicy& policy) { policy.host = "app.example.com"; });
  world.run_for(2 * kSecond);
  EXPECT_TRUE(
      world.requests[0].starts_with("GET /healthz?full=1 HTTP/1.1\r\nHost: 10.0.0.1:8080\r\n"))
      << world.requests[0];
  world.checker->set_cluster(named);
  world.checker->remove_cluster(1);
  world.run_for(2 * kSecond);
  EXPECT_TRUE(
      world.requests[1].starts_with("GET /healthz?full=1 HTTP/1.1\r\nHost: app.example.com\r\n"))
      << world.requests[1];
}

struct AnswerCase {
  std::string name, answer;
  bool close, healthy;
};

TEST(HealthChecker, JudgesAnswers) {
  const std::string padding(5000, 'x');
  const AnswerCase cases[] = {
      {"200", kOk, false, true},
      {"lowest expected", "HTTP/1.1 210 A\r\nContent-Length: 9\r\n\r\nhas hello", false, true},
      {"outside of the ranges", "HTTP/1.1 302 Found\r\nContent-Length: 5\r\n\r\nhello", false,
       false},
      {"second range", "HTTP/1.1 418 I'm\r\nContent-Length: 5\r\n\r\nhello", false, true},
      {"server error", "HTTP/1.1 503 No\r\nContent-Length: 5\r\n\r\nhello", false, false},
      {"interim first", std::string("HTTP/1.1 103 Early\r\n\r\n") + kOk, false, true},
      {"no text", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhell", false, false},
      {"no body", "HTTP/1.1 204 None\r\n\r\n", false, false},
      {"chunked",
       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
       false, true},
      {"chunked without the text",
       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n0\r\nA: b\r\n\r\n", false,
       false},
      {"until close", "HTTP/1.0 200 OK\r\n\r\nhello", true, true},
      {"until close without the text", "HTTP/1.0 200 OK\r\n\r\nhell", true, false},
      {"text within 4096 bytes",
       "HTTP/1.1 200 OK\r\nContent-Length: 5005\r\n\r\n" + padding.substr(0, 4091) + "hello", false,
       true},
      {"text behind 4096 bytes",
       "HTTP/1.1 200 OK\r\nContent-Length: 5005\r\n\r\n" + padding + "hello", false, false},
      {"not HTTP", "SSH-2.0-OpenSSH\r\n\r\n", false, false},
      {"closed at once", "", true, false},
      {"truncated", "HTTP/1.1 200 OK\r\nContent-Le", true, false},
      {"silent", "", false, false},
      {"head without end", "HTTP/1.1 200 OK\r\n", false, false},
  };
  for (const AnswerCase& c : cases) {
    SCOPED_TRACE(c.name);
    World world(1);
    world.answers[0] = c.answer;
    world.close_after[0] = c.close;
    change_policy(world.test.cluster,
                  [](HealthCheckPolicy& policy) { policy.expected = {{200, 210}, {418, 418}}; });
    change_policy(world.test.cluster,
                  [](HealthCheckPolicy& policy) { policy.body_contains = "hello"; });
    world.checker->set_cluster(world.test.cluster);
    world.run_for(6 * kSecond);
    EXPECT_EQ(world.failed(0), !c.healthy);
    EXPECT_GE(world.connects[0], 5);
  }
}

TEST(HealthChecker, ThresholdsCountInARow) {
  World world(1);
  change_policy(world.test.cluster, [](HealthCheckPolicy& policy) {
    policy.jitter_percent = 0;
    policy.unhealthy_threshold = 3;
    policy.healthy_threshold = 2;
  });
  world.checker->set_cluster(world.test.cluster);
  world.run_for(
      kSecond);  // The first check was somewhere in here; the k-th is at its offset in second k.
  ASSERT_EQ(world.connects[0], 1);
  const struct {
    bool good;
    bool failed_after;
  } steps[] = {{false, false}, {false, false}, {true, false},  {false, false},
               {false, false}, {false, true},  {true, true},   {false, true},
               {true, true},   {true, false},  {false, false}, {true, false}};
  int step = 0;
  for (const auto& s : steps) {
    world.answers[0] = s.good ? kOk : "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n";
    world.run_for(kSecond);
    EXPECT_EQ(world.failed(0), s.failed_after) << step++;
  }
  EXPECT_EQ(world.changes, (std::vector<std::string>{"10.0.0.1:8080 down: unexpected status",
                                                     "10.0.0.1:8080 up"}));
}

TEST(HealthChecker, NoAnswerToConnectIsATimeoutAndRefusalAFailure) {
  World world(2);
  world.ring.lose_connects(world.test.state(0).address);
  world.ring.stop_serving(world.test.state(1).address);
  world.checker->set_cluster(world.test.cluster);
  world.run_for(6 * kSecond);
  EXPECT_TRUE(world.failed(0));
  EXPECT_TRUE(world.failed(1));
  ASSERT_EQ(world.changes.size(), 2u);
  EXPECT_EQ(world.checker->stats().unhealthy, 2u);
  world.serve(0);
  world.serve(1);
  world.run_for(6 * kSecond);
  EXPECT_FALSE(world.failed(0));
  EXPECT_FALSE(world.failed(1));
  EXPECT_EQ(world.checker->stats().unhealthy, 0u);
}

TEST(HealthChecker, TcpChecksOnlyConnect) {
  World world(2);
  change_policy(world.test.cluster,
                [](HealthCheckPolicy& policy) { policy.kind = HealthCheckPolicy::Kind::kTcp; });
  world.ring.stop_serving(world.test.state(1).address);
  world.checker->set_cluster(world.test.cluster);
  world.run_for(6 * kSecond);
  EXPECT_FALSE(world.failed(0));
  EXPECT_TRUE(world.failed(1));
  EXPECT_EQ(world.requests[0], "");
}

TEST(HealthChecker, ClustersOfOnePolicyShareAnEndpointsChecks) {
  World world(1);
  change_policy(world.test.cluster, [](HealthCheckPolicy& policy) { policy.jitter_percent = 0; });
  Cluster twin = world.test.cluster;
  twin.uid = 2;
  world.checker->set_cluster(world.test.cluster);
  world.checker->set_cluster(twin);
  EXPECT_EQ(world.checker->stats().checks, 1u);
  world.run_for(10 * kSecond);
  EXPECT_NEAR(world.connects[0], 10, 1);
  world.checker->remove_cluster(1);
  EXPECT_EQ(world.checker->stats().checks, 1u);
  world.checker->remove_cluster(2);
  EXPECT_EQ(world.checker->stats().checks, 0u);
  const int before = world.connects[0];
  world.run_for(5 * kSecond);
  EXPECT_EQ(world.connects[0], before);
}

TEST(HealthChecker, AnEndpointFailsWhileAnyOfItsChecksDoes) {
  World world(1);
  Cluster strict = world.test.cluster;
  strict.uid = 2;
  change_policy(strict, [](HealthCheckPolicy& policy) { policy.body_contains = "absent"; });
  world.checker->set_cluster(world.test.cluster);
  world.checker->set_cluster(strict);
  world.run_for(6 * kSecond);
  EXPECT_TRUE(world.failed(0));
  world.checker->remove_cluster(2);
  EXPECT_FALSE(world.failed(0));
  EXPECT_EQ(world.checker->stats().unhealthy, 0u);
}

TEST(HealthChecker, AChangedPolicyKeepsTheVerdictUntilItsOwnChecksSayOtherwise) {
  World world(1);
  world.answers[0] = "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n";
  world.checker->set_cluster(world.test.cluster);
  world.run_for(6 * kSecond);
  ASSERT_TRUE(world.failed(0));
  change_policy(world.test.cluster,
                [](HealthCheckPolicy& policy) { policy.interval_ns = 2 * kSecond; });
  world.checker->set_cluster(world.test.cluster);
  EXPECT_TRUE(world.failed(0));
  world.answers[0] = kOk;
  world.run_for(8 * kSecond);
  EXPECT_FALSE(world.failed(0));
}

TEST(HealthChecker, OurOwnShortageSaysNothing) {
  World world(1);
  world.ring.faults().open_exhausted = 100;
  world.checker->set_cluster(world.test.cluster);
  world.run_for(10 * kSecond);
  EXPECT_FALSE(world.failed(0));
  EXPECT_GE(world.checker->stats().skipped, 8u);
}

TEST(HealthChecker, ManyEndpointsAreSpreadAndBounded) {
  World world(600);
  change_policy(world.test.cluster,
                [](HealthCheckPolicy& policy) { policy.timeout_ns = 900 * kMs; });
  for (size_t i = 0; i < 600; ++i) world.ring.lose_connects(world.test.state(i).address);
  world.checker->set_cluster(world.test.cluster);
  uint32_t open_max = 0;
  for (int i = 0; i < 800; ++i) {
    world.run_for(10 * kMs);
    open_max = std::max(open_max, world.ring.sockets_open());
  }
  EXPECT_GT(open_max, 200u);
  EXPECT_LE(open_max, HealthChecker::kProbesMax);
  EXPECT_GT(world.checker->stats().failed,
            1200u);  // Nobody starves: 256 of 600 at a time, 0.9 s each.
}

// Probes that end inside start() must not recurse through all that wait.
TEST(HealthChecker, AShortageWithManyWaitingIsWalkedThroughInALoop) {
  World world(20'000);
  change_policy(world.test.cluster,
                [](HealthCheckPolicy& policy) { policy.kind = HealthCheckPolicy::Kind::kTcp; });
  change_policy(world.test.cluster,
                [](HealthCheckPolicy& policy) { policy.timeout_ns = 100 * kSecond; });
  for (size_t i = 0; i < 20'000; ++i) world.ring.lose_connects(world.test.state(i).address);
  world.checker->set_cluster(world.test.cluster);
  world.run_for(2 * kSecond);
  ASSERT_EQ(world.ring.sockets_open(), HealthChecker::kProbesMax);
  world.ring.faults().open_exhausted = 100;
  world.run_for(120 * kSecond);
  EXPECT_GT(world.checker->stats().skipped, 19'000u);
}

TEST(HealthChecker, FirstChecksAreSpreadOverTheInterval) {
  World world(100);
  world.checker->set_cluster(world.test.cluster);
  int most = 0;
  int before = 0;
  for (int i = 0; i < 20; ++i) {
    world.run_for(50 * kMs);
    int now = 0;
    for (const auto& [endpoint, count] : world.connects) now += count;
    most = std::max(most, now - before);
    before = now;
  }
  EXPECT_LE(most, 20);  // 5 expected in a twentieth of the interval.
}

// Endpoints that come, go, flap and break under network faults: everything comes back in the end
// (checked by ~World), and verdicts are right once the network is calm.
TEST(HealthChecker, SurvivesFaultsAndChanges) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(seed);
    World world(6, seed,
                {.short_send = 20,
                 .split_receive = 30,
                 .late = 20,
                 .reset_per_10000 = 500,
                 .connect_refused = 10,
                 .connect_lost = 5,
                 .accept_exhausted = 0,
                 .open_exhausted = 5,
                 .buffers_exhausted = 5});
    Random random(seed);
    const Cluster all = world.test.cluster;
    for (int step = 0; step < 60; ++step) {
      Cluster cluster = all;
      cluster.uid = 1 + random.below(2);
      std::erase_if(cluster.endpoints, [&](const EndpointRef&) { return random.below(3) == 0; });
      if (random.below(4) == 0)
        change_policy(cluster, [](HealthCheckPolicy& policy) {
          policy.kind = HealthCheckPolicy::Kind::kTcp;
        });
      if (random.below(5) == 0) {
        world.checker->remove_cluster(cluster.uid);
      } else {
        world.checker->set_cluster(cluster);
      }
      world.answers[random.below(6)] =
          random.below(2) == 0 ? kOk : "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n";
      world.run_for(random.below(400) * kMs);
    }
    world.ring.faults() = {};
    for (size_t i = 0; i < 6; ++i)
      world.answers[i] = i % 2 == 0 ? kOk : "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n";
    world.checker->remove_cluster(2);
    world.checker->set_cluster(all);
    world.run_for(8 * kSecond);
    for (size_t i = 0; i < 6; ++i) EXPECT_EQ(world.failed(i), i % 2 != 0) << i;
    if (testing::Test::HasFailure()) return;
  }
}

}  // namespace
}  // namespace ringway::upstream
