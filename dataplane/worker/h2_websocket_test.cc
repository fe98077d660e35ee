// WebSocket over HTTP/2 (RFC 8441), on either side and on both.
#include <gtest/gtest.h>

#include "dataplane/http/websocket_accept.h"
#include "dataplane/worker/h2_backend.h"
#include "dataplane/worker/h2_dial.h"

namespace ringway::worker {
namespace {

using Server = http::testing::H2TestServer;
using http::testing::H2FieldList;

const std::string kUpgrade =
    "GET /chat?x=1 HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const H2FieldList kConnect = {{":method", "CONNECT"},
                              {":protocol", "websocket"},
                              {":scheme", "http"},
                              {":authority", "a"},
                              {":path", "/chat"},
                              {"sec-websocket-version", "13"},
                              {"sec-websocket-protocol", "chat"}};
const std::string kGoingAway = "\x88\x02\x03\xE9";

StageOptions h2_options() {
  StageOptions options;
  options.protocol = upstream::Protocol::kHttp2;
  return options;
}

// An HTTP/2 endpoint that takes extended CONNECT and keeps what came.
struct Endpoint {
  explicit Endpoint(Stage& stage, bool extended_connect = true)
      : backend(*stage.servers[0], {.extended_connect = extended_connect}) {
    backend.on_request = [](H2Backend::Connection& at, Server::Request& request) {
      if (!request.field(":protocol").empty()) return;  // A tunnel's end is its test's to answer.
      at.server.respond(request.stream, {{":status", "200"}}, "ok");
    };
    h2 = stage.servers[0]->on_bytes;
    stage.servers[0]->on_bytes = [this](io::SimPeer& peer, std::string_view bytes) {
      if (silent) {
        held.emplace_back(&peer, bytes);
        return;
      }
      h2(peer, bytes);
    };
  }
  H2Backend::Connection& at() { return *backend.connections.at(0); }
  bool asked() {
    return !backend.connections.empty() && !at().server.requests.empty() && request().headed;
  }
  Server::Request& request() { return at().server.requests.rbegin()->second; }
  // Answers the CONNECT that came with 200.
  bool accept(Stage& stage) {
    if (!stage.run_until([&] { return asked(); })) return false;
    at().server.head(request().stream, {{":status", "200"}, {"sec-websocket-protocol", "chat"}});
    at().flush();
    return true;
  }
  void send(std::string_view bytes, bool end = false) {
    at().server.data(request().stream, bytes, end);
    at().flush();
  }
  void speak() {
    silent = false;
    for (auto& [peer, bytes] : std::exchange(held, {})) h2(*peer, bytes);
  }

