// Datagrams: sessions by client, to their bounds and their end.
#include <arpa/inet.h>
#include <gtest/gtest.h>

#include <set>

#include "dataplane/net/address.h"
#include "dataplane/worker/test_stage.h"

namespace ringway::worker {
namespace {

using observe::DatagramDrop;

StageOptions udp_options() {
  StageOptions options;
  options.kind = config::ListenerKind::kUdp;
  options.stream.idle_timeout_ns = 30 * kSecond;
  return options;
}

uint64_t drops(const Stage& stage, DatagramDrop reason) {
  return stage.stats().stream.datagram_drops[static_cast<size_t>(reason)];
}

// A client that counts what comes back.
struct Client {
  Client(Stage& stage, uint32_t ip, uint16_t port = 5000) : stage(stage) {
    address.v4.sin_family = AF_INET;
    address.v4.sin_addr.s_addr = htonl(ip);
    address.v4.sin_port = htons(port);
    address.length = sizeof address.v4;
    stage.ring.serve_datagrams(address,
                               [this](const io::SocketAddress& from, std::string_view bytes) {
                                 received.emplace_back(bytes);
                                 EXPECT_EQ(from, this->stage.address);
                               });
  }
  ~Client() { stage.ring.stop_serving_datagrams(address); }
  void send(std::string_view bytes) { stage.ring.datagram_to_proxy(address, stage.address, bytes); }
  Stage& stage;
  io::SocketAddress address;
  std::vector<std::string> received;
};

// A server of datagrams that answers "NAME:" and what came.
struct Server {
  Server(Stage& stage, uint32_t index, bool answers = true)
      : stage(stage), address(stage.servers[index]->address) {
    stage.ring.serve_datagrams(address, [this, &stage, index, answers](
                                            const io::SocketAddress& from, std::string_view bytes) {
      received.emplace_back(bytes);
      sessions.insert(net::to_string(from));
      if (answers)
        stage.ring.datagram_to_proxy(address, from,
                                     std::to_string(index) + ":" + std::string(bytes));
    });
  }
  ~Server() { stage.ring.stop_serving_datagrams(address); }
  Stage& stage;
  io::SocketAddress address;
  std::vector<std::string> received;
  std::set<std::string> sessions;
};

TEST(UdpRelay, AnswersFindTheirClients) {
  Stage stage(udp_options());
  Server server(stage, 0);
  Client one(stage, 0x0A010001), two(stage, 0x0A010002);
  one.send("a");
  two.send("b");
  ASSERT_TRUE(
      stage.run_until([&] { return one.received.size() == 1 && two.received.size() == 1; }));
  EXPECT_EQ(one.received[0], "0:a");
  EXPECT_EQ(two.received[0], "0:b");
  one.send("");
  ASSERT_TRUE(stage.run_until([&] { return one.received.size() == 2; }));
  EXPECT_EQ(one.received[1], "0:");
  EXPECT_EQ(server.sessions.size(), 2u);  // One for each client, however much it sends.
  EXPECT_EQ(stage.stats().stream.sessions_active, 2u);
  EXPECT_EQ(stage.stats().stream.datagrams_received, 3u);
  EXPECT_EQ(stage.stats().stream.datagrams_sent, 3u);
}

TEST(UdpRelay, SessionsEndWhenIdle) {
  Stage stage(udp_options());
  Server server(stage, 0);
  Client client(stage, 0x0A010001);
  client.send("a");
  ASSERT_TRUE(stage.run_until([&] { return client.received.size() == 1; }));
  stage.run(29 * kSecond);
  client.send("b");
  stage.run(29 * kSecond);
  EXPECT_EQ(stage.stats().stream.sessions_active, 1u);
  stage.run(2 * kSecond);
  EXPECT_EQ(stage.stats().stream.sessions_active, 0u);
  client.send("c");
  ASSERT_TRUE(stage.run_until([&] { return client.received.size() == 3; }));
  EXPECT_EQ(stage.stats().stream.sessions, 2u);
}

TEST(UdpRelay, ASessionMayEndAfterItsAnswers) {
  StageOptions options = udp_options();
  options.stream.udp_responses = 1;
  Stage stage(options);
  Server server(stage, 0);
  Client client(stage, 0x0A010001);
  for (int i = 0; i < 5; ++i) {
    client.send("q");
    ASSERT_TRUE(
        stage.run_until([&] { return client.received.size() == static_cast<size_t>(i) + 1; }));
  }
  stage.run(10 * kMs);
  EXPECT_EQ(stage.stats().stream.sessions, 5u);
  EXPECT_EQ(stage.stats().stream.sessions_active, 0u);
}

TEST(UdpRelay, TheTableIsBounded) {
  StageOptions options = udp_options();
  options.stream.connections_max = 10;
  Stage stage(options);
  Server server(stage, 0);
  for (uint32_t i = 0; i < 50; ++i) {
    io::SocketAddress from;
    from.v4.sin_family = AF_INET;
    from.v4.sin_addr.s_addr = htonl(0x0A020000 + i);
    from.v4.sin_port = htons(7);
    from.length = sizeof from.v4;
    stage.ring.datagram_to_proxy(from, stage.address, "flood");
  }
  stage.run(100 * kMs);
  EXPECT_EQ(stage.stats().stream.sessions_active, 10u);
  EXPECT_EQ(drops(stage, DatagramDrop::kTableFull), 40u);
  stage.run(31 * kSecond);  // And again when they are idle.
  Client client(stage, 0x0A010001);
  client.send("a");
  ASSERT_TRUE(stage.run_until([&] { return client.received.size() == 1; }));
}

TEST(UdpRelay, SpreadsSessionsAndLeavesWhoRefuses) {
  StageOptions options = udp_options();
  options.servers = 2;
  Stage stage(options);
  Server good(stage, 1);  // Nobody is at the first.
  uint32_t answered = 0;
  const auto ask = [&](uint32_t i) {
    Client client(stage, 0x0A010001 + i);
    client.send("a");
    if (stage.run_until([&] { return !client.received.empty(); }, 20 * kMs)) ++answered;
  };
  for (uint32_t i = 0; i < 20; ++i) ask(i);
  EXPECT_GE(answered, 19u);  // Who has refused is left alone for a second.
  EXPECT_EQ(stage.stats().ejections, 0u);
  // Five refusals in a row eject an endpoint.
  for (uint32_t i = 20; i < 60 && stage.stats().ejections == 0; ++i) {
    stage.run(kSecond);
    ask(i);
  }
  EXPECT_EQ(stage.stats().ejections, 1u);
  EXPECT_EQ(stage.servers[0]->state->errors_total.load(), 5u);
}

TEST(UdpRelay, WithoutEndpointsTheyAreCounted) {
  StageOptions options = udp_options();
  options.no_endpoints = true;
  Stage stage(options);
  Client client(stage, 0x0A010001);
  client.send("a");
  stage.run(10 * kMs);
  EXPECT_EQ(drops(stage, DatagramDrop::kNoEndpoint), 1u);
  EXPECT_EQ(stage.stats().stream.sessions_active, 0u);
}

TEST(UdpRelay, FollowsTheConfiguration) {
  StageOptions options = udp_options();
  options.servers = 2;
  Stage stage(options);
  Server zero(stage, 0), one(stage, 1);
  stage.publish(1);
  Client client(stage, 0x0A010001);
  client.send("a");
  ASSERT_TRUE(stage.run_until([&] { return client.received.size() == 1; }));
  EXPECT_EQ(client.received[0], "0:a");
  for (int i = 0; i < 100; ++i) stage.publish(1);
  client.send("b");
  ASSERT_TRUE(stage.run_until([&] { return client.received.size() == 2; }));
  EXPECT_EQ(stage.stats().stream.sessions, 1u);
  stage.publish(0);  // Its endpoint leaves: so does the session.
  stage.run(kSecond);
  EXPECT_EQ(stage.stats().stream.sessions_active, 0u);
  client.send("c");
  stage.run(10 * kMs);
  EXPECT_EQ(drops(stage, DatagramDrop::kNoEndpoint), 1u);
  stage.publish(2);
  client.send("d");
  ASSERT_TRUE(stage.run_until([&] { return client.received.size() == 3; }));
}

TEST(UdpRelay, ADrainLetsTalksEndAndTakesNoNewOnes) {
  Stage stage(udp_options());
  Server server(stage, 0);
  Client talking(stage, 0x0A010001), late(stage, 0x0A010002);
  talking.send("a");
  ASSERT_TRUE(stage.run_until([&] { return talking.received.size() == 1; }));
  stage.drain(10 * kMs, 10 * kSecond);
  stage.run(100 * kMs);
  talking.send("b");
  late.send("c");
  ASSERT_TRUE(stage.run_until([&] { return talking.received.size() == 2; }));
  EXPECT_TRUE(late.received.empty());
  EXPECT_EQ(drops(stage, DatagramDrop::kStopping), 1u);
  ASSERT_TRUE(stage.run_until([&] { return stage.worker->finished(); }, 5 * kSecond));
}

TEST(UdpRelay, LongDatagramsPassAndTooLongOnesAreCounted) {
  Stage stage(udp_options());
  Server server(stage, 0);
  Client client(stage, 0x0A010001);
  const std::string text(16'000, 'x');  // Buffers of the stage have 16384 bytes.
  client.send(text);
  ASSERT_TRUE(stage.run_until([&] { return client.received.size() == 1; }));
  EXPECT_EQ(client.received[0], "0:" + text);
  client.send(std::string(20'000, 'x'));
  stage.run(10 * kMs);
  EXPECT_EQ(drops(stage, DatagramDrop::kTooLarge), 1u);
  EXPECT_EQ(server.received.size(), 1u);
}

// The kernel gives datagrams that came together as one, and may refuse to send them so.
TEST(UdpRelay, TrainsArriveAsTheDatagramsTheyWere) {
  for (const uint32_t refused : {0u, 100u}) {
    StageOptions options = udp_options();
    options.faults.segments_refused = refused;
    Stage stage(options);
    Server server(stage, 0);
    Client client(stage, 0x0A010001);
    std::multiset<std::string> sent;
    for (int i = 0; i < 200; ++i) {
      const std::string text = std::to_string(100 + i) + std::string(100, 'x');
      client.send(text);
      sent.insert("0:" + text);
    }
    ASSERT_TRUE(stage.run_until([&] { return client.received.size() == 200; }));
    EXPECT_EQ(std::multiset<std::string>(client.received.begin(), client.received.end()), sent);
    EXPECT_EQ(stage.stats().stream.datagrams_received, 200u);
    EXPECT_EQ(stage.stats().stream.datagrams_sent, 200u);
    EXPECT_EQ(stage.stats().stream.sessions, 1u);
  }
}

TEST(UdpRelay, WhoIsRefusedGoesOnWithAnotherEndpoint) {
  StageOptions options = udp_options();
  options.servers = 2;
  Stage stage(options);
  auto first = std::make_unique<Server>(stage, 0);
  stage.publish(1);
  Client client(stage, 0x0A010001);
  client.send("a");
  ASSERT_TRUE(stage.run_until([&] { return client.received.size() == 1; }));
  Server second(stage, 1);
  stage.publish(2);
  stage.ring.stop_serving_datagrams(first->address);
  client.send("lost");  // The refusal comes back when it is gone already.
  stage.run(10 * kMs);
  EXPECT_EQ(stage.stats().stream.sessions, 2u);
  EXPECT_EQ(stage.stats().stream.sessions_active, 1u);
  EXPECT_EQ(stage.stats().stream.failures[static_cast<size_t>(observe::StreamFailure::kConnect)],
            1u);
  client.send("b");
  ASSERT_TRUE(stage.run_until([&] { return client.received.size() == 2; }));
  EXPECT_EQ(client.received[1], "1:b");
}

// One of the two ways to hear of a refusal is a send that fails: its datagram is not lost.
TEST(UdpRelay, ADatagramThatIsRefusedInTheKernelIsSentToAnother) {
  StageOptions options = udp_options();
  options.servers = 2;
  Stage stage(options);
  Server second(stage, 1);
  for (uint32_t i = 0; i < 60; ++i) {
    Client client(stage, 0x0A010001 + i);
    for (int n = 0; n < 6; ++n) client.send(std::to_string(n));
    stage.run(20 * kMs);
  }
  const auto& stream = stage.stats().stream;
  EXPECT_GT(stream.retries, 0u);
  EXPECT_EQ(drops(stage, DatagramDrop::kRefused), 0u);  // There is always another.
  EXPECT_EQ(drops(stage, DatagramDrop::kSendFailed), 0u);
}

TEST(UdpRelay, WithoutAnotherEndpointARefusedSessionEnds) {
  Stage stage(udp_options());
  Client client(stage, 0x0A010001);
  for (int i = 0; i < 20; ++i) {
    client.send("a");
    stage.run(5 * kMs);
    EXPECT_EQ(stage.stats().stream.sessions_active, 0u);
  }
  EXPECT_TRUE(client.received.empty());
}

}  // namespace
}  // namespace ringway::worker
