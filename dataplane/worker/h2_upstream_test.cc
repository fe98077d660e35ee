// Endpoints that speak HTTP/2: streams shared by requests, refused, reset, paused, and let go.
#include <gtest/gtest.h>

#include "dataplane/worker/h2_backend.h"

namespace ringway::worker {
namespace {

using Server = http::testing::H2TestServer;

std::string get(std::string_view path) {
  return "GET " + std::string(path) + " HTTP/1.1\r\nHost: a\r\n\r\n";
}
const std::string kPost = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody";

StageOptions h2_options(uint32_t servers = 1) {
  StageOptions options;
  options.servers = servers;
  options.protocol = upstream::Protocol::kHttp2;
  return options;
}

TEST(H2Upstream, ARequestAndItsResponse) {
  Stage stage(h2_options());
  H2Backend backend(*stage.servers[0]);
  Server::Request seen;
  backend.on_request = [&](H2Backend::Connection& at, Server::Request& request) {
    seen = request;
    at.server.respond(request.stream,
                      {{":status", "201"}, {"content-type", "text/x"}, {"content-length", "5"}},
                      "hello");
  };
  const std::string answer = stage.ask(
      "GET /p?q=1 HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, x-secret\r\nX-Secret: 1\r\nTE: "
      "trailers, gzip\r\nX-CamelCase: Kept\r\n\r\n");
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 201 ")) << answer;
  EXPECT_NE(answer.find("Content-Length: 5\r\n"), std::string::npos) << answer;
  EXPECT_NE(answer.find("\r\n\r\nhello"), std::string::npos) << answer;
  EXPECT_EQ(seen.field(":method"), "GET");
  EXPECT_EQ(seen.field(":path"), "/p?q=1");
  EXPECT_EQ(seen.field(":authority"), "a");
  EXPECT_EQ(seen.field(":scheme"), "http");
  EXPECT_EQ(seen.field("te"), "trailers");
  EXPECT_EQ(seen.field("x-camelcase"), "Kept");
  EXPECT_EQ(seen.field("x-forwarded-for"), "10.1.0.1");
  for (const char* gone : {"connection", "host", "x-secret", "keep-alive"}) {
    EXPECT_EQ(seen.field(gone), "") << gone;
  }
  EXPECT_FALSE(backend.connections[0]->server.failed);
  EXPECT_EQ(backend.connections[0]->server.frames_refused, 0u);
  EXPECT_FALSE(backend.connections[0]->server.requests[1].reset);  // It ended by itself.
}

TEST(H2Upstream, BodiesAndTrailersPassBothWays) {
  Stage stage(h2_options());
  H2Backend backend(*stage.servers[0]);
  Server::Request seen;
  backend.on_request = [&](H2Backend::Connection& at, Server::Request& request) {
    seen = request;
    at.server.respond(request.stream, {{":status", "200"}}, "down", {{"x-sum", "7"}});
  };
  io::SimPeer& client = stage.dial(
      "POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTransfer-Encoding: "
      "chunked\r\n\r\n2\r\nup\r\n");
  stage.run(5 * kMs);
  client.write("0\r\nX-Up: 9\r\n\r\n");
  ASSERT_TRUE(stage.receives(client, "X-Sum: 7\r\n") || stage.receives(client, "x-sum: 7\r\n"))
      << client.received();
  EXPECT_NE(client.received().find("4\r\ndown\r\n0\r\n"), std::string::npos) << client.received();
  EXPECT_EQ(seen.body, "up");
  ASSERT_EQ(seen.trailers.size(), 1u);
  EXPECT_EQ(seen.trailers[0].second, "9");
}

TEST(H2Upstream, RequestsShareAConnection) {
  Stage stage(h2_options());
  H2Backend backend(*stage.servers[0]);
  std::vector<int32_t> held;
  backend.on_request = [&](H2Backend::Connection&, Server::Request& request) {
    held.push_back(request.stream);
  };
  std::vector<io::SimPeer*> clients;
  for (int i = 0; i < 20; ++i) clients.push_back(&stage.dial(get("/")));
  ASSERT_TRUE(stage.run_until([&] { return held.size() == 20; }));
  EXPECT_EQ(stage.stats().upstream_connects, 1u);
  for (size_t i = held.size(); i-- > 0;) {  // The last first.
    backend.connections[0]->server.respond(held[i], {{":status", "200"}}, "ok");
  }
  backend.connections[0]->flush();
  for (io::SimPeer* client : clients) ASSERT_TRUE(stage.receives(*client, "ok"));
  stage.run(5 * kMs);
  EXPECT_EQ(stage.stats().upstream_connections_idle, 1u);
}

TEST(H2Upstream, MoreThanThePeerAllowsOpensAnotherConnection) {
  Stage stage(h2_options());
  H2Backend backend(*stage.servers[0], {.streams_max = 2});
  ASSERT_TRUE(stage.ask(get("/")).starts_with("HTTP/1.1 200 "));
  uint32_t held = 0;
  backend.on_request = [&](H2Backend::Connection&, Server::Request&) { ++held; };
  for (int i = 0; i < 6; ++i) {
    stage.dial(get("/"));
    stage.run(5 * kMs);
  }
  ASSERT_TRUE(stage.run_until([&] { return held == 6; }));
  EXPECT_EQ(stage.stats().upstream_connects, 3u);
  for (const auto& connection : backend.connections) {
    EXPECT_EQ(connection->server.frames_refused, 0u);
  }
}

TEST(H2Upstream, ABurstBeforeTheSettingsIsServedAllTheSame) {
  Stage stage(h2_options());
  H2Backend backend(*stage.servers[0], {.streams_max = 3});
  std::vector<io::SimPeer*> clients;
  for (int i = 0; i < 12; ++i) clients.push_back(&stage.dial(kPost));
  for (io::SimPeer* client : clients) ASSERT_TRUE(stage.receives(*client, "ok"));
  EXPECT_EQ(stage.servers[0]->state->errors_total.load(), 0u);
}

TEST(H2Upstream, WaitsForRoomWhenConnectionsAreFull) {
  StageOptions options = h2_options();
  options.pool.connections_max = 1;
  Stage stage(options);
  H2Backend backend(*stage.servers[0], {.streams_max = 1});
  ASSERT_TRUE(stage.ask(get("/")).starts_with("HTTP/1.1 200 "));
  std::vector<int32_t> held;
  backend.on_request = [&](H2Backend::Connection&, Server::Request& request) {
    held.push_back(request.stream);
  };
  io::SimPeer& first = stage.dial(get("/"));
  io::SimPeer& second = stage.dial(get("/"));
  stage.run(20 * kMs);
  ASSERT_EQ(held.size(), 1u);
  backend.connections[0]->server.respond(held[0], {{":status", "200"}}, "ok");
  backend.connections[0]->flush();
  ASSERT_TRUE(stage.run_until([&] { return held.size() == 2; }));
  backend.connections[0]->server.respond(held[1], {{":status", "200"}}, "ok");
  backend.connections[0]->flush();
  ASSERT_TRUE(stage.receives(first, "ok"));
  ASSERT_TRUE(stage.receives(second, "ok"));
  EXPECT_EQ(stage.stats().upstream_connects, 1u);
}

TEST(H2Upstream, WhatARefusalNamesIsTriedAgainWhateverTheMethod) {
  Stage stage(h2_options(2));
  uint32_t refused = 0;
  std::vector<std::unique_ptr<H2Backend>> backends;
  for (const auto& server : stage.servers) {
    backends.push_back(std::make_unique<H2Backend>(*server));
    backends.back()->on_request = [&](H2Backend::Connection& at, Server::Request& request) {
      if (refused++ == 0) return at.server.reset(request.stream, NGHTTP2_REFUSED_STREAM);
      at.server.respond(request.stream, {{":status", "200"}}, request.body);
    };
  }
  const std::string answer = stage.ask(kPost);
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 ")) << answer;
  EXPECT_TRUE(answer.ends_with("body") || answer.find("body") != std::string::npos) << answer;
  EXPECT_EQ(stage.stats().routes.of(0).retries, 1u);
  for (const auto& server : stage.servers) EXPECT_EQ(server->state->errors_total.load(), 0u);
}

TEST(H2Upstream, AnyOtherResetIsRetriedAsAResetOfTheConnection) {
  for (const bool idempotent : {true, false}) {
    Stage stage(h2_options(2));
    uint32_t resets = 0;
    std::vector<std::unique_ptr<H2Backend>> backends;
    for (const auto& server : stage.servers) {
      backends.push_back(std::make_unique<H2Backend>(*server));
      backends.back()->on_request = [&](H2Backend::Connection& at, Server::Request& request) {
        if (resets++ == 0) return at.server.reset(request.stream, NGHTTP2_INTERNAL_ERROR);
        at.server.respond(request.stream, {{":status", "200"}}, "ok");
      };
    }
    const std::string answer = stage.ask(idempotent ? get("/") : kPost);
    EXPECT_TRUE(answer.starts_with(idempotent ? "HTTP/1.1 200 " : "HTTP/1.1 502 ")) << answer;
  }
}

TEST(H2Upstream, AGoawayEndsNothingThatItCovers) {
  Stage stage(h2_options());
  H2Backend backend(*stage.servers[0]);
  std::vector<std::pair<H2Backend::Connection*, int32_t>> held;
  backend.on_request = [&](H2Backend::Connection& at, Server::Request& request) {
    held.emplace_back(&at, request.stream);
  };
  std::vector<io::SimPeer*> clients;
  for (int i = 0; i < 3; ++i) clients.push_back(&stage.dial(kPost));
  ASSERT_TRUE(stage.run_until([&] { return held.size() == 3; }));
  H2Backend::Connection& old = *held[0].first;
  old.server.goaway(held[0].second);  // The first is served, the others were not looked at.
  old.flush();
  ASSERT_TRUE(stage.run_until([&] { return held.size() == 5; }));
  EXPECT_NE(held[3].first, &old);
  EXPECT_NE(held[4].first, &old);
  old.server.head(held[0].second, {{":status", "200"}});
  old.server.data(held[0].second, "old", true);
  old.flush();
  for (size_t i : {3u, 4u}) {
    held[i].first->server.respond(held[i].second, {{":status", "200"}}, "new");
    held[i].first->flush();
  }
  int by_old = 0;
  for (io::SimPeer* client : clients) {
    ASSERT_TRUE(stage.run_until([&] { return client->received().find("HTTP/1.1 200 ") == 0; }));
    by_old += client->received().find("old") != std::string::npos;
  }
  EXPECT_EQ(by_old, 1);
  EXPECT_TRUE(stage.run_until([&] { return old.peer->closed_by_proxy(); }));
  EXPECT_EQ(stage.servers[0]->state->errors_total.load(), 0u);
}

TEST(H2Upstream, AGoawayOnAnIdleConnectionClosesIt) {
  Stage stage(h2_options());
  H2Backend backend(*stage.servers[0]);
  ASSERT_TRUE(stage.ask(get("/"), 5 * kMs).starts_with("HTTP/1.1 200 "));
  backend.connections[0]->server.goaway(1);
  backend.connections[0]->flush();
  ASSERT_TRUE(stage.run_until([&] { return stage.stats().upstream_connections_active == 0; }));
  EXPECT_TRUE(stage.ask(get("/"), 5 * kMs).starts_with("HTTP/1.1 200 "));
  EXPECT_EQ(stage.stats().upstream_connects, 2u);
}

TEST(H2Upstream, AClosedConnectionCostsItsRequestsATry) {
  Stage stage(h2_options());
  H2Backend backend(*stage.servers[0]);
  uint32_t seen = 0;
  backend.on_request = [&](H2Backend::Connection& at, Server::Request& request) {
    if (++seen < 3) return;
    if (seen == 3) return at.peer->reset();
    at.server.respond(request.stream, {{":status", "200"}}, "ok");
  };
  std::vector<io::SimPeer*> clients;
  for (int i = 0; i < 3; ++i) clients.push_back(&stage.dial(get("/")));
  for (io::SimPeer* client : clients) ASSERT_TRUE(stage.receives(*client, "ok"));
  EXPECT_EQ(stage.stats().routes.of(0).retries, 3u);
}

TEST(H2Upstream, ARefusedConnectFailsWhoWaits) {
  StageOptions options = h2_options(2);
  options.route.retry.budget_percent = 100;
  Stage stage(options);
  H2Backend backend(*stage.servers[1]);
  stage.ring.stop_serving(stage.servers[0]->address);
  std::vector<io::SimPeer*> clients;
  for (int i = 0; i < 4; ++i) clients.push_back(&stage.dial(kPost));
  for (io::SimPeer* client : clients) ASSERT_TRUE(stage.receives(*client, "ok"));
  EXPECT_GE(stage.stats().upstream_connect_failures, 1u);
}

TEST(H2Upstream, AClientThatLeavesResetsItsStreamOnly) {
  Stage stage(h2_options());
  H2Backend backend(*stage.servers[0]);
  std::vector<int32_t> held;
  backend.on_request = [&](H2Backend::Connection&, Server::Request& request) {
    held.push_back(request.stream);
  };
  io::SimPeer& leaves = stage.dial(get("/0"));
  io::SimPeer& stays = stage.dial(get("/1"));
  ASSERT_TRUE(stage.run_until([&] { return held.size() == 2; }));
  leaves.reset();
  Server& server = backend.connections[0]->server;
  ASSERT_TRUE(stage.run_until(
      [&] { return server.requests[held[0]].reset || server.requests[held[1]].reset; }));
  const int32_t left = server.requests[held[0]].reset ? held[1] : held[0];
  server.respond(left, {{":status", "200"}}, "ok");
  backend.connections[0]->flush();
  ASSERT_TRUE(stage.receives(stays, "ok"));
  EXPECT_EQ(stage.stats().upstream_connects, 1u);
}

TEST(H2Upstream, AClientThatDoesNotReadStopsItsStreamOnly) {
  StageOptions options = h2_options();
  options.policy.write_stall_timeout_ns = 3600 * kSecond;
  Stage stage(options);
  H2Backend backend(*stage.servers[0]);
  const std::string large(8 * 1024 * 1024, 'x');
  backend.on_request = [&](H2Backend::Connection& at, Server::Request& request) {
    at.server.respond(request.stream, {{":status", "200"}},
                      request.field(":path") == "/large" ? large : "ok");
  };
  io::SimPeer& slow = stage.dial();
  slow.pause();
  slow.write(get("/large"));
  stage.run(100 * kMs);
  for (int i = 0; i < 10; ++i) {
    EXPECT_TRUE(stage.ask(get("/small"), 10 * kMs).starts_with("HTTP/1.1 200 "));
  }
  EXPECT_EQ(stage.stats().upstream_connects, 1u);
  // What is held: the client's queue and the stream's window.
  EXPECT_LT(stage.ring.output_pool().in_use() * 1024, 1024u * 1024u);
  slow.resume();
  ASSERT_TRUE(stage.run_until([&] { return slow.bytes_received() > large.size(); }, 60 * kSecond));
}

// What clients that do not read make the proxy keep of a stream: a wide window for one, which had
// begun to flow, a small one for each of many.
TEST(H2Upstream, ManyStreamsHaveSmallWindows) {
  struct Case {
    size_t streams;
    size_t kept_min, kept_max;  // Bytes of a stream.
  };
  for (const Case& c : {Case{1, 96 * 1024, 144 * 1024}, Case{20, 32 * 1024, 80 * 1024}}) {
    SCOPED_TRACE(c.streams);
    StageOptions options = h2_options();
    options.policy.write_stall_timeout_ns = 3600 * kSecond;
    Stage stage(options);
    H2Backend backend(*stage.servers[0]);
    const std::string large(2 * 1024 * 1024, 'x');
    std::vector<std::pair<H2Backend::Connection*, int32_t>> asked;
    backend.on_request = [&](H2Backend::Connection& at, Server::Request& request) {
      asked.emplace_back(&at, request.stream);
    };
    std::vector<io::SimPeer*> clients;
    for (size_t i = 0; i < c.streams; ++i) {
      clients.push_back(&stage.dial());
      clients.back()->pause();
      clients.back()->write(get("/large"));
    }
    ASSERT_TRUE(stage.run_until([&] { return asked.size() == c.streams; }));
    EXPECT_EQ(stage.stats().upstream_connects, 1u);
    for (const auto& [at, stream] : asked) at->server.respond(stream, {{":status", "200"}}, large);
    asked.front().first->flush();
    stage.run(kSecond);
    const io::BufferPool& pool = stage.ring.output_pool();
    const size_t kept = size_t{pool.in_use()} * pool.buffer_bytes() / c.streams;
    EXPECT_GE(kept, c.kept_min);
    EXPECT_LE(kept, c.kept_max);
    for (io::SimPeer* client : clients) client->resume();
    for (io::SimPeer* client : clients) {
      ASSERT_TRUE(
          stage.run_until([&] { return client->bytes_received() > large.size(); }, 60 * kSecond));
    }
  }
}

TEST(H2Upstream, AnUploadWaitsForTheServersWindow) {
  StageOptions options = h2_options();
  options.route.request_body_bytes_max = 1 << 30;
  Stage stage(options);
  H2Backend backend(*stage.servers[0], {.window = 1000, .auto_window = false});
  uint32_t ended = 0;
  backend.on_request = [&](H2Backend::Connection& at, Server::Request& request) {
    ++ended;
    at.server.respond(request.stream, {{":status", "200"}}, "ok");
  };
  ASSERT_TRUE(stage.ask(get("/"), 10 * kMs).starts_with("HTTP/1.1 200 "));  // The window is known.
  constexpr size_t kBytes = 4 * 1024 * 1024;
  io::SimPeer& client = stage.dial();
  client.write("PUT /large HTTP/1.1\r\nHost: a\r\nContent-Length: " + std::to_string(kBytes) +
               "\r\n\r\n" + std::string(kBytes, 'u'));
  stage.run(200 * kMs);
  ASSERT_EQ(backend.connections.size(), 1u);
  Server& server = backend.connections[0]->server;
  EXPECT_EQ(server.requests[3].body.size(), 1000u) << client.received();
  EXPECT_GT(client.unread_by_proxy(), kBytes / 2);  // Nobody keeps it but the client.
  EXPECT_TRUE(stage.ask(get("/"), 10 * kMs).starts_with("HTTP/1.1 200 "));
  EXPECT_EQ(stage.stats().upstream_connects, 1u);
  size_t given = 0;
  ASSERT_TRUE(stage.run_until(
      [&] {
        const size_t have = server.requests[3].body.size();
        if (have > given) {
          server.consume(3, have - given);
          given = have;
          backend.connections[0]->flush();
        }
        return ended == 3;
      },
      600 * kSecond));
  EXPECT_EQ(server.requests[3].body.size(), kBytes);
}

TEST(H2Upstream, TheWaitForAnUploadEndsByItsTimeout) {
  StageOptions options = h2_options();
  options.route.timeouts.request_idle_ns = kSecond;
  Stage stage(options);
  H2Backend backend(*stage.servers[0], {.window = 10, .auto_window = false});
  ASSERT_TRUE(stage.ask(get("/"), 10 * kMs).starts_with("HTTP/1.1 200 "));
  io::SimPeer& client = stage.dial("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n" +
                                   std::string(100, 'u'));
  ASSERT_TRUE(stage.receives(client, "HTTP/1.1 504 ", 3 * kSecond)) << client.received();
  EXPECT_TRUE(backend.connections[0]->server.requests[3].reset);
}

struct BadResponse {
  const char* what;
  std::function<void(Server&, int32_t)> send;
  bool begun = false;       // The response reached the client before it broke off.
  bool connection = false;  // It costs the connection: nghttp2's own verdict.
};

const BadResponse kBadResponses[] = {
    {"no status", [](Server& s, int32_t id) { s.head(id, {{"server", "x"}}, true); }},
    {"status of letters", [](Server& s, int32_t id) { s.head(id, {{":status", "abc"}}, true); }},
    {"101", [](Server& s, int32_t id) { s.head(id, {{":status", "101"}}, false); }},
    {"1xx that ends", [](Server& s, int32_t id) { s.head(id, {{":status", "103"}}, true); }},
    {"a pseudo-header of requests",
     [](Server& s, int32_t id) { s.head(id, {{":status", "200"}, {":path", "/"}}, true); }},
    {"upper case",
     [](Server& s, int32_t id) { s.head(id, {{":status", "200"}, {"X-A", "1"}}, true); }},
    {"a line end in a value",
     [](Server& s, int32_t id) {
       s.head(id, {{":status", "200"}, {"x", "1\r\nset-cookie: evil"}}, true);
     }},
    {"connection",
     [](Server& s, int32_t id) {
       s.head(id, {{":status", "200"}, {"connection", "close"}}, true);
     }},
    {"transfer-encoding",
     [](Server& s, int32_t id) {
       s.head(id, {{":status", "200"}, {"transfer-encoding", "chunked"}}, false);
     }},
    {"two lengths",
     [](Server& s, int32_t id) {
       s.head(id, {{":status", "200"}, {"content-length", "1"}, {"content-length", "2"}}, false);
     }},
    {"a length without a body",
     [](Server& s, int32_t id) {
       s.head(id, {{":status", "200"}, {"content-length", "1"}}, true);
     }},
    {"data before the head", [](Server& s, int32_t id) { s.data(id, "x", true); }, false, true},
    {"more data than the length",
     [](Server& s, int32_t id) {
       s.head(id, {{":status", "200"}, {"content-length", "1"}});
       s.data(id, "xy", true);
     },
     true},
    {"less data than the length",
     [](Server& s, int32_t id) {
       s.head(id, {{":status", "200"}, {"content-length", "3"}});
       s.data(id, "xy", true);
     },
     true},
    {"data in a 304",
     [](Server& s, int32_t id) {
       s.head(id, {{":status", "304"}});
       s.data(id, "x", true);
     },
     true},
    {"trailers that do not end",
     [](Server& s, int32_t id) {
       s.head(id, {{":status", "200"}});
       s.trailers(id, {{"x", "y"}}, false);
     },
     true},
    {"a status in trailers",
     [](Server& s, int32_t id) {
       s.head(id, {{":status", "200"}});
       s.trailers(id, {{":status", "200"}});
     },
     true},
    {"a flood of 1xx",
     [](Server& s, int32_t id) {
       for (int i = 0; i < 20; ++i) s.head(id, {{":status", "103"}});
     }},
    {"too many fields",
     [](Server& s, int32_t id) {
       Server::Fields fields{{":status", "200"}};
       for (int i = 0; i < 200; ++i) fields.emplace_back("a", "");
       s.head(id, fields, true);
     }},
};

TEST(H2Upstream, R28_AMalformedResponseCostsItsStream) {
  for (const BadResponse& bad : kBadResponses) {
    SCOPED_TRACE(bad.what);
    Stage stage(h2_options());
    H2Backend backend(*stage.servers[0]);
    int32_t held = 0;
    backend.on_request = [&](H2Backend::Connection& at, Server::Request& request) {
      if (request.field(":path") == "/held") {
        held = request.stream;
      } else if (request.field(":path") == "/bad") {
        bad.send(at.server, request.stream);
      } else {
        at.server.respond(request.stream, {{":status", "200"}}, "ok");
      }
    };
    io::SimPeer& good = stage.dial(get("/held"));
    ASSERT_TRUE(stage.run_until([&] { return held != 0; }));
    io::SimPeer& client = stage.dial(get("/bad"));
    stage.run(50 * kMs);
    if (bad.begun) {
      EXPECT_TRUE(client.ended() || client.was_reset()) << client.received();
    } else {
      EXPECT_NE(client.received().find("HTTP/1.1 502 "), std::string::npos) << client.received();
    }
    EXPECT_EQ(client.received().find("evil"), std::string::npos);
    if (bad.connection) continue;
    backend.connections[0]->server.respond(held, {{":status", "200"}}, "ok");
    backend.connections[0]->flush();
    EXPECT_TRUE(stage.receives(good, "ok", 100 * kMs));
    EXPECT_EQ(stage.stats().upstream_connects, 1u);
  }
}

struct Flood {
  const char* what;
  std::function<void(Server&, int32_t)> send;
};

TEST(H2Upstream, R33_AServerThatWastesOurTimeIsLeft) {
  const Flood floods[] = {
      {"pings", [](Server& s, int32_t) { s.frame(NGHTTP2_PING, 0, 0, "12345678"); }},
      {"settings", [](Server& s, int32_t) { s.frame(NGHTTP2_SETTINGS, 0, 0, ""); }},
      {"empty data", [](Server& s, int32_t id) { s.data(id, ""); }},
      {"priority", [](Server& s, int32_t) { s.frame(NGHTTP2_PRIORITY, 0, 99, {"\0\0\0\0\0", 5}); }},
  };
  for (const Flood& flood : floods) {
    SCOPED_TRACE(flood.what);
    Stage stage(h2_options());
    H2Backend backend(*stage.servers[0]);
    backend.on_request = [&](H2Backend::Connection& at, Server::Request& request) {
      at.server.head(request.stream, {{":status", "200"}});
      for (int i = 0; i < 2000; ++i) flood.send(at.server, request.stream);
    };
    stage.dial(get("/"));
    EXPECT_TRUE(
        stage.run_until([&] { return stage.stats().upstream_connections_active == 0; }, kSecond));
  }
}

TEST(H2Upstream, IdleAgeAndRequestLimits) {
  struct Case {
    const char* what;
    std::function<void(upstream::PoolLimits&)> set;
    uint32_t connects;  // For three requests, 3 s apart.
  };
  const Case cases[] = {
      {"none", [](upstream::PoolLimits&) {}, 1},
      {"idle", [](upstream::PoolLimits& p) { p.idle_timeout_ns = kSecond; }, 3},
      {"age", [](upstream::PoolLimits& p) { p.age_max_ns = 5 * kSecond; }, 2},
      {"requests", [](upstream::PoolLimits& p) { p.requests_max = 2; }, 2},
      {"number", [](upstream::PoolLimits& p) { p.idle_max = 0; }, 3},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    StageOptions options = h2_options();
    c.set(options.pool);
    Stage stage(options);
    H2Backend backend(*stage.servers[0]);
    for (int i = 0; i < 3; ++i) {
      ASSERT_TRUE(stage.ask(get("/"), 5 * kMs).starts_with("HTTP/1.1 200 "));
      stage.run(3 * kSecond);
    }
    EXPECT_EQ(stage.stats().upstream_connects, c.connects);
    for (const auto& connection : backend.connections) {
      if (!connection->peer->closed_by_proxy()) continue;
      EXPECT_EQ(connection->server.goaway_received, NGHTTP2_NO_ERROR);
    }
  }
}

TEST(H2Upstream, AnEndpointThatAcceptsAndSaysNothingTimesOut) {
  StageOptions options = h2_options();
  options.route.timeouts.response_idle_ns = kSecond;
  options.route.retry.tries = 1;
  Stage stage(options);
  stage.servers[0]->on_bytes = [](io::SimPeer&, std::string_view) {};
  io::SimPeer& client = stage.dial(get("/"));
  ASSERT_TRUE(stage.receives(client, "HTTP/1.1 504 ", 3 * kSecond));
}

TEST(H2Upstream, AnEndpointThatSpeaksHttp1IsABadGateway) {
  Stage stage(h2_options());
  stage.servers[0]->on_bytes = [](io::SimPeer& peer, std::string_view) {
    peer.write("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
  };
  EXPECT_TRUE(stage.ask(get("/")).starts_with("HTTP/1.1 502 "));
}

}  // namespace
}  // namespace ringway::worker
