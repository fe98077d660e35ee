// Changes of the configuration under way, and the end of a worker.
#include <gtest/gtest.h>

#include "dataplane/worker/test_stage.h"

namespace ringway::worker {
namespace {

const std::string kGet = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

TEST(Snapshots, ARequestKeepsTheOneItBeganWith) {
  Stage stage;
  stage.servers[0]->on_request = [&](io::SimPeer& peer, const std::string&) {
    stage.ring.after(kSecond, [&peer] { peer.write(response_of("old")); });
  };
  io::SimPeer& client = stage.dial(kGet);
  ASSERT_TRUE(stage.run_until([&] { return stage.servers[0]->requests.size() == 1; }));
  stage.options.route.action = route::ActionKind::kFixedResponse;
  stage.options.route.status = 200;
  stage.options.route.body = "fixed";
  stage.publish(1);
  stage.publish(1);
  stage.run(10 * kMs);
  EXPECT_EQ(stage.retired, std::vector<uint64_t>{2});   // Replaced before anyone used it.
  EXPECT_TRUE(stage.ask(kGet, 10 * kMs).ends_with("fixed"));
  ASSERT_TRUE(stage.receives(client, "old"));
  stage.run(10 * kMs);
  EXPECT_EQ(stage.retired, (std::vector<uint64_t>{2, 1}));
}

TEST(Drain, IdleOnesCloseActiveOnesSaySoAndTheRestIsCut) {
  Stage stage;
  stage.servers[0]->on_request = [&](io::SimPeer& peer, const std::string& request) {
    if (request.starts_with("GET /never")) return;
    stage.ring.after(request.starts_with("GET /late") ? kSecond : 0, [&peer] { peer.write(response_of("ok")); });
  };
  io::SimPeer& idle = stage.dial(kGet);
  io::SimPeer& late = stage.dial("GET /late HTTP/1.1\r\nHost: a\r\n\r\n");
  io::SimPeer& never = stage.dial("GET /never HTTP/1.1\r\nHost: a\r\n\r\n");
  ASSERT_TRUE(stage.receives(idle, "ok"));
  stage.drain(500 * kMs, 5 * kSecond);
  stage.run(100 * kMs);
  EXPECT_TRUE(idle.ended());
  EXPECT_FALSE(late.ended() || never.ended());
  io::SimPeer& fresh = stage.dial(kGet);   // Still accepted: the load balancer may not know yet.
  ASSERT_TRUE(stage.run_until([&] { return fresh.ended(); }, 100 * kMs));
  EXPECT_NE(fresh.received().find("onnection: close"), std::string::npos);
  stage.run(500 * kMs);
  io::SimPeer& refused = stage.dial(kGet);
  ASSERT_TRUE(stage.run_until([&] { return late.ended(); }, kSecond));
  EXPECT_TRUE(refused.was_reset());
  EXPECT_NE(late.received().find("onnection: close"), std::string::npos);
  EXPECT_TRUE(late.received().ends_with("ok"));
  stage.run(2 * kSecond);
  EXPECT_FALSE(stage.worker->finished());
  stage.run(5 * kSecond);
  EXPECT_TRUE(stage.worker->finished());
  EXPECT_EQ(never.received(), "");
}

TEST(Accept, PausesAtTheLimitAndGoesOn) {
  StageOptions options;
  options.policy.connections_max = 2;
  Stage stage(options);
  io::SimPeer& first = stage.dial(kGet);
  io::SimPeer& second = stage.dial(kGet);
  ASSERT_TRUE(stage.run_until([&] { return stage.stats().requests == 2; }));
  io::SimPeer& third = stage.dial(kGet);
  stage.run(kSecond);
  EXPECT_EQ(third.received(), "");
  EXPECT_EQ(stage.worker->connections(), 2u);
  EXPECT_GE(stage.stats().accept_paused, 1u);
  first.close();
  ASSERT_TRUE(stage.receives(third, "ok", kSecond));
  second.close();
  third.close();
  stage.run(kSecond);
  EXPECT_TRUE(stage.ask(kGet, kSecond).starts_with("HTTP/1.1 200 "));
}

TEST(Accept, AnAddressHasItsShare) {
  StageOptions options;
  options.policy.connections_per_address_max = 2;
  Stage stage(options);
  io::SimPeer& first = stage.dial(kGet);
  io::SimPeer& second = stage.dial(kGet);
  ASSERT_TRUE(stage.receives(first, "ok") && stage.receives(second, "ok"));
  io::SimPeer& third = stage.dial(kGet);
  io::SimPeer& other = stage.dial(kGet, 0x0A010002);
  ASSERT_TRUE(stage.receives(other, "ok"));
  stage.run(100 * kMs);
  EXPECT_EQ(third.received(), "");
  EXPECT_TRUE(third.ended() || third.was_reset());
  EXPECT_EQ(stage.stats().connections_refused, 1u);
  first.close();
  stage.run(100 * kMs);
  io::SimPeer& again = stage.dial(kGet);
  EXPECT_TRUE(stage.receives(again, "ok"));
}

TEST(Accept, WithoutDescriptorsItPausesAndGoesOn) {
  Stage stage;
  stage.ring.faults().accept_exhausted = 100;
  io::SimPeer& client = stage.dial(kGet);
  stage.run(kSecond);
  EXPECT_EQ(client.received(), "");
  EXPECT_LE(stage.stats().accept_paused, 12u);   // Once every 100 ms, not without end.
  stage.ring.faults().accept_exhausted = 0;
  EXPECT_TRUE(stage.receives(client, "ok", kSecond));
}

}  // namespace
}  // namespace ringway::worker
