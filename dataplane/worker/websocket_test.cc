// WebSockets to their end: what is said before it comes, and what is not.
#include <gtest/gtest.h>

#include "dataplane/worker/test_stage.h"

namespace ringway::worker {
namespace {

// The example of RFC 6455 section 1.3.
const std::string kUpgrade =
    "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const std::string kSwitching =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
const std::string kGoingAway = "\x88\x02\x03\xE9";

std::string masked(uint8_t first, std::string_view payload) {
  std::string out(1, static_cast<char>(first));
  return out + static_cast<char>(0x80 | payload.size()) + std::string(4, '\0') +
         std::string(payload);
}
std::string plain(uint8_t first, std::string_view payload) {
  return std::string(1, static_cast<char>(first)) + static_cast<char>(payload.size()) +
         std::string(payload);
}
const std::string kClientClose = masked(0x88, "\x03\xE9");
const std::string kServerClose = plain(0x88, "\x03\xE9");

// What a client's Close frame says; "" when it is none.
std::string unmasked_close(std::string_view frame) {
  if (frame.size() != 8 || frame.substr(0, 2) != "\x88\x82") return "";
  return {static_cast<char>(frame[6] ^ frame[2]), static_cast<char>(frame[7] ^ frame[3])};
}

struct WebSocket {
  explicit WebSocket(Stage& stage) : stage(stage) {
    stage.ring.serve(stage.servers[0]->address, [this](io::SimPeer& peer) {
      server = &peer;
      peer.on_data = [this](io::SimPeer& at, std::string_view bytes) {
        if (upgraded) {
          received.append(bytes);
          return;
        }
        head.append(bytes);
        if (!head.ends_with("\r\n\r\n")) return;
        upgraded = true;
        at.write(kSwitching);
      };
      peer.on_end = [this](io::SimPeer&) { server_ended = true; };
    });
    client = &stage.dial(kUpgrade);
    EXPECT_TRUE(stage.receives(*client, "\r\n\r\n"));
    head_bytes = client->received().size();
  }
  std::string to_client() const { return client->received().substr(head_bytes); }
  bool over() const { return stage.stats().tunnels_active == 0; }

