// gRPC calls: passed on with their trailers, answered in their own terms when no endpoint does,
// held to their deadline.
#include <gtest/gtest.h>

#include "dataplane/route/rewrite.h"
#include "dataplane/worker/h2_backend.h"

namespace ringway::worker {
namespace {

using Server = http::testing::H2TestServer;

StageOptions grpc_options(uint32_t servers = 1) {
  StageOptions options;
  options.servers = servers;
  options.protocol = upstream::Protocol::kHttp2;
  return options;
}

std::string call(std::string_view fields = "", std::string_view path = "/pkg.Service/Method") {
  return "POST " + std::string(path) +
         " HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc\r\nTE: trailers\r\n" +
         std::string(fields) + "Content-Length: 5\r\n\r\n" + std::string(5, '\0');
}

bool has_status(const std::string& response, int status) {
  const std::string lower = "grpc-status: " + std::to_string(status) + "\r\n";
  const std::string upper = "Grpc-Status: " + std::to_string(status) + "\r\n";
  return response.find(lower) != std::string::npos || response.find(upper) != std::string::npos;
}

TEST(Grpc, TrailersAndTrailersOnlyPass) {
  Stage stage(grpc_options());
  H2Backend backend(*stage.servers[0]);
  backend.on_request = [](H2Backend::Connection& at, Server::Request& request) {
    if (request.field(":path") == "/fails") {
      return at.server.respond(request.stream, {{":status", "200"}, {"grpc-status", "5"}});
    }
    at.server.respond(request.stream, {{":status", "200"}, {"content-type", "application/grpc"}},
                      "MESSAGE", {{"grpc-status", "0"}});
  };
  io::SimPeer& client = stage.dial(call());
  ASSERT_TRUE(stage.run_until([&] { return has_status(client.received(), 0); }))
      << client.received();
  EXPECT_NE(client.received().find("MESSAGE"), std::string::npos);
  io::SimPeer& fails = stage.dial(call("", "/fails"));
  ASSERT_TRUE(stage.run_until([&] { return has_status(fails.received(), 5); })) << fails.received();
  EXPECT_TRUE(fails.received().starts_with("HTTP/1.1 200 "));
  EXPECT_EQ(stage.servers[0]->state->errors_total.load(), 0u);
}

TEST(Grpc, AnswersOfOurOwnAreGrpcAnswers) {
  struct Case {
    const char* what;
    std::function<void(StageOptions&)> set;
    int status;
  };
  const Case cases[] = {
      {"no route", [](StageOptions& o) { o.path = "/other"; }, 12},
      {"no endpoint", [](StageOptions& o) { o.no_endpoints = true; }, 14},
      {"no cluster", [](StageOptions& o) { o.no_cluster = true; }, 14},
      {"too large", [](StageOptions& o) { o.route.request_body_bytes_max = 4; }, 8},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    StageOptions options = grpc_options();
    c.set(options);
    Stage stage(options);
    H2Backend backend(*stage.servers[0]);
    const std::string answer = stage.ask(call());
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 ")) << answer;
    EXPECT_TRUE(has_status(answer, c.status)) << answer;
    EXPECT_NE(answer.find("application/grpc"), std::string::npos);
    // What is not gRPC is answered as ever.
    EXPECT_FALSE(stage.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
                     .starts_with("HTTP/1.1 200 "));
  }
}

// "Requests" in gRPC over HTTP2: without a DATA frame that ends it, a server may wait for ever.
TEST(Grpc, ACallWithoutMessagesEndsByAnEmptyDataFrame) {
  Stage stage(grpc_options());
  H2Backend backend(*stage.servers[0]);
  std::vector<bool> by_head;
  backend.on_request = [&](H2Backend::Connection& at, Server::Request& request) {
    by_head.push_back(request.ended_by_head);
    EXPECT_EQ(request.body, "");
    at.server.respond(request.stream, {{":status", "200"}, {"grpc-status", "0"}});
  };
  const std::string empty =
      "POST /pkg.Service/Method HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc\r\n"
      "Content-Length: 0\r\n\r\n";
  EXPECT_TRUE(has_status(stage.ask(empty), 0));  // Waits for the connection.
  EXPECT_TRUE(has_status(stage.ask(empty), 0));  // Finds one.
  EXPECT_TRUE(stage.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").starts_with("HTTP/1.1 200 "));
  EXPECT_EQ(by_head, (std::vector<bool>{false, false, true}));
}

TEST(Grpc, ADeadEndpointIsUnavailable) {
  Stage stage(grpc_options());
  stage.ring.stop_serving(stage.servers[0]->address);
  EXPECT_TRUE(has_status(stage.ask(call()), 14));
}

TEST(Grpc, TheDeadlineIsPassedOnReducedAndKept) {
  Stage stage(grpc_options());
  H2Backend backend(*stage.servers[0]);
  std::string asked;
  backend.on_request = [&](H2Backend::Connection&, Server::Request& request) {
    asked = request.field("grpc-timeout");
  };
  io::SimPeer& client = stage.dial(call("grpc-timeout: 2S\r\n"));
  stage.run(1900 * kMs);
  ASSERT_FALSE(asked.empty());
  EXPECT_EQ(asked.back(), 'u');
  EXPECT_LE(std::stoull(asked), 2'000'000u);
  EXPECT_GT(std::stoull(asked), 1'900'000u);
  EXPECT_EQ(client.received(), "");
  ASSERT_TRUE(stage.run_until([&] { return has_status(client.received(), 4); }, 300 * kMs))
      << client.received();
  EXPECT_EQ(stage.stats().timeouts_total, 1u);
  EXPECT_TRUE(
      stage.run_until([&] { return backend.connections[0]->server.requests[1].reset; }, 100 * kMs));
}

TEST(Grpc, AMalformedTimeoutIsTheEndpointsToJudge) {
  Stage stage(grpc_options());
  H2Backend backend(*stage.servers[0]);
  std::string asked;
  backend.on_request = [&](H2Backend::Connection& at, Server::Request& request) {
    asked = request.field("grpc-timeout");
    at.server.respond(request.stream, {{":status", "200"}, {"grpc-status", "13"}});
  };
  EXPECT_TRUE(has_status(stage.ask(call("grpc-timeout: soon\r\n")), 13));
  EXPECT_EQ(asked, "soon");
}

TEST(Grpc, UnavailableIsTriedAgainWhereCallsMayBeRepeated) {
  for (const bool allowed : {true, false}) {
    StageOptions options = grpc_options(2);
    options.route.retry.non_idempotent = allowed;
    Stage stage(options);
    uint32_t calls = 0;
    std::vector<std::unique_ptr<H2Backend>> backends;
    for (const auto& server : stage.servers) {
      backends.push_back(std::make_unique<H2Backend>(*server));
      backends.back()->on_request = [&](H2Backend::Connection& at, Server::Request& request) {
        EXPECT_EQ(request.body.size(), 5u);
        at.server.respond(request.stream,
                          {{":status", "200"}, {"grpc-status", calls++ == 0 ? "14" : "0"}});
      };
    }
    EXPECT_TRUE(has_status(stage.ask(call()), allowed ? 0 : 14));
    EXPECT_EQ(calls, allowed ? 2u : 1u);
    EXPECT_EQ(
        stage.servers[0]->state->errors_total.load() + stage.servers[1]->state->errors_total.load(),
        1u);
  }
}

TEST(Grpc, CallsOfOneClientAreBalanced) {
  Stage stage(grpc_options(2));
  H2Backend first(*stage.servers[0]), second(*stage.servers[1]);
  io::SimPeer& client = stage.dial();
  for (int i = 0; i < 6; ++i) {
    client.write(call());
    stage.run(5 * kMs);
  }
  EXPECT_EQ(first.requests, 3u);
  EXPECT_EQ(second.requests, 3u);
}

TEST(Grpc, CallsAreCountedByTheirStatus) {
  StageOptions options = grpc_options();
  options.route.metrics_slot = 3;
  Stage stage(options);
  H2Backend backend(*stage.servers[0]);
  backend.on_request = [](H2Backend::Connection& at, Server::Request& request) {
    const std::string path = request.field(":path");
    const Server::Fields head{{":status", "200"}, {"content-type", "application/grpc"}};
    if (path == "/only") {
      return at.server.head(request.stream, {{":status", "200"}, {"grpc-status", "5"}}, true);
    }
    if (path == "/none") return at.server.respond(request.stream, head, "MESSAGE");
    at.server.respond(request.stream, head, "MESSAGE",
                      {{"grpc-status", path == "/odd" ? "banana" : "0"}});
  };
  for (const char* path : {"/ok", "/ok", "/only", "/none", "/odd"}) stage.ask(call("", path));
  stage.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");  // No call.
  stage.publish(0);
  stage.ask(call());
  const observe::GrpcCounts& calls = stage.stats().routes.grpc(3);
  EXPECT_EQ(calls[0], 2u);
  EXPECT_EQ(calls[5], 1u);
  EXPECT_EQ(calls[14], 1u);
  EXPECT_EQ(calls[observe::kGrpcNone], 2u);
}

// A name that a client made up is no label before an endpoint knows it, whoever answers.
TEST(Grpc, CallsAreCountedByMethodsThatEndpointsKnow) {
  StageOptions options = grpc_options();
  options.grpc_methods_max = 2;
  Stage stage(options);
  H2Backend backend(*stage.servers[0]);
  backend.on_request = [](H2Backend::Connection& at, Server::Request& request) {
    const std::string path = request.field(":path");
    const Server::Fields head{{":status", "200"}, {"content-type", "application/grpc"}};
    if (path.starts_with("/a.Stream/")) {
      return at.server.respond(request.stream, head, "MESSAGE", {{"grpc-status", "0"}});
    }
    const char* status = path.starts_with("/a.") ? "5" : path == "/b.Gate/In" ? "16" : "12";
    at.server.head(request.stream, {{":status", "200"}, {"grpc-status", status}}, true);
  };
  const observe::GrpcMethodStats& methods = stage.stats().grpc_methods;
  for (const char* path : {"/made.Up/Name", "/b.Gate/In", "/a.Stream/0dd%20"}) {
    stage.ask(call("", path));
    EXPECT_EQ(methods.size(), 0u) << path;
  }
  stage.ask(call("", "/a.Stream/Talk"));
  stage.ask(call("", "/a.Unary/Get"));
  stage.ask(call("", "/a.Unary/Late"));                       // One more than there may be.
  stage.ask("GET /a.Unary/Get HTTP/1.1\r\nHost: a\r\n\r\n");  // No call.
  stage.publish(0);
  stage.ask(call("", "/a.Unary/Get"));  // Our own UNAVAILABLE, of a method that is known.
  stage.ask(call("", "/a.Unary/Later"));
  ASSERT_EQ(methods.size(), 2u);
  EXPECT_EQ(methods.at(0).service, "a.Stream");
  EXPECT_EQ(methods.at(0).method, "Talk");
  EXPECT_EQ(methods.at(0).counts.calls[0], 1u);
  EXPECT_EQ(methods.at(1).method, "Get");
  EXPECT_EQ(methods.at(1).counts.calls[5], 1u);
  EXPECT_EQ(methods.at(1).counts.calls[14], 1u);
  EXPECT_EQ(methods.at(1).counts.duration.count(), 2u);
  const observe::GrpcCounts& other = methods.other().calls;
  EXPECT_EQ(other[12], 1u);
  EXPECT_EQ(other[16], 1u);
  EXPECT_EQ(other[0], 1u);
  EXPECT_EQ(other[5], 1u);
  EXPECT_EQ(other[14], 1u);
  EXPECT_EQ(methods.other().duration.count(), 5u);
}

TEST(Grpc, MethodsAreCountedWhereItIsAskedForOnly) {
  Stage stage(grpc_options());
  H2Backend backend(*stage.servers[0]);
  backend.on_request = [](H2Backend::Connection& at, Server::Request& request) {
    at.server.head(request.stream, {{":status", "200"}, {"grpc-status", "0"}}, true);
  };
  EXPECT_TRUE(has_status(stage.ask(call()), 0));
  EXPECT_EQ(stage.stats().grpc_methods.size(), 0u);
  EXPECT_EQ(stage.stats().grpc_methods.other().duration.count(), 0u);
}

// The method is the one that the endpoint was asked for: what a rewrite took away is no part of it.
TEST(Grpc, TheMethodIsThatOfTheRewrittenPath) {
  StageOptions options = grpc_options();
  options.grpc_methods_max = 10;
  const auto rewrite = route::make_rewrite("/api/(.*)", "/$1");
  ASSERT_TRUE(rewrite.has_value());
  options.route.rewrite = *rewrite;
  Stage stage(options);
  H2Backend backend(*stage.servers[0]);
  backend.on_request = [](H2Backend::Connection& at, Server::Request& request) {
    at.server.head(request.stream, {{":status", "200"}, {"grpc-status", "0"}}, true);
  };
  EXPECT_TRUE(has_status(stage.ask(call("", "/api/a.Unary/Get")), 0));
  ASSERT_EQ(stage.stats().grpc_methods.size(), 1u);
  EXPECT_EQ(stage.stats().grpc_methods.at(0).service, "a.Unary");
}

}  // namespace
}  // namespace ringway::worker
