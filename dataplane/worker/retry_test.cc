// Which failures of an endpoint a client never sees, and which it does.
#include <gtest/gtest.h>

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
    EXPECT_EQ(stage.stats().routes[0].retries, failures);
    EXPECT_EQ(stage.servers[0]->state->errors_total.load(), failures);
  }
}

TEST(Tries, AResetBeforeTheResponseIsRetriedWhenTheMethodAllowsIt) {
  Stage get(two_servers());
  reset_first(get);
  EXPECT_TRUE(get.ask(kGet).starts_with("HTTP/1.1 200 "));
  Stage post(two_servers());
  reset_first(post);
  EXPECT_TRUE(post.ask(kPost).starts_with("HTTP/1.1 502 "));
  EXPECT_EQ(post.stats().routes[0].retries, 0u);
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
  EXPECT_EQ(stage.stats().routes[0].retries, 0u);
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
  EXPECT_LE(stage.stats().routes[0].retries, 20u);   // Those that are always free, of two seconds at most.
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
  EXPECT_EQ(stage.stats().routes[0].retries, 14u);
  EXPECT_EQ(stage.stats().retry_budget_exhausted, 0u);
}

}  // namespace
}  // namespace ringway::worker
