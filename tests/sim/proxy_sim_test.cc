// The whole proxy under seeded schedules. A failure prints its seed; RINGWAY_SIM_SEED=N runs that one, RINGWAY_SIM_SEEDS=N that many.
#include <gtest/gtest.h>

#include "tests/sim/seeds.h"
#include "tests/sim/world.h"

namespace ringway::sim {
namespace {

// On a calm network: nothing is lost, whatever others do. `options`: but for the seed and the calm.
void expect_all_answered(uint64_t count, WorldOptions options, uint32_t hostile_every = 1) {
  const Seeds range = seeds(count);
  const WorldOptions asked = options;
  for (uint64_t seed = range.first; seed < range.end(); ++seed) {
    SCOPED_TRACE(seed);
    options.seed = seed;
    options.calm = true;
    options.hostile = seed % hostile_every == 0 ? asked.hostile : 0;
    const Outcome outcome = run_world(options);
    ASSERT_EQ(outcome.violation, "");
    ASSERT_EQ(outcome.responses_ok, outcome.requests_sent);
    ASSERT_EQ(outcome.connections_cut, 0u);
    ASSERT_EQ(outcome.tunnels_complete, asked.tunnels);
  }
}

// Among faults: what fails are their own requests, and the faults are the exception, otherwise nothing was tested.
void expect_most_answered(uint64_t count, WorldOptions options, uint32_t hostile_every = 1) {
  const Seeds range = seeds(count);
  const WorldOptions asked = options;
  uint64_t sent = 0, ok = 0, cut = 0, tunnels = 0, complete = 0;
  for (uint64_t seed = range.first; seed < range.end(); ++seed) {
    SCOPED_TRACE(seed);
    options.seed = seed;
    const bool hostile = seed % hostile_every == 0;
    options.hostile = hostile ? asked.hostile : 0;
    options.h2_hostile = hostile ? asked.h2_hostile : 0;
    const Outcome outcome = run_world(options);
    ASSERT_EQ(outcome.violation, "");
    sent += outcome.requests_sent;
    ok += outcome.responses_ok;
    cut += outcome.connections_cut;
    tunnels += outcome.tunnels_asked;
    complete += outcome.tunnels_complete;
  }
  std::printf("%lu requests, %lu answered 200, %lu connections cut; %lu tunnels, %lu complete\n", sent, ok, cut, tunnels,
              complete);
  if (range.count < 100) return;
  EXPECT_GT(ok, sent / 2);
  EXPECT_GT(cut, 0u);
  if (asked.tunnels == 0) return;
  EXPECT_GT(complete, tunnels / 4);
  EXPECT_LT(complete, tunnels);
}

TEST(ProxySim, CalmNetworkAnswersEveryRequest) { expect_all_answered(500, {}); }

TEST(ProxySim, FaultsHarmNothingButTheirOwnRequests) { expect_most_answered(1000, {}); }

TEST(ProxySim, CalmNetworkOfHttp2ServersAnswersEveryRequest) { expect_all_answered(300, {.http2 = true}); }

TEST(ProxySim, FaultsOfHttp2ServersHarmNothingButTheirOwnRequests) {
  expect_most_answered(500, {.hostile = 2, .http2 = true}, 4);
}

// Others' nonsense costs nobody else an answer.
TEST(ProxySim, HostileClientsHarmNoOneOnACalmNetwork) { expect_all_answered(300, {.hostile = 3}); }

TEST(ProxySim, HostileClientsAmongFaults) { expect_most_answered(300, {.hostile = 3}); }

// Both directions of a tunnel to their last byte, beside requests, over changes of the configuration.
TEST(ProxySim, TunnelsBringEveryByteOnACalmNetwork) { expect_all_answered(300, {.tunnels = 3}); }

TEST(ProxySim, TunnelsAmongFaults) { expect_most_answered(300, {.tunnels = 3}); }

TEST(ProxySim, Http2OnACalmNetwork) { expect_all_answered(100, {.clients = 2, .requests_per_client = 8, .h2_clients = 3}); }

TEST(ProxySim, Http2AmongFaultsAndHostileClients) {
  expect_most_answered(200, {.clients = 2, .requests_per_client = 8, .h2_clients = 3, .h2_hostile = 2}, 3);
}

// The same inside TLS. Signatures and keys differ from run to run, so a seed gives like schedules, not equal ones.
TEST(ProxySim, TlsOnACalmNetworkAnswersEveryRequest) {
  expect_all_answered(100, {.hostile = 2, .h2_clients = 2, .tls = true}, 2);
}

TEST(ProxySim, TlsAmongFaultsAndHostileClients) {
  expect_most_answered(150, {.hostile = 3, .h2_clients = 2, .tls = true}, 3);
}

TEST(ProxySim, OneSeedIsOneSchedule) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    EXPECT_EQ(run_world({.seed = seed}).trace_hash, run_world({.seed = seed}).trace_hash) << seed;
  }
}

}  // namespace
}  // namespace ringway::sim
