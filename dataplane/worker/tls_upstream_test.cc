// Endpoints that speak TLS: HTTP/2 by ALPN, HTTP/1.1, sessions resumed, handshakes that fail.
#include <gtest/gtest.h>

#include <map>

#include "dataplane/tls/test_keys.h"
#include "dataplane/worker/h2_backend.h"

namespace ringway::worker {
namespace {

using Server = http::testing::H2TestServer;

const std::string kGet = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

StageOptions tls_options(upstream::Protocol protocol) {
  StageOptions options;
  options.protocol = protocol;
  return options;
}

std::shared_ptr<tls::ServerContext> context_of(std::vector<std::string> alpn) {
  tls::ServerPolicy policy;
  policy.alpn = std::move(alpn);
  return tls::ServerContext::make(
      policy, {}, tls::test::make_certificate(tls::test::KeyKind::kP256, {"pod.example.com"}));
}

// HTTP/1.1 over TLS: every request is answered with 200 and "ok".
struct TlsPeers {
  TlsPeers(TestServer& server, std::shared_ptr<tls::ServerContext> context) : server_(server) {
    server.on_bytes = [this, context](io::SimPeer& peer, std::string_view bytes) {
      auto& session = sessions[&peer];
      if (session == nullptr) session = std::make_unique<tls::test::Server>(context);
      session->receive(bytes);
      const std::string plain = session->take_plain();
      received += plain;
      if (plain.find("\r\n\r\n") != std::string::npos) session->send(response_of("ok"));
      peer.write(session->take_output());
    };
  }
  ~TlsPeers() {
    server_.on_bytes = [](io::SimPeer&, std::string_view) {};  // The stage drains after us.
  }
  std::map<io::SimPeer*, std::unique_ptr<tls::test::Server>> sessions;
  std::string received;

 private:
  TestServer& server_;
};

TEST(TlsUpstream, Http2ByAlpn) {
  Stage stage(tls_options(upstream::Protocol::kHttp2Tls));
  H2Backend backend(*stage.servers[0], {}, context_of({"h2"}));
  Server::Request seen;
  backend.on_request = [&](H2Backend::Connection& at, Server::Request& request) {
    seen = request;
    at.server.respond(request.stream, {{":status", "200"}}, std::string(300'000, 'x'));
  };
  io::SimPeer& client = stage.dial(kGet);
  ASSERT_TRUE(stage.run_until([&] { return client.bytes_received() > 300'000; }));
  EXPECT_EQ(seen.field(":scheme"), "https");
  ASSERT_TRUE(stage.ask(kGet).starts_with("HTTP/1.1 200 "));
  EXPECT_EQ(stage.stats().upstream_connects, 1u);
}

TEST(TlsUpstream, Http1KeepsItsConnectionAndResumesTheNext) {
  StageOptions options = tls_options(upstream::Protocol::kHttp1Tls);
  options.pool.requests_max = 2;
  Stage stage(options);
  TlsPeers peers(*stage.servers[0], context_of({"http/1.1"}));
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(stage.ask(kGet, 20 * kMs).starts_with("HTTP/1.1 200 "));
  EXPECT_EQ(stage.stats().upstream_connects, 2u);
  ASSERT_EQ(peers.sessions.size(), 2u);
  int resumed = 0;
  for (const auto& [peer, session] : peers.sessions) resumed += session->session->resumed();
  EXPECT_EQ(resumed, 1);
}

TEST(TlsUpstream, AServerThatSpeaksNoTlsIsABadGateway) {
  for (const auto protocol : {upstream::Protocol::kHttp1Tls, upstream::Protocol::kHttp2Tls}) {
    Stage stage(tls_options(protocol));
    stage.servers[0]->on_bytes = [](io::SimPeer& peer, std::string_view) {
      peer.write("HTTP/1.1 400 Bad Request\r\n\r\n");
    };
    EXPECT_TRUE(stage.ask(kGet).starts_with("HTTP/1.1 502 "));
    EXPECT_GE(stage.stats().upstream_connect_failures, 1u);
  }
}

TEST(TlsUpstream, NoProtocolInCommonIsABadGateway) {
  Stage stage(tls_options(upstream::Protocol::kHttp2Tls));
  H2Backend backend(*stage.servers[0], {}, context_of({"http/1.1"}));
  EXPECT_TRUE(stage.ask(kGet).starts_with("HTTP/1.1 502 "));
  EXPECT_EQ(backend.requests, 0u);
}

TEST(TlsUpstream, AHandshakeThatDoesNotComeTimesOut) {
  for (const auto protocol : {upstream::Protocol::kHttp1Tls, upstream::Protocol::kHttp2Tls}) {
    StageOptions options = tls_options(protocol);
    options.route.timeouts.connect_ns = kSecond;
    options.route.retry.tries = 1;
    Stage stage(options);
    stage.servers[0]->on_bytes = [](io::SimPeer&, std::string_view) {};
    io::SimPeer& client = stage.dial(kGet);
    ASSERT_TRUE(stage.receives(client, "HTTP/1.1 504 ", 2 * kSecond));
    EXPECT_EQ(stage.servers[0]->state->errors_total.load(), 1u);
    EXPECT_TRUE(stage.run_until([&] { return stage.stats().upstream_connections_active == 0; },
                                12 * kSecond));
  }
}

}  // namespace
}  // namespace ringway::worker
