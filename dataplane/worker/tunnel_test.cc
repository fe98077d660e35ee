// Upgrades: 101 makes both connections one stream of bytes.
#include <gtest/gtest.h>

#include "dataplane/worker/test_stage.h"

namespace ringway::worker {
namespace {

// The example of RFC 6455 section 1.3.
const std::string kUpgrade =
    "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const std::string kSwitching =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

// A server that upgrades, then gathers what comes.
struct Tunnel {
  explicit Tunnel(Stage& stage, std::string_view with_101 = {}) : stage(stage) {
    stage.ring.serve(stage.servers[0]->address, [this, first = std::string(with_101)](io::SimPeer& peer) {
      server = &peer;
      peer.on_data = [this, first](io::SimPeer& at, std::string_view bytes) {
        (upgraded ? received : head).append(bytes);
        const size_t end = head.find("\r\n\r\n");
        if (upgraded || end == std::string::npos) return;
        upgraded = true;
        received = head.substr(end + 4);
        head.resize(end + 4);
        at.write(kSwitching + first);
      };
    });
  }
  Stage& stage;
  io::SimPeer* server = nullptr;
  bool upgraded = false;
  std::string head, received;
};

TEST(Tunnel, CarriesBytesBothWays) {
  Stage stage;
  Tunnel tunnel(stage, "first");
  io::SimPeer& client = stage.dial(kUpgrade);
  ASSERT_TRUE(stage.receives(client, "\r\n\r\nfirst"));
  EXPECT_TRUE(client.received().starts_with("HTTP/1.1 101 Switching Protocols\r\n")) << client.received();
  EXPECT_NE(client.received().find("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), std::string::npos);
  EXPECT_NE(client.received().find("pgrade: websocket"), std::string::npos);
  EXPECT_EQ(stage.stats().tunnels_active, 1u);
  client.write("up");
  tunnel.server->write("down");
  ASSERT_TRUE(stage.receives(client, "down"));
  EXPECT_EQ(tunnel.received, "up");
  client.write(std::string(1'000'000, 'u'));
  tunnel.server->write(std::string(1'000'000, 'd'));
  EXPECT_TRUE(stage.run_until(
      [&] { return tunnel.received.size() == 1'000'002 && client.bytes_received() > 1'000'000; }));
}

TEST(Tunnel, BytesSentBefore101ArriveAndSoDoThoseAfter) {
  Stage stage;
  Tunnel tunnel(stage);
  io::SimPeer& client = stage.dial(kUpgrade + "early");
  ASSERT_TRUE(stage.receives(client, "101 "));
  stage.run(10 * kMs);
  EXPECT_EQ(tunnel.received, "early");
  client.write(" later");
  ASSERT_TRUE(stage.run_until([&] { return tunnel.received == "early later"; }, kSecond));
}

TEST(Tunnel, HalfCloseOfEachSide) {
  for (const bool client_first : {true, false}) {
    SCOPED_TRACE(client_first);
    Stage stage;
    Tunnel tunnel(stage);
    io::SimPeer& client = stage.dial(kUpgrade);
    ASSERT_TRUE(stage.receives(client, "101 "));
    io::SimPeer& first = client_first ? client : *tunnel.server;
    io::SimPeer& second = client_first ? *tunnel.server : client;
    first.write("farewell");
    first.half_close();
    ASSERT_TRUE(stage.run_until([&] { return second.ended(); }, kSecond));
    EXPECT_FALSE(first.ended());
    second.write(std::string(500'000, '~'));
    stage.run(10 * kMs);
    second.half_close();
    ASSERT_TRUE(stage.run_until([&] { return first.ended(); }, kSecond));
    EXPECT_EQ(std::ranges::count(client_first ? client.received() : tunnel.received, '~'), 500'000);
    stage.run(100 * kMs);
    EXPECT_EQ(stage.stats().tunnels_active, 0u);
    EXPECT_EQ(stage.stats().connections_active, 0u);
  }
}

// The upstream has ended its side; what the client sends last must still get there, however slowly it is read.
TEST(Tunnel, TheClientsLastBytesReachASlowUpstream) {
  Stage stage;
  Tunnel tunnel(stage);
  io::SimPeer& client = stage.dial(kUpgrade);
  ASSERT_TRUE(stage.receives(client, "101 "));
  tunnel.server->set_window(1000);
  tunnel.server->half_close();
  ASSERT_TRUE(stage.run_until([&] { return client.ended(); }, kSecond));
  tunnel.server->pause();
  client.write(std::string(100'000, 'z'));
  client.half_close();
  stage.run(kSecond);
  EXPECT_EQ(stage.stats().tunnels_active, 1u);
  tunnel.server->resume();
  ASSERT_TRUE(stage.run_until([&] { return tunnel.server->ended(); }));
  EXPECT_EQ(tunnel.received.size(), 100'000u);
}

TEST(Tunnel, EndsWhenIdle) {
  StageOptions options;
  options.policy.tunnel_idle_timeout_ns = 10 * kSecond;
  options.route.timeouts.response_idle_ns = kSecond;   // Not a tunnel's.
  options.policy.body_timeout_ns = kSecond;
  Stage stage(options);
  Tunnel tunnel(stage);
  io::SimPeer& client = stage.dial(kUpgrade);
  ASSERT_TRUE(stage.receives(client, "101 "));
  stage.run(9 * kSecond);
  client.write("still here");
  stage.run(9 * kSecond);
  EXPECT_FALSE(client.ended());
  stage.run(2 * kSecond);
  EXPECT_TRUE(client.ended());
  EXPECT_EQ(stage.stats().timeouts_idle, 1u);
  EXPECT_EQ(stage.stats().tunnels_active, 0u);
}

TEST(Tunnel, AResetOfEitherSideEndsTheOther) {
  for (const bool of_client : {true, false}) {
    Stage stage;
    Tunnel tunnel(stage);
    io::SimPeer& client = stage.dial(kUpgrade);
    ASSERT_TRUE(stage.receives(client, "101 "));
    of_client ? client.reset() : tunnel.server->reset();
    EXPECT_TRUE(stage.run_until([&] {
      return of_client ? stage.stats().upstream_connections_active == 0 : client.ended() || client.was_reset();
    }, kSecond));
  }
}

TEST(Tunnel, ARefusedUpgradeIsAnAnswer) {
  Stage stage;
  io::SimPeer& client = stage.dial(kUpgrade + "bytes of the other protocol");
  ASSERT_TRUE(stage.run_until([&] { return client.ended(); }));
  EXPECT_TRUE(client.received().starts_with("HTTP/1.1 200 OK\r\n"));
  EXPECT_TRUE(client.received().ends_with("ok"));
  EXPECT_EQ(stage.stats().requests, 1u);
}

TEST(Tunnel, AWrong101IsABadGateway) {
  Stage stage;
  stage.servers[0]->on_request = [](io::SimPeer& peer, const std::string&) {
    peer.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
               "Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n");
  };
  EXPECT_TRUE(stage.ask(kUpgrade).starts_with("HTTP/1.1 502 "));
}

}  // namespace
}  // namespace ringway::worker
