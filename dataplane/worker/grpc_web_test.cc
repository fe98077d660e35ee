// gRPC-Web from clients, gRPC to endpoints.
#include <gtest/gtest.h>

#include "dataplane/worker/h2_backend.h"
#include "dataplane/worker/h2_dial.h"

namespace ringway::worker {
namespace {

using Server = http::testing::H2TestServer;

// A message "hi" in its frame, and what a server answers with: another, and the status.
const std::string kMessage("\0\0\0\0\2hi", 7);
const std::string kMessageText = "AAAAAAJoaQ==";
const std::string kTrailersFrame("\x80\0\0\0\x10grpc-status: 0\r\n", 21);

StageOptions web_options(bool on = true) {
  StageOptions options;
  options.protocol = upstream::Protocol::kHttp2;
  options.route.grpc_web = on;
  return options;
}

std::string call(std::string_view type, std::string_view body) {
  return "POST /pkg.Service/Method HTTP/1.1\r\nHost: a\r\nContent-Type: " + std::string(type) +
         "\r\nX-Grpc-Web: 1\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
         std::string(body);
}

struct Service {
  explicit Service(Stage& stage) : backend(*stage.servers[0]) {
    backend.on_request = [this](H2Backend::Connection& at, Server::Request& request) {
      seen = request;
      at.server.respond(request.stream,
                        {{":status", "200"}, {"content-type", "application/grpc+proto"}}, kMessage,
                        {{"grpc-status", "0"}});
    };
  }
  H2Backend backend;
  Server::Request seen;
};

TEST(GrpcWebTranslation, BinaryBothWays) {
  Stage stage(web_options());
  Service service(stage);
  io::SimPeer& client = stage.dial(call("application/grpc-web+proto", kMessage));
  ASSERT_TRUE(stage.receives(client, "\r\n0\r\n\r\n", kSecond)) << client.received();
  EXPECT_EQ(service.seen.field("content-type"), "application/grpc+proto");
  EXPECT_EQ(service.seen.field("te"), "trailers");
  EXPECT_EQ(service.seen.body, kMessage);
  EXPECT_TRUE(client.received().starts_with("HTTP/1.1 200 "));
  EXPECT_NE(client.received().find("application/grpc-web+proto\r\n"), std::string::npos);
  EXPECT_NE(client.received().find("\r\n7\r\n" + kMessage + "\r\n15\r\n" + kTrailersFrame + "\r\n"),
            std::string::npos);
  client.close();
}

TEST(GrpcWebTranslation, TextBothWaysOverHttp2) {
  Stage stage(web_options());
  Service service(stage);
  H2Dial dial(stage);
  const uint32_t id = dial.client.request({{":method", "POST"},
                                           {":scheme", "http"},
                                           {":authority", "a"},
                                           {":path", "/pkg.Service/Method"},
                                           {"content-type", "application/grpc-web-text"},
                                           {"accept", "application/grpc-web-text"}},
                                          false);
  dial.client.send(id, kMessageText.substr(0, 3), false);
  dial.flush();
  stage.run(10 * kMs);
  dial.client.send(id, kMessageText.substr(3), true);
  ASSERT_TRUE(dial.finishes(id));
  EXPECT_EQ(service.seen.body, kMessage);
  EXPECT_EQ(service.seen.field("content-length"), "");
  EXPECT_EQ(dial.response(id).field("content-type"), "application/grpc-web-text+proto");
  EXPECT_EQ(dial.response(id).body, kMessageText + "gAAAABBncnBjLXN0YXR1czogMA0K");
  EXPECT_TRUE(dial.response(id).trailers.empty());
}

// A message is readable when it has come, whatever its length: not when the next one has.
TEST(GrpcWebTranslation, AStreamOfMessagesIsNotHeldBack) {
  Stage stage(web_options());
  Service service(stage);
  H2Backend::Connection* at = nullptr;
  int32_t stream = 0;
  service.backend.on_request = [&](H2Backend::Connection& connection, Server::Request& request) {
    at = &connection;
    stream = request.stream;
    connection.server.head(stream, {{":status", "200"}, {"content-type", "application/grpc"}});
  };
  io::SimPeer& client = stage.dial(call("application/grpc-web-text", kMessageText));
  ASSERT_TRUE(stage.run_until([&] { return at != nullptr; }));
  for (int i = 1; i <= 3; ++i) {
    at->server.data(stream, kMessage);
    at->flush();
    ASSERT_TRUE(stage.run_until(
        [&] {
          return client.bytes_received() > 0 && std::ranges::count(client.received(), 'J') >= i;
        },
        kSecond))
        << client.received();
  }
  at->server.trailers(stream, {{"grpc-status", "0"}});
  at->flush();
  EXPECT_TRUE(stage.receives(client, "gAAAABBncnBjLXN0YXR1czogMA0K\r\n0\r\n\r\n", kSecond));
  client.close();
}

TEST(GrpcWebTranslation, AStatusWithoutMessagesStaysInTheHead) {
  Stage stage(web_options());
  Service service(stage);
  service.backend.on_request = [](H2Backend::Connection& at, Server::Request& request) {
    at.server.head(request.stream,
                   {{":status", "200"}, {"content-type", "application/grpc"}, {"grpc-status", "5"}},
                   true);
  };
  const std::string answer = stage.ask(call("application/grpc-web", kMessage));
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 ")) << answer;
  EXPECT_NE(answer.find("application/grpc-web\r\n"), std::string::npos) << answer;
  EXPECT_NE(answer.find("rpc-"), std::string::npos);
  EXPECT_TRUE(answer.ends_with("\r\n\r\n"));
}

TEST(GrpcWebTranslation, AnswersOfOurOwnAreOfItsKind) {
  StageOptions options = web_options();
  options.no_endpoints = true;
  Stage stage(options);
  const std::string answer = stage.ask(call("application/grpc-web-text", kMessageText));
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 ")) << answer;
  EXPECT_NE(answer.find("application/grpc-web-text\r\n"), std::string::npos) << answer;
  EXPECT_NE(answer.find(": 14\r\n"), std::string::npos) << answer;
}

TEST(GrpcWebTranslation, TextThatIsNotBase64IsRefused) {
  for (const char* body : {"AAAA!", "AAA", "A===", "AAAA\r\n"}) {
    Stage stage(web_options());
    Service service(stage);
    const std::string answer = stage.ask(call("application/grpc-web-text", body));
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 ")) << answer;
    EXPECT_NE(answer.find(": 13\r\n"), std::string::npos) << answer;  // INTERNAL
    EXPECT_EQ(service.seen.body, "") << body;
    EXPECT_EQ(stage.stats().request_errors[static_cast<size_t>(http::Error::kBadBase64)], 1u);
  }
}

TEST(GrpcWebTranslation, AnErrorPageOfTheEndpointPasses) {
  Stage stage(web_options());
  Service service(stage);
  service.backend.on_request = [](H2Backend::Connection& at, Server::Request& request) {
    at.server.respond(request.stream, {{":status", "404"}, {"content-type", "text/html"}}, "<p>");
  };
  io::SimPeer& client = stage.dial(call("application/grpc-web-text", kMessageText));
  ASSERT_TRUE(stage.receives(client, "<p>", kSecond)) << client.received();
  EXPECT_TRUE(client.received().starts_with("HTTP/1.1 404 "));
  client.close();
}

TEST(GrpcWebTranslation, WithoutTheSettingItPassesAsItIs) {
  Stage stage(web_options(false));
  Service service(stage);
  io::SimPeer& client = stage.dial(call("application/grpc-web-text", kMessageText));
  ASSERT_TRUE(stage.run_until([&] { return service.seen.ended; }));
  EXPECT_EQ(service.seen.field("content-type"), "application/grpc-web-text");
  EXPECT_EQ(service.seen.body, kMessageText);
  client.close();
}

// Other requests of the route are what they were.
TEST(GrpcWebTranslation, PlainGrpcPasses) {
  Stage stage(web_options());
  Service service(stage);
  io::SimPeer& client = stage.dial(call("application/grpc", kMessage));
  ASSERT_TRUE(stage.run_until([&] { return service.seen.ended; }));
  EXPECT_EQ(service.seen.body, kMessage);
  EXPECT_TRUE(stage.receives(client, kMessage, kSecond)) << client.received();
  client.close();
}

}  // namespace
}  // namespace ringway::worker
