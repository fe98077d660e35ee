// Relays that connect from their clients' addresses (--transparent-source).
#include <gtest/gtest.h>

#include "dataplane/net/address.h"
#include "dataplane/worker/test_stage.h"

namespace ringway::worker {
namespace {

StageOptions transparent(config::ListenerKind kind) {
  StageOptions options;
  options.kind = kind;
  options.stream.source = config::StreamSource::kClient;
  return options;
}

// The address without port that the endpoint's last connection came from.
std::string seen(const TestServer& server) {
  if (server.peers.empty()) return "nobody";
  const io::SocketAddress& source = server.peers.back()->source();
  return source.length == 0 ? "own" : net::to_string(source);
}

void echo(TestServer& server) {
  server.on_bytes = [](io::SimPeer& peer, std::string_view bytes) { peer.write(bytes); };
}

TEST(ClientSource, IsWhatTheEndpointSees) {
  Stage stage(transparent(config::ListenerKind::kTcp));
  echo(*stage.servers[0]);
  ASSERT_TRUE(stage.receives(stage.dial("one", 0x0A010001), "one"));
  EXPECT_EQ(seen(*stage.servers[0]), "10.1.0.1:0");
  ASSERT_TRUE(stage.receives(stage.dial("two", 0xCB007107), "two"));
  EXPECT_EQ(seen(*stage.servers[0]), "203.0.113.7:0");
  EXPECT_EQ(stage.stats().stream.own_sources, 0u);
}

TEST(ClientSource, IsTheProxysUnlessAsked) {
  StageOptions options = transparent(config::ListenerKind::kTcp);
  options.stream.source = config::StreamSource::kProxy;
  Stage stage(options);
  echo(*stage.servers[0]);
  ASSERT_TRUE(stage.receives(stage.dial("one"), "one"));
  EXPECT_EQ(seen(*stage.servers[0]), "own");
  EXPECT_EQ(stage.stats().stream.own_sources, 0u);
}

TEST(ClientSource, OfHttpStaysTheProxys) {
  Stage stage(transparent(config::ListenerKind::kHttp));
  EXPECT_NE(stage.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").find("200 OK"), std::string::npos);
  EXPECT_EQ(seen(*stage.servers[0]), "own");
  EXPECT_EQ(stage.stats().stream.own_sources, 0u);
}

TEST(ClientSource, IsWhatATrustedProxyHeaderSays) {
  for (const bool trusted : {true, false}) {
    SCOPED_TRACE(trusted);
    StageOptions options = transparent(config::ListenerKind::kTcp);
    auto prelude = std::make_shared<config::PreludePolicy>();
    prelude->proxy_protocol = true;
    prelude->trusted = {*net::Cidr::parse(trusted ? "10.1.0.0/16" : "192.0.2.0/24")};
    options.prelude = prelude;
    Stage stage(options);
    echo(*stage.servers[0]);
    ASSERT_TRUE(
        stage.receives(stage.dial("PROXY TCP4 203.0.113.7 10.9.9.9 1234 80\r\nhello"), "hello"));
    EXPECT_EQ(seen(*stage.servers[0]), trusted ? "203.0.113.7:0" : "10.1.0.1:0");
  }
}

TEST(ClientSource, OfAnotherFamilyIsTheProxysAndCounted) {
  Stage stage(transparent(config::ListenerKind::kTcp));
  const io::SocketAddress six = net::parse_address("[2001:db8::1]:80").value();
  stage.servers[0]->state->address = six;
  io::SimPeer* server = nullptr;
  stage.ring.serve(six, [&server](io::SimPeer& peer) {
    server = &peer;
    peer.write("hello");
  });
  ASSERT_TRUE(stage.receives(stage.dial(), "hello"));
  EXPECT_EQ(server->source().length, 0u);
  EXPECT_EQ(stage.stats().stream.own_sources, 1u);
}

// What a header of a trusted peer may say, too.
TEST(ClientSource, ThatNobodyCouldAnswerIsTheProxysAndCounted) {
  Stage stage(transparent(config::ListenerKind::kTcp));
  echo(*stage.servers[0]);
  uint64_t count = 0;
  // Loopback, unspecified, multicast, link-local, the endpoint's own.
  for (const uint32_t from : {0x7F000001u, 0x00000000u, 0xE0000001u, 0xA9FE0101u, 0x0A000001u}) {
    ASSERT_TRUE(stage.receives(stage.dial("hi", from), "hi")) << from;
    EXPECT_EQ(seen(*stage.servers[0]), "own") << from;
    EXPECT_EQ(stage.stats().stream.own_sources, ++count);
  }
}

TEST(ClientSource, StaysForTheNextEndpoint) {
  StageOptions options = transparent(config::ListenerKind::kTcp);
  options.servers = 2;
  Stage stage(options);
  echo(*stage.servers[1]);
  stage.ring.stop_serving(stage.servers[0]->address);
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(stage.receives(stage.dial("hi", 0x0A010101 + i), "hi"));
  EXPECT_GT(stage.stats().stream.retries, 0u);
  ASSERT_EQ(stage.servers[1]->peers.size(), 4u);
  for (const io::SimPeer* peer : stage.servers[1]->peers)
    EXPECT_EQ(net::to_string(peer->source()).substr(0, 7), "10.1.1.");
}

// One client can take all ports of its address towards an endpoint. That must not take the
// endpoint from the others.
TEST(ClientSource, WithoutAPortLeftIsNotTheEndpointsFault) {
  StageOptions options = transparent(config::ListenerKind::kTcp);
  options.servers = 2;
  Stage stage(options);
  echo(*stage.servers[0]);
  echo(*stage.servers[1]);
  stage.ring.exhaust_ports(stage.servers[0]->address);
  for (int i = 0; i < 40; ++i) {
    io::SimPeer& client = stage.dial("hi");
    ASSERT_TRUE(stage.receives(client, "hi")) << i;
    client.close();
    stage.run(200 * kMs);  // Ten retries a second are always allowed.
  }
  EXPECT_GT(stage.stats().stream.retries, 10u);
  EXPECT_EQ(stage.stats().ejections, 0u);
}

TEST(ClientSource, OfDatagrams) {
  Stage stage(transparent(config::ListenerKind::kUdp));
  const io::SocketAddress server = stage.servers[0]->address;
  const io::SocketAddress client = net::parse_address("203.0.113.7:5000").value();
  const io::SocketAddress twin = net::parse_address("203.0.113.7:5001").value();
  const io::SocketAddress local = net::parse_address("127.0.0.1:5000").value();
  std::vector<std::string> from;
  stage.ring.serve_datagrams(server, [&](const io::SocketAddress& source, std::string_view bytes) {
    from.push_back(net::to_string(source));
    stage.ring.datagram_to_proxy(server, source, bytes);
  });
  std::vector<std::string> answers;
  for (const auto& each : {client, twin, local}) {
    stage.ring.serve_datagrams(each, [&answers](const io::SocketAddress&, std::string_view bytes) {
      answers.emplace_back(bytes);
    });
    stage.ring.datagram_to_proxy(each, stage.address, net::to_string(each));
    ASSERT_TRUE(stage.run_until(
        [&] { return !answers.empty() && answers.back() == net::to_string(each); }));
  }
  ASSERT_EQ(from.size(), 3u);
  EXPECT_TRUE(from[0].starts_with("203.0.113.7:") && from[1].starts_with("203.0.113.7:"));
  EXPECT_NE(from[0], from[1]);
  EXPECT_FALSE(from[2].starts_with("127.")) << from[2];
  EXPECT_EQ(stage.stats().stream.own_sources, 1u);
}

}  // namespace
}  // namespace ringway::worker