  Stage& stage;
  io::SimPeer* client = nullptr;
  io::SimPeer* server = nullptr;
  size_t head_bytes = 0;
  bool upgraded = false, server_ended = false;
  std::string head, received;
};

TEST(WebSocketDrain, BothSidesAreToldBeforeTheDeadlineAndTheEndIsOrderly) {
  Stage stage;
  WebSocket socket(stage);
  socket.client->write(masked(0x81, "up"));
  socket.server->write(plain(0x81, "down"));
  stage.drain(0, 60 * kSecond);
  stage.run(54 * kSecond);
  EXPECT_EQ(socket.to_client(), plain(0x81, "down"));  // A drain is no reason to end it at once.
  ASSERT_TRUE(stage.run_until([&] { return socket.to_client().size() > 6; }, 2 * kSecond));
  EXPECT_EQ(socket.to_client(), plain(0x81, "down") + kGoingAway);
  ASSERT_TRUE(socket.received.starts_with(masked(0x81, "up")));
  EXPECT_EQ(unmasked_close(socket.received.substr(8)), "\x03\xE9");
  socket.client->write(kClientClose);
  socket.server->write(kServerClose);
  ASSERT_TRUE(stage.run_until([&] { return socket.client->ended() && socket.over(); }, kSecond));
  EXPECT_FALSE(socket.client->was_reset());
  EXPECT_EQ(socket.to_client(), plain(0x81, "down") + kGoingAway);  // Theirs answered ours.
  EXPECT_EQ(socket.received.size(), 16u);
  socket.client->close();
  socket.server->close();
  EXPECT_TRUE(stage.run_until([&] { return stage.worker->finished(); }, kSecond));
}

TEST(WebSocketDrain, AFrameUnderWayIsFinishedFirstAndNothingFollowsTheClose) {
  Stage stage;
  WebSocket socket(stage);
  const std::string up = masked(0x82, std::string(100, 'u'));
  const std::string down = plain(0x82, std::string(100, 'd'));
  socket.client->write(up.substr(0, 50));
  socket.server->write(down.substr(0, 1));
  stage.drain(0, 20 * kSecond);
  stage.run(16 * kSecond);
  EXPECT_EQ(socket.received, up.substr(0, 50));
  EXPECT_EQ(socket.to_client(), down.substr(0, 1));
  socket.client->write(up.substr(50) + masked(0x81, "too late"));
  socket.server->write(down.substr(1) + plain(0x81, "too late"));
  stage.run(kSecond);
  EXPECT_EQ(socket.to_client(), down + kGoingAway);
  ASSERT_TRUE(socket.received.starts_with(up));
  EXPECT_EQ(unmasked_close(socket.received.substr(up.size())), "\x03\xE9");
  EXPECT_FALSE(socket.over());
  socket.server->write(kServerClose);
  ASSERT_TRUE(stage.run_until([&] { return socket.client->ended(); }, kSecond));
  socket.client->write(kClientClose);
  ASSERT_TRUE(stage.run_until([&] { return socket.over(); }, kSecond));
}

TEST(WebSocketDrain, WhoDoesNotAnswerIsCutAtTheDeadline) {
  Stage stage;
  WebSocket socket(stage);
  stage.drain(0, 20 * kSecond);
  stage.run(19 * kSecond);
  EXPECT_EQ(socket.to_client(), kGoingAway);
  EXPECT_FALSE(socket.over());
  stage.run(2 * kSecond);
  EXPECT_TRUE(socket.over());
  EXPECT_TRUE(stage.worker->finished());
}

TEST(WebSocketDrain, WhoClosesAlreadyIsNotInterrupted) {
  Stage stage;
  WebSocket socket(stage);
  socket.client->write(masked(0x88, "\x03\xE8"));
  stage.drain(0, 20 * kSecond);
  stage.run(16 * kSecond);
  EXPECT_EQ(socket.to_client(), "");
  EXPECT_EQ(socket.received, masked(0x88, "\x03\xE8"));
  socket.server->write(plain(0x88, "\x03\xE8"));
  socket.server->close();
  ASSERT_TRUE(stage.run_until([&] { return socket.client->ended(); }, kSecond));
  EXPECT_EQ(socket.to_client(), plain(0x88, "\x03\xE8"));
}

// An extension may define other frames: then nobody knows where one begins.
TEST(WebSocketDrain, BytesThatAreNoFramesAreCutWithoutAWord) {
  Stage stage;
  WebSocket socket(stage);
  socket.client->write(std::string(100, '\x77'));
  stage.drain(0, 20 * kSecond);
  stage.run(19 * kSecond);
  EXPECT_EQ(socket.to_client(), "");
  EXPECT_EQ(socket.received, std::string(100, '\x77'));
  stage.run(2 * kSecond);
  EXPECT_TRUE(stage.worker->finished());
}

TEST(WebSocketTimeouts, IdleOnesAreToldAndClosed) {
  StageOptions options;
  options.route.timeouts.tunnel_idle_ns = 10 * kSecond;  // Wins over the listener's hour.
  Stage stage(options);
  WebSocket socket(stage);
  stage.run(8 * kSecond);
  socket.client->write(masked(0x89, ""));  // A ping is life enough.
  stage.run(8 * kSecond);
  EXPECT_EQ(socket.to_client(), "");
  stage.run(3 * kSecond);
  EXPECT_EQ(socket.to_client(), kGoingAway);
  EXPECT_EQ(stage.stats().timeouts_idle, 1u);
  socket.client->write(kClientClose);
  socket.server->write(kServerClose);
  ASSERT_TRUE(stage.run_until([&] { return socket.over() && socket.client->ended(); }, kSecond));
  EXPECT_FALSE(socket.client->was_reset());
}

TEST(WebSocketTimeouts, ALifetimeEndsBusyOnesToo) {
  StageOptions options;
  options.route.timeouts.tunnel_lifetime_ns = 10 * kSecond;
  Stage stage(options);
  WebSocket socket(stage);
  for (int i = 0; i < 9; ++i) {
    socket.client->write(masked(0x81, "x"));
    stage.run(kSecond);
  }
  EXPECT_EQ(socket.to_client(), "");
  stage.run(2 * kSecond);
  EXPECT_EQ(socket.to_client(), kGoingAway);
  EXPECT_EQ(stage.stats().timeouts_total, 1u);
  stage.run(2 * kSecond);  // Nobody answers.
  EXPECT_TRUE(socket.over());
  EXPECT_TRUE(socket.client->ended() || socket.client->was_reset());
}

TEST(WebSocketChanges, AThousandConfigurationsDoNotTouchIt) {
  Stage stage;
  WebSocket socket(stage);
  for (int i = 0; i < 1000; ++i) {
    stage.publish(1);
    if (i % 100 == 0) {
      socket.client->write(masked(0x81, "u"));
      socket.server->write(plain(0x81, "d"));
    }
    stage.run(10 * kMs);
  }
  stage.publish(0);  // Its endpoint leaves the configuration.
  stage.run(kSecond);
  socket.client->write(masked(0x81, "last"));
  socket.server->write(plain(0x81, "last"));
  stage.run(kSecond);
  EXPECT_EQ(socket.received.size(), 10 * 7 + 10u);
  EXPECT_EQ(socket.to_client().size(), 10 * 3 + 6u);
  EXPECT_EQ(stage.retired.size(),
            1000u);  // Of 1,002 the first, which it holds, and the last are left.
  socket.client->close();
  socket.server->close();
  stage.run(kSecond);
  EXPECT_EQ(stage.retired.size(), 1001u);
}

}  // namespace
}  // namespace ringway::worker
