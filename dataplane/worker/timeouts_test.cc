// What each deadline does, and that none fires early.
#include <gtest/gtest.h>

#include "dataplane/worker/test_stage.h"

namespace ringway::worker {
namespace {

const std::string kGet = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

TEST(SecurityRow, R36_ASlowHead) {
  StageOptions options;
  options.policy.header_timeout_ns = kSecond;
  Stage stage(options);
  io::SimPeer& silent = stage.dial();
  io::SimPeer& slow = stage.dial("GET / HT");
  io::SimPeer& dripping = stage.dial("G");
  for (int i = 1; i < 30; ++i) {
    stage.ring.after(i * 100 * kMs, [&] {
      if (!dripping.closed() && !dripping.ended()) dripping.write("E");
    });
  }
  stage.run(900 * kMs);
  EXPECT_FALSE(silent.ended() || slow.ended() || dripping.ended());
  stage.run(300 * kMs);
  EXPECT_TRUE(silent.ended());
  EXPECT_EQ(silent.received(), "");
  for (io::SimPeer* peer : {&slow, &dripping}) {
    EXPECT_TRUE(peer->ended());
    EXPECT_TRUE(peer->received().starts_with("HTTP/1.1 408 ")) << peer->received();
  }
  EXPECT_EQ(stage.stats().timeouts_header, 3u);
}

TEST(SecurityRow, R36_ASlowSecondHead) {
  StageOptions options;
  options.policy.header_timeout_ns = kSecond;
  Stage stage(options);
  io::SimPeer& client = stage.dial(kGet + "GET /");
  ASSERT_TRUE(stage.receives(client, "ok"));
  ASSERT_TRUE(stage.run_until([&] { return client.ended(); }, 1200 * kMs));
  EXPECT_NE(client.received().find("HTTP/1.1 408 "), std::string::npos);
}

TEST(SecurityRow, R36_ASlowBody) {
  StageOptions options;
  options.policy.body_timeout_ns = kSecond;
  Stage stage(options);
  io::SimPeer& client = stage.dial("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
  stage.run(900 * kMs);
  EXPECT_FALSE(client.ended());
  stage.run(1200 * kMs);
  EXPECT_TRUE(client.ended());
  EXPECT_TRUE(client.received().starts_with("HTTP/1.1 408 "));
  EXPECT_EQ(stage.stats().timeouts_body, 1u);
  EXPECT_EQ(stage.servers[0]->state->errors_total.load(), 0u);
}

TEST(SecurityRow, R36_ABodyBelowItsRate) {
  StageOptions options;
  options.policy.body_rate_bytes_per_second_min = 100;
  Stage stage(options);
  io::SimPeer& client = stage.dial("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10000\r\n\r\n");
  for (int i = 1; i < 100; ++i) {
    stage.ring.after(i * 100 * kMs, [&] {
      if (!client.ended()) client.write("x");
    });
  }
  stage.run(5 * kSecond);
  EXPECT_FALSE(client.ended());
  stage.run(3 * kSecond);
  EXPECT_TRUE(client.received().starts_with("HTTP/1.1 408 "));
}

// An upstream that takes nothing for a while is no fault of the client.
TEST(Timeouts, TheRateDoesNotCountWhileTheClientIsNotRead) {
  StageOptions options;
  options.policy.body_rate_bytes_per_second_min = 100'000;
  options.route.request_body_bytes_max = ~uint64_t{0};
  Stage stage(options);
  stage.ring.serve(stage.servers[0]->address, [&](io::SimPeer& peer) {
    peer.set_window(1);
    peer.pause();
    stage.servers[0]->peers.push_back(&peer);
  });
  io::SimPeer& client = stage.dial();
  client.on_connected = [](io::SimPeer& at) {
    at.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000\r\n\r\n" + std::string(2'000'000, 'x'));
  };
  stage.run(30 * kSecond);
  stage.servers[0]->peers[0]->set_window(1 << 20);
  stage.servers[0]->peers[0]->resume();
  stage.run(2 * kSecond);
  EXPECT_EQ(client.received(), "");
  EXPECT_EQ(stage.stats().timeouts_body, 0u);
  client.reset();
  stage.run(100 * kMs);
}

TEST(Timeouts, NoResponse) {
  StageOptions options;
  options.servers = 2;
  options.route.timeouts.response_idle_ns = kSecond;
  options.route.retry.tries = 2;
  Stage stage(options);
  for (const auto& server : stage.servers) server->on_request = [](io::SimPeer&, const std::string&) {};
  io::SimPeer& client = stage.dial(kGet);
  stage.run(1900 * kMs);
  EXPECT_EQ(client.received(), "");
  ASSERT_TRUE(stage.receives(client, "HTTP/1.1 504 ", 2 * kSecond));
  EXPECT_EQ(stage.stats().timeouts_response, 2u);
  EXPECT_EQ(stage.servers[0]->state->errors_total + stage.servers[1]->state->errors_total, 2u);
}

TEST(Timeouts, NoConnection) {
  StageOptions options;
  options.route.timeouts.connect_ns = kSecond;
  options.route.retry.tries = 1;
  Stage stage(options);
  stage.ring.lose_connects(stage.servers[0]->address);
  io::SimPeer& client = stage.dial(kGet);
  stage.run(900 * kMs);
  EXPECT_EQ(client.received(), "");
  ASSERT_TRUE(stage.receives(client, "HTTP/1.1 504 ", 200 * kMs));
  EXPECT_EQ(stage.stats().timeouts_connect, 1u);
  EXPECT_EQ(stage.servers[0]->state->errors_total.load(), 1u);
}

TEST(Timeouts, OfTheWholeRequest) {
  StageOptions options;
  options.route.timeouts.request_total_ns = kSecond;
  Stage stage(options);
  stage.servers[0]->on_request = [](io::SimPeer&, const std::string&) {};
  io::SimPeer& client = stage.dial(kGet);
  stage.run(900 * kMs);
  EXPECT_EQ(client.received(), "");
  ASSERT_TRUE(stage.receives(client, "HTTP/1.1 504 ", 200 * kMs));
  EXPECT_EQ(stage.stats().timeouts_total, 1u);
}

TEST(SecurityRow, R36_AReaderThatStalls) {
  StageOptions options;
  options.policy.write_stall_timeout_ns = kSecond;
  Stage stage(options);
  stage.servers[0]->on_request = [](io::SimPeer& peer, const std::string&) {
    peer.write(response_of(std::string(4'000'000, 'y')));
  };
  io::SimPeer& client = stage.dial(kGet);
  client.set_window(1);
  client.pause();
  stage.run(900 * kMs);
  EXPECT_EQ(stage.stats().connections_active, 1u);
  stage.run(1300 * kMs);
  EXPECT_EQ(stage.stats().connections_active, 0u);
  EXPECT_EQ(stage.stats().timeouts_write, 1u);
  EXPECT_EQ(stage.ring.output_pool().in_use() + stage.ring.bulk_pool().in_use(), 0u);
}

// Steady slowness is not a stall.
TEST(Timeouts, AReaderThatIsSlowGetsItAll) {
  StageOptions options;
  options.policy.write_stall_timeout_ns = kSecond;
  Stage stage(options);
  stage.servers[0]->on_request = [](io::SimPeer& peer, const std::string&) {
    peer.write(response_of(std::string(400'000, 'y')));
  };
  io::SimPeer& client = stage.dial(kGet);
  client.set_window(20'000);
  client.pause();
  for (int i = 1; i < 60; ++i) {
    stage.ring.after(i * 800 * kMs, [&client] {
      client.resume();
      client.pause();
    });
  }
  ASSERT_TRUE(stage.run_until([&] { return client.bytes_received() > 400'000; }, 60 * kSecond));
  EXPECT_EQ(stage.stats().timeouts_write, 0u);
}

TEST(Timeouts, NoneSpins) {
  Stage stage;
  stage.servers[0]->on_request = [](io::SimPeer&, const std::string&) {};
  stage.dial(kGet);
  stage.run(100 * kMs);
  const uint64_t turns = stage.ring.stats().turns;
  stage.run(50 * kSecond);
  EXPECT_LT(stage.ring.stats().turns - turns, 200u);
}

}  // namespace
}  // namespace ringway::worker