  H2Backend backend;
  std::function<void(io::SimPeer&, std::string_view)> h2;
  bool silent = false;
  std::vector<std::pair<io::SimPeer*, std::string>> held;
};

TEST(H2WebSocket, FromHttp1ToAnEndpointOfHttp2) {
  Stage stage(h2_options());
  Endpoint endpoint(stage);
  io::SimPeer& client = stage.dial(kUpgrade + "early");
  ASSERT_TRUE(endpoint.accept(stage));
  EXPECT_EQ(endpoint.request().field(":method"), "CONNECT");
  EXPECT_EQ(endpoint.request().field(":protocol"), "websocket");
  EXPECT_EQ(endpoint.request().field(":path"), "/chat?x=1");
  EXPECT_EQ(endpoint.request().field("sec-websocket-version"), "13");
  EXPECT_EQ(endpoint.request().field("sec-websocket-key"), "");
  EXPECT_EQ(endpoint.request().field("upgrade"), "");
  ASSERT_TRUE(stage.receives(client, "\r\n\r\n"));
  EXPECT_TRUE(client.received().starts_with("HTTP/1.1 101 ")) << client.received();
  EXPECT_NE(client.received().find("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"),
            std::string::npos)
      << client.received();
  client.write(" up");
  endpoint.send("down");
  ASSERT_TRUE(stage.receives(client, "\r\n\r\ndown"));
  EXPECT_TRUE(stage.run_until([&] { return endpoint.request().body == "early up"; }, kSecond));
  client.half_close();
  ASSERT_TRUE(stage.run_until([&] { return endpoint.request().ended; }, kSecond));
  endpoint.send("", true);
  ASSERT_TRUE(stage.run_until([&] { return client.ended(); }, kSecond));
  EXPECT_EQ(stage.stats().upstream_connects, 1u);
}

TEST(H2WebSocket, FromHttp2ToAnEndpointOfHttp2BesideOtherRequests) {
  Stage stage(h2_options());
  Endpoint endpoint(stage);
  H2Dial dial(stage);
  const uint32_t id = dial.client.request(kConnect, false);
  dial.client.send(id, "early ", false);
  dial.flush();
  ASSERT_TRUE(endpoint.accept(stage));
  const int32_t stream = endpoint.request().stream;
  ASSERT_TRUE(stage.run_until([&] { return dial.response(id).status == 200; }, kSecond));
  EXPECT_EQ(dial.response(id).field("sec-websocket-protocol"), "chat");
  EXPECT_EQ(dial.response(id).field("sec-websocket-accept"), "(none)");
  dial.client.send(id, "up", false);
  endpoint.send("down");
  const uint32_t other = dial.client.get();
  ASSERT_TRUE(dial.finishes(other));
  EXPECT_EQ(dial.response(other).body, "ok");
  EXPECT_EQ(endpoint.at().server.requests[stream].body, "early up");
  EXPECT_EQ(dial.response(id).body, "down");
  EXPECT_EQ(stage.stats().upstream_connects, 1u);
  dial.client.send(id, "", true);
  dial.flush();
  ASSERT_TRUE(
      stage.run_until([&] { return endpoint.at().server.requests[stream].ended; }, kSecond));
  endpoint.at().server.data(stream, "", true);
  endpoint.at().flush();
  ASSERT_TRUE(dial.finishes(id));
  EXPECT_FALSE(dial.response(id).reset);
  EXPECT_EQ(stage.stats().tunnels_active, 0u);
}

// RFC 8441 section 3: not before the endpoint's SETTINGS have said so, which come after ours.
TEST(H2WebSocket, WaitsForTheSettings) {
  Stage stage(h2_options());
  Endpoint endpoint(stage);
  endpoint.silent = true;
  io::SimPeer& client = stage.dial(kUpgrade);
  stage.run(kSecond);
  EXPECT_EQ(client.received(), "");
  endpoint.speak();
  ASSERT_TRUE(endpoint.accept(stage));
  EXPECT_TRUE(stage.receives(client, "101 ", kSecond));
}

TEST(H2WebSocket, SettingsThatNeverComeAreATimeout) {
  StageOptions options = h2_options();
  options.route.timeouts.connect_ns = kSecond;
  options.route.retry.tries = 1;
  Stage stage(options);
  Endpoint endpoint(stage);
  endpoint.silent = true;
  io::SimPeer& client = stage.dial(kUpgrade);
  ASSERT_TRUE(stage.receives(client, "HTTP/1.1 504 ", 3 * kSecond)) << client.received();
  endpoint.speak();
}

TEST(H2WebSocket, ARefusalIsAnAnswer) {
  Stage stage(h2_options());
  Endpoint endpoint(stage);
  io::SimPeer& client = stage.dial(kUpgrade);
  ASSERT_TRUE(stage.run_until([&] { return endpoint.asked(); }));
  endpoint.at().server.respond(endpoint.request().stream, {{":status", "403"}}, "no");
  endpoint.at().flush();
  ASSERT_TRUE(stage.run_until([&] { return client.ended(); }, kSecond));
  EXPECT_TRUE(client.received().starts_with("HTTP/1.1 403 ")) << client.received();
}

// An endpoint without extended CONNECT gets an upgrade of HTTP/1.1, on a connection of its own.
TEST(H2WebSocket, FallsBackToHttp1) {
  Stage stage(h2_options());
  Endpoint endpoint(stage, false);
  std::vector<io::SimPeer*> tunnels;
  std::string received;
  const auto h2 = stage.servers[0]->on_bytes;
  stage.servers[0]->on_bytes = [&](io::SimPeer& peer, std::string_view bytes) {
    if (std::ranges::count(tunnels, &peer) > 0) {
      received += bytes;
    } else if (bytes.starts_with("GET /chat")) {
      tunnels.push_back(&peer);
      peer.write(
          "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
          "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nhello");
    } else {
      h2(peer, bytes);
    }
  };
  io::SimPeer& client = stage.dial(kUpgrade);
  ASSERT_TRUE(stage.receives(client, "hello", kSecond)) << client.received();
  client.write("up");
  ASSERT_TRUE(stage.run_until([&] { return received == "up"; }, kSecond));
  EXPECT_EQ(stage.stats().upstream_connects, 2u);
  // What is known of the endpoint is remembered; requests go on by HTTP/2 beside.
  io::SimPeer& second = stage.dial(kUpgrade);
  ASSERT_TRUE(stage.receives(second, "hello", kSecond));
  EXPECT_EQ(stage.stats().upstream_connects, 3u);
  EXPECT_TRUE(stage.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").starts_with("HTTP/1.1 200 "));
  EXPECT_EQ(stage.stats().upstream_connects, 3u);
  for (io::SimPeer* tunnel : tunnels) tunnel->close();
  client.close();
  second.close();
  stage.run(kSecond);
  EXPECT_EQ(stage.stats().upstream_connections_active, 1u);
}

TEST(H2WebSocket, ARefusedFallBackLeavesNoConnectionToReuse) {
  Stage stage(h2_options());
  Endpoint endpoint(stage, false);
  const auto h2 = stage.servers[0]->on_bytes;
  stage.servers[0]->on_bytes = [&](io::SimPeer& peer, std::string_view bytes) {
    if (!bytes.starts_with("GET ")) return h2(peer, bytes);
    peer.write("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
  };
  io::SimPeer& client = stage.dial(kUpgrade);
  ASSERT_TRUE(stage.receives(client, "HTTP/1.1 404 ", kSecond)) << client.received();
  stage.run(100 * kMs);
  EXPECT_EQ(stage.stats().upstream_connections_active, 1u);
  EXPECT_EQ(stage.stats().upstream_connections_idle, 1u);  // Of HTTP/2.
}

TEST(H2WebSocket, IsToldOfADrainLikeAnyOther) {
  Stage stage(h2_options());
  Endpoint endpoint(stage);
  H2Dial dial(stage);
  const uint32_t id = dial.client.request(kConnect, false);
  dial.flush();
  ASSERT_TRUE(endpoint.accept(stage));
  stage.drain(0, 20 * kSecond);
  stage.run(14 * kSecond);
  EXPECT_EQ(dial.response(id).body, "");
  stage.run(2 * kSecond);
  EXPECT_EQ(dial.response(id).body, kGoingAway);
  EXPECT_EQ(endpoint.request().body.size(), 8u);
  dial.client.send(id, std::string("\x88\x82\0\0\0\0\x03\xE9", 8), false);
  endpoint.send(kGoingAway);
  ASSERT_TRUE(dial.finishes(id, kSecond));
  EXPECT_TRUE(dial.response(id).ended);
  EXPECT_EQ(dial.response(id).body, kGoingAway);
}

}  // namespace
}  // namespace ringway::worker
