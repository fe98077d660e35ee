// A listener that speaks TLS, in front of the same scenarios.
#include <gtest/gtest.h>

#include "dataplane/tls/test_keys.h"
#include "dataplane/worker/tls_dial.h"

namespace ringway::worker {
namespace {

StageOptions tls_options() {
  StageOptions options;
  options.kind = config::ListenerKind::kHttps;
  options.tls = tls::ServerContext::make(
      {}, {}, tls::test::make_certificate(tls::test::KeyKind::kP256, {"a.example.com"}));
  return options;
}

TEST(TlsListener, ServesRequests) {
  StageOptions options = tls_options();
  options.policy.hsts = "max-age=1";
  Stage stage(options);
  stage.servers[0]->on_request = [](io::SimPeer& peer, const std::string& request) {
    peer.write(response_of(std::string(request.starts_with("GET /big") ? 1'000'000 : 2, 'x') + "."));
  };
  TlsClient client(stage);
  client.to_send = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
  ASSERT_TRUE(stage.run_until([&] { return client.received.ends_with("xx."); }));
  EXPECT_NE(client.received.find("trict-Transport-Security: max-age=1\r\n"), std::string::npos);
  EXPECT_NE(stage.servers[0]->requests[0].find("https"), std::string::npos);
  client.received.clear();
  client.to_send = "GET /big HTTP/1.1\r\nHost: a\r\n\r\n";
  client.go_on();
  ASSERT_TRUE(stage.run_until([&] { return client.received.size() > 1'000'000; }));
  EXPECT_EQ(stage.stats().tls_handshakes, 1u);
  client.peer.close();
  stage.run(100 * kMs);
}

TEST(SecurityRow, R36_AHandshakeHasItsTime) {
  StageOptions options = tls_options();
  options.policy.tls_handshake_timeout_ns = kSecond;
  Stage stage(options);
  io::SimPeer& silent = stage.dial();
  stage.run(900 * kMs);
  EXPECT_EQ(stage.stats().connections_active, 1u);
  stage.run(300 * kMs);
  EXPECT_EQ(stage.stats().connections_active, 0u);
  EXPECT_EQ(stage.stats().timeouts_handshake, 1u);
  EXPECT_TRUE(silent.ended() || silent.was_reset());
}

TEST(TlsListener, WhatIsNotTlsFails) {
  Stage stage(tls_options());
  io::SimPeer& client = stage.dial("SSH-2.0-OpenSSH_9.2\r\n");
  ASSERT_TRUE(stage.run_until([&] { return client.ended() || client.was_reset(); }, kSecond));
  EXPECT_EQ(stage.stats().tls_failures, 1u);
}

// As nginx: people who ask by the wrong scheme are to read what is wrong.
TEST(TlsListener, PlainHttpIsToldSo) {
  Stage stage(tls_options());
  const std::string answer =
      stage.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello" +
                std::string(100'000, 'x'), kSecond);
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 400 ")) << answer;
  EXPECT_NE(answer.find("The plain HTTP request was sent to HTTPS port\n"), std::string::npos);
  EXPECT_NE(answer.find("onnection: close\r\n"), std::string::npos);
  EXPECT_EQ(stage.stats().tls_failures, 1u);
  EXPECT_EQ(stage.stats().request_errors[static_cast<size_t>(http::Error::kPlainOnTls)], 1u);
  EXPECT_TRUE(stage.servers[0]->requests.empty());
  io::SimPeer& in_pieces = stage.dial("G");
  stage.run(10 * kMs);
  for (const char c : std::string("ET / HTTP/1.1\r\n")) {
    in_pieces.write(std::string(1, c));
    stage.run(10 * kMs);
  }
  EXPECT_TRUE(stage.receives(in_pieces, "400 ", kSecond));
  in_pieces.close();
}

// What slow readers may hold is bounded for the worker as a whole: the output pool is not allowed to run out.
TEST(TlsListener, ManyThatDoNotReadDoNotExhaustTheOutputPool) {
  StageOptions options = tls_options();
  options.ring.output.buffers_max = 1024;
  Stage stage(options);
  stage.servers[0]->on_request = [](io::SimPeer& peer, const std::string&) {
    peer.write(response_of(std::string(1'000'000, 'x')));
  };
  std::vector<std::unique_ptr<TlsClient>> clients;
  for (int i = 0; i < 40; ++i) {
    clients.push_back(std::make_unique<TlsClient>(stage));
    clients.back()->to_send = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
  }
  ASSERT_TRUE(stage.run_until([&] {
    return std::ranges::all_of(clients, [](const auto& client) { return client->open; });
  }));
  for (const auto& client : clients) {
    client->peer.set_window(1);
    client->peer.pause();
  }
  stage.run(10 * kSecond);
  EXPECT_LT(stage.ring.output_pool().in_use(), 1024u);
  for (const auto& client : clients) client->peer.reset();
  stage.run(kSecond);
  EXPECT_LT(stage.ring.output_pool().in_use(), 64u);
}

}  // namespace
}  // namespace ringway::worker
