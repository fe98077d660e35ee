// Upstream connections: kept, limited, waited for, and let go.
#include <gtest/gtest.h>

#include "dataplane/worker/test_stage.h"

namespace ringway::worker {
namespace {

std::string get(std::string_view path) { return "GET " + std::string(path) + " HTTP/1.1\r\nHost: a\r\n\r\n"; }

TEST(Pool, AConnectionIsUsedAgain) {
  Stage stage;
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(stage.ask(get("/"), 5 * kMs).starts_with("HTTP/1.1 200 "));
  EXPECT_EQ(stage.stats().upstream_connects, 1u);
  EXPECT_EQ(stage.stats().upstream_reuses, 2u);
  EXPECT_EQ(stage.stats().upstream_connections_idle, 1u);
}

TEST(Pool, RequestsAboveTheLimitWaitInOrder) {
  StageOptions options;
  options.pool.connections_max = 1;
  options.pool.pending_max = 3;
  options.route.retry.tries = 1;
  Stage stage(options);
  stage.servers[0]->on_request = [&](io::SimPeer& peer, const std::string&) {
    stage.ring.after(100 * kMs, [&peer] { peer.write(response_of("ok")); });
  };
  std::vector<io::SimPeer*> clients;
  for (int i = 0; i < 6; ++i) {
    clients.push_back(&stage.dial(get("/" + std::to_string(i))));
    stage.run(5 * kMs);
  }
  EXPECT_TRUE(clients[4]->received().starts_with("HTTP/1.1 503 "));   // The fifth: one is served, three wait.
  EXPECT_TRUE(clients[5]->received().starts_with("HTTP/1.1 503 "));
  EXPECT_EQ(stage.stats().pending_overflow, 2u);
  ASSERT_TRUE(stage.run_until([&] { return stage.servers[0]->requests.size() == 4; }));
  for (int i = 0; i < 4; ++i) {
    EXPECT_TRUE(stage.servers[0]->requests[i].starts_with("GET /" + std::to_string(i) + " ")) << i;
  }
  stage.run(200 * kMs);
  EXPECT_EQ(stage.stats().upstream_connects, 1u);
}

TEST(Pool, WaitingInVainIsNoVerdictOnTheEndpoint) {
  StageOptions options;
  options.pool.connections_max = 1;
  options.route.timeouts.connect_ns = kSecond;
  options.route.retry.tries = 1;
  Stage stage(options);
  stage.servers[0]->on_request = [](io::SimPeer&, const std::string&) {};
  stage.dial(get("/"));
  stage.run(10 * kMs);
  io::SimPeer& client = stage.dial(get("/"));
  ASSERT_TRUE(stage.receives(client, "HTTP/1.1 504 ", 2 * kSecond));
  EXPECT_EQ(stage.servers[0]->state->errors_total.load(), 0u);
}

TEST(Pool, AClientThatLeavesTheQueueIsForgotten) {
  StageOptions options;
  options.pool.connections_max = 1;
  Stage stage(options);
  stage.servers[0]->on_request = [&](io::SimPeer& peer, const std::string&) {
    stage.ring.after(100 * kMs, [&peer] { peer.write(response_of("ok")); });
  };
  stage.dial(get("/0"));
  stage.run(5 * kMs);
  io::SimPeer& leaves = stage.dial(get("/1"));
  stage.run(5 * kMs);
  io::SimPeer& stays = stage.dial(get("/2"));
  stage.run(5 * kMs);
  leaves.reset();
  ASSERT_TRUE(stage.receives(stays, "ok"));
  EXPECT_EQ(stage.servers[0]->requests.size(), 2u);
}

TEST(Pool, IdleAgeAndRequestLimits) {
  struct Case {
    const char* what;
    std::function<void(upstream::PoolLimits&)> set;
    uint32_t connects;   // For three requests, 3 s apart.
  };
  const Case cases[] = {
      {"none", [](upstream::PoolLimits&) {}, 1},
      {"idle", [](upstream::PoolLimits& p) { p.idle_timeout_ns = kSecond; }, 3},
      {"age", [](upstream::PoolLimits& p) { p.age_max_ns = 5 * kSecond; }, 2},
      {"requests", [](upstream::PoolLimits& p) { p.requests_max = 2; }, 2},
      {"number", [](upstream::PoolLimits& p) { p.idle_max = 0; }, 3},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    StageOptions options;
    c.set(options.pool);
    Stage stage(options);
    for (int i = 0; i < 3; ++i) {
      ASSERT_TRUE(stage.ask(get("/"), 5 * kMs).starts_with("HTTP/1.1 200 "));
      stage.run(3 * kSecond);
    }
    EXPECT_EQ(stage.stats().upstream_connects, c.connects);
  }
}

TEST(Pool, BytesOnAnIdleConnectionCloseIt) {
  Stage stage;
  ASSERT_TRUE(stage.ask(get("/"), 5 * kMs).starts_with("HTTP/1.1 200 "));
  stage.servers[0]->peers[0]->write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
  stage.run(10 * kMs);
  EXPECT_EQ(stage.stats().upstream_connections_active, 0u);
  EXPECT_TRUE(stage.ask(get("/"), 5 * kMs).ends_with("ok"));
}

TEST(Pool, AnEndpointThatLeftLosesItsIdleConnections) {
  StageOptions options;
  options.servers = 2;
  Stage stage(options);
  for (int i = 0; i < 2; ++i) stage.ask(get("/"), 5 * kMs);
  EXPECT_EQ(stage.stats().upstream_connections_idle, 2u);
  stage.publish(1);
  stage.run(2 * kSecond);
  EXPECT_EQ(stage.stats().upstream_connections_idle, 1u);
  EXPECT_EQ(stage.servers[1]->state.use_count(), 1);   // Nothing here keeps it, so its slot can be given again.
}

TEST(Pool, WithoutDescriptorsARequestFailsAndTheNextWorks) {
  Stage stage;
  stage.ring.faults().open_exhausted = 100;
  EXPECT_TRUE(stage.ask(get("/"), 5 * kMs).starts_with("HTTP/1.1 503 "));
  stage.ring.faults().open_exhausted = 0;
  EXPECT_TRUE(stage.ask(get("/"), 5 * kMs).starts_with("HTTP/1.1 200 "));
  EXPECT_EQ(stage.servers[0]->state->errors_total.load(), 0u);
}

}  // namespace
}  // namespace ringway::worker
