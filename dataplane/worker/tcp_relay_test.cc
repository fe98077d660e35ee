// Listeners that relay bytes: TCP, TLS terminated and passed through, PROXY headers.
#include <gtest/gtest.h>

#include "dataplane/net/address.h"
#include "dataplane/tls/test_client.h"
#include "dataplane/tls/test_keys.h"
#include "dataplane/worker/test_stage.h"
#include "dataplane/worker/tls_dial.h"

namespace ringway::worker {
namespace {

using observe::StreamFailure;

StageOptions tcp_options() {
  StageOptions options;
  options.kind = config::ListenerKind::kTcp;
  return options;
}

uint64_t failures(const Stage& stage, StreamFailure failure) {
  return stage.stats().stream.failures[static_cast<size_t>(failure)];
}

// A server that says everything back, or only gathers.
struct Echo {
  explicit Echo(Stage& stage, uint32_t index = 0, bool echo = true) {
    stage.servers[index]->on_bytes = [this, echo](io::SimPeer& peer, std::string_view bytes) {
      server = &peer;
      received += bytes;
      if (echo) peer.write(bytes);
    };
  }
  io::SimPeer* server = nullptr;
  std::string received;
};

// As Stage's servers, but a FIN of the client does not end the other direction.
io::SimPeer*& keep_half_open(Stage& stage, std::string& received) {
  static io::SimPeer* server;
  server = nullptr;
  stage.ring.serve(stage.servers[0]->address, [&received](io::SimPeer& peer) {
    server = &peer;
    peer.on_data = [&received](io::SimPeer&, std::string_view bytes) { received += bytes; };
  });
  return server;
}

TEST(TcpRelay, CarriesBytesBothWays) {
  Stage stage(tcp_options());
  Echo echo(stage);
  io::SimPeer& client = stage.dial("hello");
  ASSERT_TRUE(stage.receives(client, "hello"));
  EXPECT_EQ(stage.stats().stream.relays_active, 1u);
  EXPECT_EQ(stage.stats().upstream_connections_active, 1u);
  client.write(std::string(3'000'000, 'x'));
  ASSERT_TRUE(stage.run_until([&] { return client.bytes_received() == 3'000'005; }, 60 * kSecond));
  client.half_close();  // The server closes then.
  ASSERT_TRUE(stage.run_until([&] { return client.ended(); }));
  stage.run(10 * kMs);
  EXPECT_EQ(stage.stats().stream.relays_active, 0u);
  EXPECT_EQ(stage.stats().stream.relays, 1u);
  EXPECT_EQ(stage.stats().stream.bytes_received, 3'000'005u);
  EXPECT_EQ(stage.stats().stream.bytes_sent, 3'000'005u);
}

TEST(TcpRelay, TheServerMaySpeakFirst) {
  Stage stage(tcp_options());
  stage.ring.serve(stage.servers[0]->address,
                   [](io::SimPeer& peer) { peer.write("220 ready\r\n"); });
  io::SimPeer& client = stage.dial();
  ASSERT_TRUE(stage.receives(client, "220 ready"));
}

TEST(TcpRelay, HalfCloseOfEachSide) {
  for (const bool client_first : {true, false}) {
    SCOPED_TRACE(client_first);
    std::string received;
    Stage stage(tcp_options());
    io::SimPeer*& server = keep_half_open(stage, received);
    io::SimPeer& client = stage.dial("x");
    ASSERT_TRUE(stage.run_until([&] { return received == "x"; }));
    io::SimPeer& first = client_first ? client : *server;
    io::SimPeer& second = client_first ? *server : client;
    first.write("farewell");
    first.half_close();
    ASSERT_TRUE(stage.run_until([&] { return second.ended(); }));
    EXPECT_FALSE(first.ended());
    second.write(std::string(500'000, '~'));
    stage.run(10 * kMs);
    second.half_close();
    ASSERT_TRUE(stage.run_until([&] { return first.ended(); }));
    EXPECT_EQ(std::ranges::count(client_first ? client.received() : received, '~'), 500'000);
    stage.run(100 * kMs);
    EXPECT_EQ(stage.stats().connections_active, 0u);
    EXPECT_EQ(failures(stage, StreamFailure::kIdle), 0u);
  }
}

// Half-closed before the endpoint was connected: it must still hear of it.
TEST(TcpRelay, BytesAndEndBeforeTheConnectArrive) {
  std::string received;
  Stage stage(tcp_options());
  io::SimPeer*& server = keep_half_open(stage, received);
  io::SimPeer& client = stage.dial();
  client.on_connected = [](io::SimPeer& at) {
    at.write("early");
    at.half_close();
  };
  ASSERT_TRUE(stage.run_until([&] { return server != nullptr && server->ended(); }));
  EXPECT_EQ(received, "early");
  server->write("answer");
  server->half_close();
  ASSERT_TRUE(stage.receives(client, "answer"));
}

TEST(TcpRelay, ASlowReaderStopsTheOtherSide) {
  for (const bool client_reads : {true, false}) {
    SCOPED_TRACE(client_reads);
    std::string received;
    Stage stage(tcp_options());
    io::SimPeer*& server = keep_half_open(stage, received);
    io::SimPeer& client = stage.dial("x");
    ASSERT_TRUE(stage.run_until([&] { return received == "x"; }));
    io::SimPeer& reader = client_reads ? client : *server;
    io::SimPeer& writer = client_reads ? *server : client;
    reader.set_window(4096);
    reader.pause();
    writer.write(std::string(4'000'000, 'y'));
    stage.run(kSecond);
    // What the proxy holds: the high-water mark, a send and a receive under way.
    EXPECT_GT(writer.unread_by_proxy(), 3'000'000u);
    reader.set_window(1 << 20);
    reader.resume();
    ASSERT_TRUE(
        stage.run_until([&] { return reader.bytes_received() >= 4'000'000; }, 60 * kSecond));
  }
}

TEST(TcpRelay, TriesAnotherEndpoint) {
  StageOptions options = tcp_options();
  options.servers = 3;
  Stage stage(options);
  Echo echo(stage, 2);
  stage.ring.stop_serving(stage.servers[0]->address);
  stage.ring.stop_serving(stage.servers[1]->address);
  for (int i = 0; i < 6; ++i) {
    io::SimPeer& client = stage.dial("hi");
    ASSERT_TRUE(stage.receives(client, "hi")) << i;
    client.close();
    stage.run(10 * kMs);
  }
  EXPECT_GT(stage.stats().stream.retries, 0u);
  EXPECT_EQ(failures(stage, StreamFailure::kConnect), 0u);
}

// Most pods of a Service are gone: refusals cost no tries while somebody was not asked.
TEST(TcpRelay, RefusalsCostNoTries) {
  for (const uint32_t tries : {1u, 2u}) {
    SCOPED_TRACE(tries);
    StageOptions options = tcp_options();
    options.servers = 8;
    options.stream.tries = tries;
    Stage stage(options);
    Echo echo(stage, 7);
    for (int i = 0; i < 7; ++i) stage.ring.stop_serving(stage.servers[i]->address);
    uint32_t served = 0;
    for (int i = 0; i < 2; ++i) {
      io::SimPeer& client = stage.dial("hi");
      ASSERT_TRUE(stage.run_until(
          [&] { return client.bytes_received() == 2 || client.ended() || client.was_reset(); }));
      if (client.bytes_received() == 2) ++served;
      client.close();
      stage.run(10 * kMs);
    }
    EXPECT_EQ(stage.stats().retry_budget_exhausted, 0u);
    if (tries == 1) {  // Off: one connect each.
      EXPECT_EQ(stage.stats().upstream_connects, 2u);
      EXPECT_EQ(stage.stats().stream.retries, 0u);
    } else {
      EXPECT_EQ(served, 2u);
      EXPECT_LE(stage.stats().upstream_connects, 16u);
    }
  }
}

TEST(TcpRelay, RefusedByAllItEnds) {
  StageOptions options = tcp_options();
  options.servers = 4;
  options.stream.tries = 2;
  Stage stage(options);
  for (const auto& server : stage.servers) stage.ring.stop_serving(server->address);
  io::SimPeer& client = stage.dial("hi");
  ASSERT_TRUE(stage.run_until([&] { return client.ended() || client.was_reset(); }));
  stage.run(10 * kMs);
  EXPECT_EQ(failures(stage, StreamFailure::kConnect), 1u);
  // Each once, and the second of its tries at most.
  EXPECT_GE(stage.stats().upstream_connects, 4u);
  EXPECT_LE(stage.stats().upstream_connects, 5u);
}

TEST(TcpRelay, AConnectHasItsTime) {
  StageOptions options = tcp_options();
  options.servers = 2;
  options.stream.connect_timeout_ns = kSecond;
  Stage stage(options);
  Echo echo(stage, 1);
  stage.ring.lose_connects(stage.servers[0]->address);
  io::SimPeer& one = stage.dial("one");
  io::SimPeer& two = stage.dial("two");
  ASSERT_TRUE(stage.receives(one, "one"));
  ASSERT_TRUE(stage.receives(two, "two"));
  EXPECT_EQ(stage.stats().timeouts_connect, 1u);
  EXPECT_EQ(stage.stats().stream.retries, 1u);
}

TEST(TcpRelay, EndsWhenNoEndpointTakesIt) {
  for (const int what : {0, 1, 2}) {
    SCOPED_TRACE(what);
    StageOptions options = tcp_options();
    options.no_endpoints = what == 0;
    options.no_stream_cluster = what == 1;
    options.stream.tries = 2;
    Stage stage(options);
    if (what == 2) stage.ring.stop_serving(stage.servers[0]->address);
    io::SimPeer& client = stage.dial("x");
    ASSERT_TRUE(stage.run_until([&] { return client.ended() || client.was_reset(); }));
    stage.run(10 * kMs);
    EXPECT_EQ(failures(stage, what == 2 ? StreamFailure::kConnect : StreamFailure::kNoEndpoint),
              1u);
    EXPECT_EQ(stage.stats().connections_active, 0u);
  }
}

TEST(TcpRelay, EndsWhenIdle) {
  StageOptions options = tcp_options();
  options.stream.idle_timeout_ns = 10 * kSecond;
  Stage stage(options);
  Echo echo(stage);
  io::SimPeer& client = stage.dial("a");
  ASSERT_TRUE(stage.receives(client, "a"));
  stage.run(9 * kSecond);
  client.write("b");
  stage.run(9 * kSecond);
  EXPECT_FALSE(client.ended());
  stage.run(2 * kSecond);
  EXPECT_TRUE(client.ended());
  EXPECT_EQ(failures(stage, StreamFailure::kIdle), 1u);
}

TEST(TcpRelay, AResetOfEitherSideEndsTheOther) {
  for (const bool of_client : {true, false}) {
    SCOPED_TRACE(of_client);
    std::string received;
    Stage stage(tcp_options());
    io::SimPeer*& server = keep_half_open(stage, received);
    io::SimPeer& client = stage.dial("x");
    ASSERT_TRUE(stage.run_until([&] { return received == "x"; }));
    of_client ? client.reset() : server->reset();
    io::SimPeer& other = of_client ? *server : client;
    ASSERT_TRUE(stage.run_until([&] { return other.ended() || other.was_reset(); }));
    stage.run(10 * kMs);
    EXPECT_EQ(
        failures(stage, of_client ? StreamFailure::kClientReset : StreamFailure::kServerReset), 1u);
    EXPECT_EQ(stage.stats().connections_active, 0u);
    EXPECT_EQ(stage.stats().upstream_connections_active, 0u);
  }
}

// What the endpoint sent before it broke the connection is the client's.
TEST(TcpRelay, BytesBeforeAResetOfTheServerArrive) {
  std::string received;
  Stage stage(tcp_options());
  io::SimPeer*& server = keep_half_open(stage, received);
  io::SimPeer& client = stage.dial("x");
  ASSERT_TRUE(stage.run_until([&] { return received == "x"; }));
  client.set_window(1000);
  client.pause();
  server->write(std::string(50'000, 'z'));
  stage.run(100 * kMs);
  ASSERT_EQ(server->unread_by_proxy(), 0u);
  server->reset();
  stage.run(100 * kMs);
  client.resume();
  ASSERT_TRUE(stage.run_until([&] { return client.ended(); }));
  EXPECT_EQ(client.bytes_received(), 50'000u);
}

TEST(TcpRelay, OutlastsAThousandConfigurationsAndADrainUntilItsDeadline) {
  std::string received;
  Stage stage(tcp_options());
  io::SimPeer*& server = keep_half_open(stage, received);
  io::SimPeer& client = stage.dial("first");
  ASSERT_TRUE(stage.run_until([&] { return received == "first"; }));
  for (int i = 0; i < 1000; ++i) {
    stage.publish(i % 2);  // Its endpoint goes and comes.
    stage.run(100'000);
  }
  EXPECT_GE(stage.retired.size(), 999u);  // It holds none of them.
  client.write(" second");
  ASSERT_TRUE(stage.run_until([&] { return received == "first second"; }));
  stage.drain(10 * kMs, 5 * kSecond);
  stage.run(kSecond);
  server->write("still there");
  ASSERT_TRUE(stage.receives(client, "still there"));
  ASSERT_TRUE(stage.run_until([&] { return stage.worker->finished(); }));
}

TEST(TcpRelay, LimitsByListenerAndByAddress) {
  StageOptions options = tcp_options();
  options.stream.connections_per_address_max = 2;
  Stage stage(options);
  Echo echo(stage);
  io::SimPeer& one = stage.dial("1");
  io::SimPeer& two = stage.dial("2");
  ASSERT_TRUE(stage.receives(one, "1"));
  ASSERT_TRUE(stage.receives(two, "2"));
  io::SimPeer& three = stage.dial("3");
  ASSERT_TRUE(stage.run_until([&] { return three.ended() || three.was_reset(); }));
  EXPECT_EQ(stage.stats().connections_refused, 1u);
  io::SimPeer& other = stage.dial("4", 0x0A010009);
  ASSERT_TRUE(stage.receives(other, "4"));
  one.close();
  stage.run(10 * kMs);
  io::SimPeer& again = stage.dial("5");
  ASSERT_TRUE(stage.receives(again, "5"));
}

// ---- PROXY protocol ----

std::shared_ptr<config::PreludePolicy> proxy_prelude(const char* trusted) {
  auto policy = std::make_shared<config::PreludePolicy>();
  policy->proxy_protocol = true;
  policy->timeout_ns = kSecond;
  policy->trusted.push_back(*net::Cidr::parse(trusted));
  return policy;
}

TEST(ProxyProtocol, InFrontOfHttp) {
  for (const bool trusted : {true, false}) {
    SCOPED_TRACE(trusted);
    StageOptions options;
    options.prelude = proxy_prelude(trusted ? "10.0.0.0/8" : "192.168.0.0/16");
    Stage stage(options);
    io::SimPeer& client = stage.dial();
    client.on_connected = [](io::SimPeer& at) {
      at.write("PROXY TCP4 203.0.113.7 10.9.9.9 1234 80\r\nGET / HTTP/1.1\r\n");
    };
    stage.run(10 * kMs);
    client.write("Host: a\r\n\r\n");
    ASSERT_TRUE(stage.receives(client, "ok"));
    const std::string& request = stage.servers[0]->requests[0];
    EXPECT_EQ(request.find("203.0.113.7") != std::string::npos, trusted) << request;
    EXPECT_EQ(stage.stats().stream.proxy_headers, 1u);
    EXPECT_EQ(stage.stats().stream.proxy_headers_untrusted, trusted ? 0u : 1u);
  }
}

TEST(ProxyProtocol, ByteByByteInFrontOfTcpAndOutAgain) {
  StageOptions options = tcp_options();
  options.prelude = proxy_prelude("10.0.0.0/8");
  options.stream.send_proxy = net::ProxyVersion::kV1;
  Stage stage(options);
  Echo echo(stage, 0, false);
  const std::string header = "PROXY TCP4 203.0.113.7 10.9.9.9 1234 443\r\n";
  io::SimPeer& client = stage.dial();
  stage.run(5 * kMs);
  for (const char c : header + "payload") {
    client.write({&c, 1});
    stage.run(2 * kMs);
  }
  ASSERT_TRUE(stage.run_until([&] { return echo.received == header + "payload"; }))
      << echo.received;
}

TEST(ProxyProtocol, OutWithTheClientsOwnAddress) {
  StageOptions options = tcp_options();
  options.stream.send_proxy = net::ProxyVersion::kV2;
  Stage stage(options);
  Echo echo(stage, 0, false);
  stage.dial("payload");
  ASSERT_TRUE(stage.run_until([&] { return echo.received.ends_with("payload"); }));
  net::ProxyHeader header;
  ASSERT_EQ(net::parse_proxy_header(std::as_bytes(std::span(echo.received)), header),
            net::ProxyParse::kAddresses);
  EXPECT_EQ(net::to_string(header.source), "10.1.0.1:40000");
  EXPECT_EQ(echo.received.substr(header.bytes), "payload");
}

TEST(ProxyProtocol, WithoutAHeaderNothingIsServed) {
  StageOptions options;
  options.prelude = proxy_prelude("10.0.0.0/8");
  Stage stage(options);
  io::SimPeer& plain = stage.dial("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  io::SimPeer& late = stage.dial("PROXY TCP4 203.0.11");
  io::SimPeer& cut = stage.dial();
  cut.on_connected = [](io::SimPeer& at) {
    at.write("PROXY ");
    at.half_close();
  };
  io::SimPeer& look = stage.dial();  // A load balancer's look at the port.
  look.on_connected = [](io::SimPeer& at) { at.close(); };
  ASSERT_TRUE(stage.run_until([&] { return plain.was_reset() || plain.ended(); }));
  stage.run(2 * kSecond);
  EXPECT_TRUE(late.ended() || late.was_reset());
  EXPECT_TRUE(cut.ended() || cut.was_reset());
  EXPECT_EQ(failures(stage, StreamFailure::kProxyHeader), 3u);
  EXPECT_TRUE(stage.servers[0]->requests.empty());
  EXPECT_EQ(stage.stats().connections_active, 0u);
}

// ---- TLS ----

std::shared_ptr<tls::ServerContext> context_of(const char* name) {
  tls::ServerPolicy policy;
  policy.alpn.clear();
  return tls::ServerContext::make(policy, {},
                                  tls::test::make_certificate(tls::test::KeyKind::kP256, {name}));
}

TEST(TlsRelay, TerminatesAndRelaysWhatIsInside) {
  StageOptions options = tcp_options();
  options.kind = config::ListenerKind::kTls;
  options.tls = context_of("a.example.com");
  Stage stage(options);
  Echo echo(stage);
  TlsClient client(stage, {.server_name = "a.example.com"});
  client.to_send = "inside";
  ASSERT_TRUE(stage.run_until([&] { return client.received == "inside"; }));
  EXPECT_EQ(echo.received, "inside");
  client.to_send = std::string(1'000'000, 'b');
  client.go_on();
  ASSERT_TRUE(stage.run_until([&] { return client.received.size() == 1'000'006; }, 60 * kSecond));
  client.peer.close();
  stage.run(100 * kMs);
}

TEST(TlsRelay, AHandshakeHasItsTimeAndItsFailures) {
  StageOptions options = tcp_options();
  options.kind = config::ListenerKind::kTls;
  options.tls = context_of("a.example.com");
  options.stream.tls_handshake_timeout_ns = kSecond;
  Stage stage(options);
  io::SimPeer& silent = stage.dial();
  io::SimPeer& plain = stage.dial("GET / HTTP/1.1\r\n\r\n");
  stage.run(2 * kSecond);
  EXPECT_TRUE(silent.ended() || silent.was_reset());
  EXPECT_TRUE(plain.ended() || plain.was_reset());
  EXPECT_EQ(failures(stage, StreamFailure::kTls), 2u);
  EXPECT_EQ(stage.stats().upstream_connects, 0u);
}

std::shared_ptr<config::PassthroughHosts> passing(const char* host) {
  auto hosts = std::make_shared<config::PassthroughHosts>();
  const std::string name = host;
  if (name.starts_with("*.")) {
    hosts->wildcard[name.substr(2)] = {0, 1};
  } else {
    hosts->exact[name] = {0, 1};
  }
  return hosts;
}

// A TLS server behind the proxy: BoringSSL on a simulated server.
struct TlsServer {
  TlsServer(Stage& stage, const char* name) : context(context_of(name)) {
    stage.ring.serve(stage.servers[0]->address, [this](io::SimPeer& peer) {
      auto session = std::make_shared<tls::test::Server>(context);
      peer.on_data = [this, session](io::SimPeer& at, std::string_view bytes) {
        session->receive(bytes);
        const std::string plain = session->take_plain();
        received += plain;
        if (!plain.empty()) session->send(plain);
        const std::string out = session->take_output();
        if (!out.empty()) at.write(out);
      };
    });
  }
  std::shared_ptr<tls::ServerContext> context;
  std::string received;
};

TEST(TlsPassthrough, ByNameBesideHostsThatAreTerminated) {
  for (const size_t piece : {0, 50}) {
    SCOPED_TRACE(piece);
    StageOptions options;
    options.kind = config::ListenerKind::kHttps;
    options.tls = context_of("front.example.com");
    options.prelude = std::make_shared<config::PreludePolicy>();
    options.passthrough = passing("*.through.example.com");
    Stage stage(options);
    TlsServer server(stage, "x.through.example.com");
    TlsClient client(stage, {.server_name = "X.through.example.com"}, piece);
    client.to_send = "unopened";
    ASSERT_TRUE(stage.run_until([&] { return client.received == "unopened"; }, 60 * kSecond));
    EXPECT_EQ(server.received, "unopened");
    EXPECT_EQ(stage.stats().tls_handshakes, 0u);
    EXPECT_EQ(stage.stats().stream.relays, 1u);
    // Another name is terminated here.
    TlsClient other(stage, {.server_name = "front.example.com"}, piece);
    EXPECT_TRUE(stage.run_until([&] { return stage.stats().tls_handshakes == 1; }, 60 * kSecond));
    client.peer.close();
    other.peer.close();
    stage.run(kSecond);
  }
}

TEST(TlsPassthrough, OnlyPassing) {
  StageOptions options = tcp_options();
  options.kind = config::ListenerKind::kTlsPassthrough;
  options.prelude = std::make_shared<config::PreludePolicy>();
  options.passthrough = passing("a.example.com");
  options.no_stream_cluster = true;
  Stage stage(options);
  TlsServer server(stage, "a.example.com");
  TlsClient client(stage, {.server_name = "a.example.com"});
  client.to_send = "x";
  ASSERT_TRUE(stage.run_until([&] { return client.received == "x"; }));
  TlsClient stranger(stage, {.server_name = "b.example.com"});
  ASSERT_TRUE(stage.run_until([&] { return stranger.peer.ended() || stranger.peer.was_reset(); }));
  io::SimPeer& plain = stage.dial("SSH-2.0-x\r\n");
  ASSERT_TRUE(stage.run_until([&] { return plain.ended() || plain.was_reset(); }));
  io::SimPeer& slow = stage.dial("\x16\x03\x01");
  ASSERT_TRUE(stage.run_until([&] { return slow.ended() || slow.was_reset(); }));
  stage.run(10 * kMs);
  EXPECT_EQ(failures(stage, StreamFailure::kNoHost), 1u);
  EXPECT_EQ(failures(stage, StreamFailure::kHello), 2u);
  client.peer.close();
  stage.run(100 * kMs);
}

}  // namespace
}  // namespace ringway::worker
