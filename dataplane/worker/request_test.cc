// What a client gets: answers of the proxy's own, bodies up and down, keep-alive and its end.
#include <gtest/gtest.h>

#include "dataplane/worker/test_stage.h"

namespace ringway::worker {
namespace {

const std::string kGet = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";

size_t count(const std::string& text, std::string_view what) {
  size_t found = 0;
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++found;
  return found;
}

bool begins(const std::string& text, std::string_view prefix) { return text.starts_with(prefix); }

TEST(Request, IsForwardedAndAnswered) {
  Stage stage;
  const std::string got = stage.ask(kGet);
  EXPECT_TRUE(begins(got, "HTTP/1.1 200 OK\r\n")) << got;
  EXPECT_TRUE(got.ends_with("\r\n\r\nok")) << got;
  ASSERT_EQ(stage.servers[0]->requests.size(), 1u);
  EXPECT_NE(stage.servers[0]->requests[0].find("10.1.0.1"), std::string::npos);
  EXPECT_EQ(stage.stats().requests, 1u);
  EXPECT_EQ(stage.stats().routes.of(0).by_status_class[2], 1u);
  EXPECT_EQ(stage.stats().routes.of(0).response_bytes, 2u);
}

TEST(Request, AnswersOfTheProxysOwn) {
  struct Case {
    const char* what;
    std::function<void(StageOptions&)> set;
    std::string request;
    const char* begins;
    const char* has;
  };
  const Case cases[] = {
      {"no route", [](StageOptions& o) { o.path = "/other"; }, kGet, "HTTP/1.1 404 ", "404 Not Found\n"},
      {"no cluster", [](StageOptions& o) { o.no_cluster = true; }, kGet, "HTTP/1.1 503 ", "503 Service Unavailable\n"},
      {"no endpoint", [](StageOptions& o) { o.no_endpoints = true; }, kGet, "HTTP/1.1 503 ", ""},
      {"redirect",
       [](StageOptions& o) {
         o.route.action = route::ActionKind::kRedirect;
         o.route.status = 301;
         o.route.location = "https://elsewhere.test/x";
       },
       kGet, "HTTP/1.1 301 ", "ocation: https://elsewhere.test/x\r\n"},
      {"fixed",
       [](StageOptions& o) {
         o.route.action = route::ActionKind::kFixedResponse;
         o.route.status = 418;
         o.route.body = "teapot";
       },
       kGet, "HTTP/1.1 418 ", "\r\n\r\nteapot"},
      {"to https", [](StageOptions& o) { o.route.https_redirect.emplace(); },
       "GET /a?b=c HTTP/1.1\r\nHost: a.test:8080\r\n\r\n", "HTTP/1.1 308 ", "ocation: https://a.test/a?b=c\r\n"},
      {"to https, port",
       [](StageOptions& o) {
         o.route.https_redirect.emplace();
         o.redirect_https_port = 8443;
       },
       "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", "HTTP/1.1 308 ", "ocation: https://[::1]:8443/\r\n"},
      {"to https, exempt",
       [](StageOptions& o) {
         o.route.https_redirect.emplace();
         o.route.https_redirect->exempt_prefixes = {"/.well-known/"};
       },
       "GET /.well-known/x HTTP/1.1\r\nHost: a.test\r\n\r\n", "HTTP/1.1 200 ", "ok"},
      {"unknown expectation", [](StageOptions&) {}, "POST / HTTP/1.1\r\nHost: a\r\nExpect: x\r\nContent-Length: 1\r\n\r\n",
       "HTTP/1.1 417 ", ""},
      {"malformed", [](StageOptions&) {}, "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "HTTP/1.1 400 ", "close"},
      {"known length too large", [](StageOptions& o) { o.route.request_body_bytes_max = 10; },
       "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n01234567890", "HTTP/1.1 413 ", "close"},
      {"chunked too large", [](StageOptions& o) { o.route.request_body_bytes_max = 10; },
       "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n012345\r\n6\r\n012345\r\n0\r\n\r\n",
       "HTTP/1.1 413 ", "close"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    StageOptions options;
    c.set(options);
    Stage stage(options);
    const std::string got = stage.ask(c.request);
    EXPECT_TRUE(begins(got, c.begins)) << got;
    EXPECT_NE(got.find(c.has), std::string::npos) << got;
    EXPECT_EQ(count(got, "HTTP/1.1 "), 1u);
    EXPECT_EQ(stage.stats().requests, 1u);
  }
}

TEST(Request, HeadHasNoBodyAndKeepsTheConnection) {
  Stage stage;
  stage.servers[0]->on_request = [](io::SimPeer& peer, const std::string& request) {
    const std::string response = response_of("ok");
    peer.write(request.starts_with("HEAD") ? response.substr(0, response.size() - 2) : response);
  };
  io::SimPeer& client = stage.dial("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n" + kGet);
  ASSERT_TRUE(stage.receives(client, "\r\n\r\nok"));
  EXPECT_EQ(count(client.received(), "HTTP/1.1 200 OK"), 2u);
  EXPECT_EQ(count(client.received(), "ok"), 1u);
}

TEST(Request, Http10IsAnsweredAndClosed) {
  Stage stage;
  stage.servers[0]->on_request = [](io::SimPeer& peer, const std::string&) {
    peer.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n");
  };
  io::SimPeer& client = stage.dial("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
  ASSERT_TRUE(stage.run_until([&] { return client.ended(); }));
  EXPECT_TRUE(client.received().ends_with("\r\n\r\nok")) << client.received();
  EXPECT_EQ(client.received().find("chunked"), std::string::npos);
}

TEST(Request, ContinueIsSaidOnceTheUpstreamIsThere) {
  Stage stage;
  stage.ring.lose_connects(stage.servers[0]->address);
  io::SimPeer& client = stage.dial("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
  stage.run(kSecond);
  EXPECT_EQ(client.received(), "");
  client.close();
  stage.run(100 * kMs);
  Stage other;
  io::SimPeer& second = other.dial("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
  ASSERT_TRUE(other.receives(second, "HTTP/1.1 100 Continue\r\n\r\n"));
  second.write("body");
  ASSERT_TRUE(other.receives(second, "\r\n\r\nok"));
  EXPECT_TRUE(other.servers[0]->requests[0].ends_with("\r\n\r\nbody"));
  EXPECT_EQ(count(second.received(), "100 Continue"), 1u);
}

TEST(Request, AnEarlyResponseClosesBothConnections) {
  Stage stage;
  stage.servers[0]->on_bytes = [](io::SimPeer& peer, std::string_view bytes) {
    if (bytes.find("\r\n\r\n") != std::string_view::npos) peer.write(response_of("no"));
  };
  io::SimPeer& client = stage.dial("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nsome");
  ASSERT_TRUE(stage.run_until([&] { return client.ended(); }));
  EXPECT_NE(client.received().find("onnection: close"), std::string::npos);
  EXPECT_TRUE(client.received().ends_with("no"));
  stage.run(100 * kMs);
  EXPECT_EQ(stage.stats().upstream_connections_active, 0u);
}

TEST(Request, FiftyPipelinedAreAnsweredInOrder) {
  StageOptions options;
  options.route.action = route::ActionKind::kFixedResponse;
  options.route.status = 200;
  options.route.body = "fixed";
  Stage stage(options);
  std::string text;
  for (int i = 0; i < 50; ++i) text += kGet;
  io::SimPeer& client = stage.dial(text);
  ASSERT_TRUE(stage.run_until([&] { return count(client.received(), "fixed") == 50; }));
  EXPECT_EQ(stage.stats().requests, 50u);
}

TEST(Request, APipeliningClientThatDoesNotReadGetsABoundedQueue) {
  StageOptions options;
  options.route.action = route::ActionKind::kFixedResponse;
  options.route.status = 200;
  options.route.body = std::string(8000, 'x');
  Stage stage(options);
  io::SimPeer& client = stage.dial();
  client.set_window(1);
  client.pause();
  std::string text;
  for (int i = 0; i < 1000; ++i) text += kGet;
  client.on_connected = [&](io::SimPeer& at) { at.write(text); };
  stage.run(kSecond);
  EXPECT_LT(stage.stats().requests, 100u);
  EXPECT_LT(stage.ring.output_pool().in_use(), 600u);
  EXPECT_LT(stage.ring.small_pool().in_use() + stage.ring.bulk_pool().in_use(), 20u);
  EXPECT_GT(client.unread_by_proxy(), 0u);
  client.set_window(1 << 20);
  client.resume();
  ASSERT_TRUE(stage.run_until([&] { return stage.stats().requests == 1000; }));
}

TEST(Request, PipelinedBeforeAHalfCloseAreAllAnswered) {
  Stage stage;
  io::SimPeer& client = stage.dial();
  client.on_connected = [&](io::SimPeer& at) {
    at.write(kGet + kGet + kGet);
    at.half_close();
  };
  ASSERT_TRUE(stage.run_until([&] { return client.ended(); }));
  EXPECT_EQ(count(client.received(), "HTTP/1.1 200 OK"), 3u) << client.received();
}

TEST(Request, AClientThatHalfClosedIsAnswered) {
  Stage stage;
  stage.servers[0]->on_request = [&](io::SimPeer& peer, const std::string&) {
    stage.ring.after(kSecond, [&peer] { peer.write(response_of("late")); });
  };
  io::SimPeer& client = stage.dial();
  client.on_connected = [&](io::SimPeer& at) {
    at.write(kGet);
    at.half_close();
  };
  ASSERT_TRUE(stage.run_until([&] { return client.ended(); }));
  EXPECT_TRUE(client.received().ends_with("late"));
}

TEST(Request, AResetOfTheClientCancelsTheUpstream) {
  Stage stage;
  stage.servers[0]->on_request = [](io::SimPeer&, const std::string&) {};
  io::SimPeer& client = stage.dial(kGet);
  ASSERT_TRUE(stage.run_until([&] { return stage.servers[0]->requests.size() == 1; }));
  client.reset();
  ASSERT_TRUE(stage.run_until([&] { return stage.stats().upstream_connections_active == 0; }, kSecond));
  EXPECT_EQ(stage.stats().routes.of(0).by_status_class[0], 1u);
}

TEST(Request, ASlowServerHoldsTheClientBack) {
  Stage stage;
  stage.options.route.request_body_bytes_max = ~uint64_t{0};
  stage.publish(1);
  stage.ring.serve(stage.servers[0]->address, [&](io::SimPeer& peer) {
    peer.set_window(1);
    peer.pause();
    stage.servers[0]->peers.push_back(&peer);
  });
  io::SimPeer& client = stage.dial("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4000000\r\n\r\n");
  client.on_connected = [](io::SimPeer& at) {
    at.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4000000\r\n\r\n" + std::string(4'000'000, 'x'));
  };
  stage.run(kSecond);
  EXPECT_GT(client.unread_by_proxy(), 3'000'000u);
  io::SimPeer& server = *stage.servers[0]->peers[0];
  server.set_window(1 << 20);
  server.resume();
  ASSERT_TRUE(stage.run_until([&] { return server.bytes_received() > 4'000'000; }));
  server.write(response_of("thanks"));
  ASSERT_TRUE(stage.receives(client, "thanks"));
}

TEST(Request, ASlowClientHoldsTheServerBack) {
  Stage stage;
  stage.servers[0]->on_request = [](io::SimPeer& peer, const std::string&) {
    peer.write(response_of(std::string(4'000'000, 'y')));
  };
  io::SimPeer& client = stage.dial(kGet);
  client.set_window(1);
  client.pause();
  stage.run(kSecond);
  EXPECT_GT(stage.servers[0]->peers[0]->unread_by_proxy(), 3'000'000u);
  client.set_window(1 << 20);
  client.resume();
  ASSERT_TRUE(stage.run_until([&] { return client.bytes_received() > 4'000'000; }));
  EXPECT_EQ(client.received().find('y'), client.received().size() - 4'000'000);
}

// Buffers are scarce, the marks low: what the codec kept of one slice is enough for the next pause, inside of the resume.
TEST(Request, AServerHeldBackAgainWhileItGoesOnStaysHeldBack) {
  StageOptions options;
  options.ring.small = {4096, 64, 64};
  options.ring.bulk = {16384, 16, 16};
  Stage stage(options);
  std::string response = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (int i = 0; i < 400; ++i) response += "7d0\r\n" + std::string(2000, 'y') + "\r\n";
  stage.servers[0]->on_request = [&](io::SimPeer& peer, const std::string&) { peer.write(response); };
  std::vector<io::SimPeer*> clients;
  for (int i = 0; i < 4; ++i) {
    clients.push_back(&stage.dial(kGet));
    clients.back()->set_window(2000);
    clients.back()->pause();
  }
  for (int i = 0; i < 50; ++i) {
    stage.run(5 * kMs);
    for (io::SimPeer* client : clients) {
      client->resume();   // Reads what has arrived.
      client->pause();
    }
  }
  EXPECT_LT(stage.ring.small_pool().in_use_high_water(), stage.ring.small_pool().limit() * 3 / 4);
}

TEST(Request, BytesThatComeOneByOneHoldNoBuffers) {
  Stage stage;
  stage.ring.lose_connects(stage.servers[0]->address);
  io::SimPeer& client = stage.dial("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3000\r\n\r\n");
  for (uint32_t i = 0; i < 3000; ++i) {
    stage.ring.after((10 + i) * kMs, [&client] { client.write("x"); });
  }
  stage.run(3100 * kMs);   // Below the connect timeout.
  EXPECT_LE(stage.ring.small_pool().in_use(), 2u);
  EXPECT_LE(stage.ring.output_pool().in_use(), 8u);
}

TEST(Request, TheLastOfAConnectionSaysSo) {
  StageOptions options;
  options.policy.keep_alive_requests_max = 2;
  Stage stage(options);
  io::SimPeer& client = stage.dial(kGet + kGet + kGet);
  ASSERT_TRUE(stage.run_until([&] { return client.ended(); }));
  EXPECT_EQ(count(client.received(), "HTTP/1.1 200 OK"), 2u);
  EXPECT_EQ(count(client.received(), "onnection: close"), 1u);
}

TEST(Request, AnIdleConnectionCloses) {
  StageOptions options;
  options.policy.idle_timeout_ns = kSecond;
  Stage stage(options);
  io::SimPeer& client = stage.dial(kGet);
  ASSERT_TRUE(stage.receives(client, "ok"));
  stage.run(900 * kMs);
  EXPECT_FALSE(client.ended());
  EXPECT_EQ(stage.stats().connections_idle, 1u);
  stage.run(200 * kMs);
  EXPECT_TRUE(client.ended());
  EXPECT_EQ(stage.stats().timeouts_idle, 1u);
}

}  // namespace
}  // namespace ringway::worker
