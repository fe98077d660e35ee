// What active checks over HTTP/2 ask and how they judge.
#include "dataplane/upstream/health_exchange.h"

#include <gtest/gtest.h>

#include "dataplane/http/codec_testing.h"
#include "dataplane/http/h2_test_server.h"
#include "dataplane/io/sim_ring.h"

namespace ringway::upstream {
namespace {

using http::testing::H2TestServer;

// A check of a server that answers as `answer` says; what came of it in one line.
std::string outcome(const HealthCheckPolicy& policy,
                    const std::function<void(H2TestServer&, H2TestServer::Request&)>& answer) {
  io::SimRing ring({}, {.seed = 1});
  EndpointState endpoint;
  endpoint.protocol = Protocol::kHttp2;
  endpoint.text = "10.0.0.1:80";
  H2TestServer server;
  server.on_end = [&](H2TestServer::Request& request) { answer(server, request); };
  HealthExchange exchange(ring, policy, endpoint);
  exchange.begin();
  for (int turn = 0; turn < 10 && !exchange.verdict; ++turn) {
    server.feed(http::testing::text_of(exchange.output));
    exchange.output.clear();
    http::testing::feed_text(ring.output_pool(), server.take_output(),
                             [&](io::Slice slice) { exchange.feed(std::move(slice)); });
  }
  if (!exchange.verdict) exchange.on_end_of_input();
  return (*exchange.verdict == Verdict::kPass ? "pass" : "fail: ") + std::string(exchange.reason);
}

std::string message(std::string_view proto) {
  std::string framed("\0\0\0\0", 4);
  framed += static_cast<char>(proto.size());
  return framed + std::string(proto);
}

TEST(GrpcCheck, AsksForTheService) {
  HealthCheckPolicy policy;
  policy.kind = HealthCheckPolicy::Kind::kGrpc;
  policy.grpc_service = "shop.Cart";
  H2TestServer::Request seen;
  EXPECT_EQ(outcome(policy,
                    [&](H2TestServer& server, H2TestServer::Request& request) {
                      seen = request;
                      server.respond(request.stream,
                                     {{":status", "200"}, {"content-type", "application/grpc"}},
                                     message("\x08\x01"), {{"grpc-status", "0"}});
                    }),
            "pass");
  EXPECT_EQ(seen.field(":method"), "POST");
  EXPECT_EQ(seen.field(":path"), "/grpc.health.v1.Health/Check");
  EXPECT_EQ(seen.field(":authority"), "10.0.0.1:80");
  EXPECT_EQ(seen.field("content-type"), "application/grpc");
  EXPECT_EQ(seen.field("te"), "trailers");
  EXPECT_EQ(seen.body, message("\x0A\x09shop.Cart"));
}

TEST(GrpcCheck, JudgesStatusAndMessage) {
  struct Case {
    const char* name;
    std::string status;
    std::string body;
    std::string grpc_status;
    std::string expected;
  };
  const Case cases[] = {
      {"not serving", "200", message("\x08\x02"), "0", "fail: not serving"},
      {"unknown", "200", message(""), "0", "fail: not serving"},
      {"unimplemented", "200", "", "12", "fail: grpc.health.v1.Health is not implemented"},
      {"no such service", "200", "", "5", "fail: gRPC service unknown to the server"},
      {"unavailable", "200", "", "14", "fail: unexpected gRPC status"},
      {"http error", "503", "", "0", "fail: unexpected status"},
      {"length of another", "200", "\x01", "0", "fail: not serving"},
      {"later fields", "200", message(std::string_view("\x12\x02xy\x08\x01", 6)), "0", "pass"},
      {"string beyond the end", "200", message("\x12\x7Fxy"), "0", "fail: not serving"},
  };
  HealthCheckPolicy policy;
  policy.kind = HealthCheckPolicy::Kind::kGrpc;
  for (const Case& c : cases) {
    EXPECT_EQ(outcome(policy,
                      [&](H2TestServer& server, H2TestServer::Request& request) {
                        server.respond(request.stream, {{":status", c.status}}, c.body,
                                       {{"grpc-status", c.grpc_status}});
                      }),
              c.expected)
        << c.name;
  }
}

TEST(GrpcCheck, AHeadThatIsTrailersIsJudgedToo) {
  HealthCheckPolicy policy;
  policy.kind = HealthCheckPolicy::Kind::kGrpc;
  EXPECT_EQ(outcome(policy,
                    [](H2TestServer& server, H2TestServer::Request& request) {
                      server.respond(request.stream, {{":status", "200"}, {"grpc-status", "12"}});
                    }),
            "fail: grpc.health.v1.Health is not implemented");
  EXPECT_EQ(outcome(policy,
                    [](H2TestServer& server, H2TestServer::Request& request) {
                      server.respond(request.stream, {{":status", "200"}}, message("\x08\x01"));
                    }),
            "fail: not a gRPC response");
}

TEST(HttpCheck, SpeaksHttp2ToHttp2Endpoints) {
  HealthCheckPolicy policy;
  policy.path = "/healthz";
  policy.body_contains = "fine";
  H2TestServer::Request seen;
  EXPECT_EQ(outcome(policy,
                    [&](H2TestServer& server, H2TestServer::Request& request) {
                      seen = request;
                      server.respond(request.stream, {{":status", "200"}}, "all fine");
                    }),
            "pass");
  EXPECT_EQ(seen.field(":method"), "GET");
  EXPECT_EQ(seen.field(":path"), "/healthz");
  EXPECT_EQ(outcome(policy,
                    [](H2TestServer& server, H2TestServer::Request& request) {
                      server.reset(request.stream, NGHTTP2_INTERNAL_ERROR);
                    }),
            "fail: malformed or truncated response");
}

TEST(GrpcCheck, RequestsOfLongServicesAreFramed) {
  const std::string service(200, 's');
  const std::string framed = health_check_request(service);
  EXPECT_EQ(framed.size(), 5 + 3 + 200u);
  EXPECT_EQ(framed.substr(0, 8), std::string("\0\0\0\0\xCB\x0A\xC8\x01", 8));
}

}  // namespace
}  // namespace ringway::upstream
