// Which failures of an endpoint a client never sees, and which it does.
#include <gtest/gtest.h>

#include <algorithm>

#include "dataplane/worker/test_stage.h"

namespace ringway::worker {
namespace {

const std::string kGet = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const std::string kPost = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody";

std::string put(size_t bytes) {
  return "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: " + std::to_string(bytes) + "\r\n\r\n" + std::string(bytes, 'p');
}

StageOptions two_servers() {
  StageOptions options;
  options.servers = 2;
  return options;
}

// The first request of any server is reset; later ones are answered.
void reset_first(Stage& stage) {
  auto resets = std::make_shared<int>(0);
  for (const auto& server : stage.servers) {
    server->on_request = [resets](io::SimPeer& peer, const std::string&) {
      (*resets)++ == 0 ? peer.reset() : peer.write(response_of("ok"));
    };
  }
}

TEST(Tries, ARefusedConnectGoesToAnotherEndpointWhateverTheMethod) {
  for (const std::string& request : {kGet, kPost}) {
    Stage stage(two_servers());
    stage.ring.stop_serving(stage.servers[0]->address);
    for (int i = 0; i < 2; ++i) EXPECT_TRUE(stage.ask(request).starts_with("HTTP/1.1 200 "));
    EXPECT_EQ(stage.servers[1]->requests.size(), 2u);
    const uint64_t failures = stage.stats().upstream_connect_failures;
    EXPECT_GE(failures, 1u);   // Of two requests, as the rotation falls.
    EXPECT_EQ(stage.stats().routes.of(0).retries, failures);
    EXPECT_EQ(stage.servers[0]->state->errors_total.load(), failures);
  }
}

// A Service is scaled from ten to one, and the pods die before their slice is read.
TEST(Tries, ARequestGoesOnUntilAnEndpointTakesItsConnect) {
  for (size_t alive = 0; alive < 10; ++alive) {
    StageOptions options;
    options.servers = 10;
    options.route.retry.budget_percent = 0;   // It costs no budget: nothing was sent.
    Stage stage(options);
    for (size_t i = 0; i < 10; ++i) {
      if (i != alive) stage.ring.stop_serving(stage.servers[i]->address);
    }
    for (int i = 0; i < 4; ++i) {
      EXPECT_TRUE(stage.ask(i % 2 == 0 ? kGet : kPost).starts_with("HTTP/1.1 200 ")) << alive << " " << i;
    }
    EXPECT_EQ(stage.servers[alive]->requests.size(), 4u);
    EXPECT_EQ(stage.stats().routes.of(0).retries, stage.stats().upstream_connect_failures);
    EXPECT_EQ(stage.stats().retry_budget_exhausted, 0u);
  }
}

// The connections that are kept die with their endpoints: one of them may still be chosen, none of the rest.
TEST(Tries, AfterADeadConnectionNoOtherKeptOneIsTrusted) {
  StageOptions options;
  options.servers = 10;
  Stage stage(options);
  std::vector<io::SimPeer*> clients;
  for (int i = 0; i < 10; ++i) clients.push_back(&stage.dial(kGet));
  for (io::SimPeer* client : clients) ASSERT_TRUE(stage.receives(*client, "ok"));
  for (size_t i = 0; i < 10; ++i) {
    ASSERT_EQ(stage.servers[i]->peers.size(), 1u);
    if (i == 3) continue;
    stage.ring.stop_serving(stage.servers[i]->address);
    stage.servers[i]->on_request = [](io::SimPeer& peer, const std::string&) { peer.reset(); };
  }
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(stage.ask(kGet).starts_with("HTTP/1.1 200 ")) << i;
}

// Ten pods whose network went with them: their addresses answer nothing. When their slice is read, nobody waits for them any longer,
// and those that began before do not ask them again.
TEST(Tries, AConnectToAnEndpointThatLeftIsGivenUp) {
  for (const auto protocol : {upstream::Protocol::kHttp1, upstream::Protocol::kHttp2}) {
    StageOptions options;
    options.servers = 10;
    options.protocol = protocol;
    Stage stage(options);
    for (size_t i = 1; i < 10; ++i) stage.ring.lose_connects(stage.servers[i]->address);
    std::vector<io::SimPeer*> clients;
    for (int i = 0; i < 20; ++i) clients.push_back(&stage.dial(kPost));
    stage.run(200 * kMs);
    const auto waits = [](io::SimPeer* client) { return client->bytes_received() == 0; };
    ASSERT_GE(std::ranges::count_if(clients, waits), 10);
    stage.publish(1);
    EXPECT_TRUE(stage.run_until([&] { return std::ranges::none_of(clients, waits); }, 1500 * kMs));
    if (protocol == upstream::Protocol::kHttp2) continue;   // The test's servers speak HTTP/1.1: the answer is what it is.
    for (io::SimPeer* client : clients) EXPECT_TRUE(client->received().starts_with("HTTP/1.1 200 ")) << client->received();
    EXPECT_EQ(stage.stats().retry_budget_exhausted, 0u);
  }
}

TEST(Tries, WhenEveryConnectIsRefusedTheEndIsSoon) {
  for (const uint32_t servers : {1u, 10u, 40u}) {
    StageOptions options;
    options.servers = servers;
    options.route.retry.tries = 3;
    Stage stage(options);
    for (const auto& server : stage.servers) stage.ring.stop_serving(server->address);
    EXPECT_TRUE(stage.ask(kGet).starts_with("HTTP/1.1 502 ")) << servers;
    const uint64_t connects = stage.stats().upstream_connect_failures;
    EXPECT_GE(connects, std::min<uint64_t>(servers, 16));
    EXPECT_LE(connects, std::min<uint64_t>(servers, 16) + 3);
  }
}

TEST(Tries, OneTryIsOneTryEvenWhenItIsRefused) {
  StageOptions options = two_servers();
  options.route.retry.tries = 1;
  Stage stage(options);
  for (const auto& server : stage.servers) stage.ring.stop_serving(server->address);
  EXPECT_TRUE(stage.ask(kGet).starts_with("HTTP/1.1 502 "));
  EXPECT_EQ(stage.stats().upstream_connect_failures, 1u);
}

TEST(Tries, AResetBeforeTheResponseIsRetriedWhenTheMethodAllowsIt) {
  Stage get(two_servers());
  reset_first(get);
  EXPECT_TRUE(get.ask(kGet).starts_with("HTTP/1.1 200 "));
  Stage post(two_servers());
  reset_first(post);
  EXPECT_TRUE(post.ask(kPost).starts_with("HTTP/1.1 502 "));
  EXPECT_EQ(post.stats().routes.of(0).retries, 0u);
  StageOptions options = two_servers();
  options.route.retry.non_idempotent = true;
  Stage allowed(options);
  reset_first(allowed);
  EXPECT_TRUE(allowed.ask(kPost).starts_with("HTTP/1.1 200 "));
}

TEST(Tries, NothingIsRetriedOnceTheResponseBegan) {
  Stage stage(two_servers());
  for (const auto& server : stage.servers) {
    server->on_request = [](io::SimPeer& peer, const std::string&) {
      peer.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
      peer.half_close();
    };
  }
  io::SimPeer& client = stage.dial(kGet);
  ASSERT_TRUE(stage.run_until([&] { return client.ended(); }));
  EXPECT_TRUE(client.received().ends_with("\r\n\r\nhalf"));
  EXPECT_EQ(stage.stats().routes.of(0).retries, 0u);
}

TEST(Tries, HaveALimit) {
  StageOptions options = two_servers();
  options.servers = 5;
  options.route.retry.tries = 3;
  Stage stage(options);
  for (const auto& server : stage.servers) server->on_request = [](io::SimPeer& peer, const std::string&) { peer.reset(); };
  EXPECT_TRUE(stage.ask(kGet).starts_with("HTTP/1.1 502 "));
  size_t tried = 0;
  for (const auto& server : stage.servers) {
    EXPECT_LE(server->requests.size(), 1u);   // Never the same one again.
    tried += server->requests.size();
  }
  EXPECT_EQ(tried, 3u);
}

TEST(Tries, HaveABudget) {
  StageOptions options = two_servers();
  options.route.retry.budget_percent = 0;
  Stage stage(options);
  for (const auto& server : stage.servers) server->on_request = [](io::SimPeer& peer, const std::string&) { peer.reset(); };
  for (int i = 0; i < 30; ++i) stage.dial(kGet);
  stage.run(100 * kMs);
  EXPECT_LE(stage.stats().routes.of(0).retries, 20u);   // Those that are always free, of two seconds at most.
  EXPECT_GT(stage.stats().retry_budget_exhausted, 0u);
}

TEST(Tries, ABodyIsSentAgainWhenItWasKept) {
  struct Case {
    size_t bytes;
    const char* begins;
  };
  for (const Case& c : {Case{1000, "HTTP/1.1 200 "}, Case{20'000, "HTTP/1.1 200 "}, Case{40'000, "HTTP/1.1 502 "}}) {
    StageOptions options = two_servers();
    options.route.retry.replay_bytes_max = 30'000;
    Stage stage(options);
    reset_first(stage);
    EXPECT_TRUE(stage.ask(put(c.bytes)).starts_with(c.begins)) << c.bytes;
    for (const auto& server : stage.servers) {
      if (server->requests.empty()) continue;
      EXPECT_TRUE(server->requests[0].ends_with("\r\n\r\n" + std::string(c.bytes, 'p')));
    }
  }
}

TEST(Tries, AStaleConnectionIsNobodysFault) {
  StageOptions options;
  options.route.retry.budget_percent = 0;
  Stage stage(options);
  for (int round = 0; round < 15; ++round) {   // More than the free retries of a second.
    ASSERT_TRUE(stage.ask(kGet, 10 * kMs).starts_with("HTTP/1.1 200 ")) << round;
    io::SimPeer& idle = *stage.servers[0]->peers.back();
    // It resets instead of answering the second request that comes by it.
    stage.servers[0]->on_request = [&stage, first = &idle](io::SimPeer& peer, const std::string&) {
      &peer == first ? peer.reset() : peer.write(response_of("ok"));
    };
  }
  EXPECT_EQ(stage.servers[0]->state->errors_total.load(), 0u);
  EXPECT_EQ(stage.stats().routes.of(0).retries, 14u);
  EXPECT_EQ(stage.stats().retry_budget_exhausted, 0u);
}

}  // namespace
}  // namespace ringway::worker
