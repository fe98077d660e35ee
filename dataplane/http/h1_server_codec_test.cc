#include "dataplane/http/h1_server_codec.h"

#include <gtest/gtest.h>

#include "dataplane/http/codec_testing.h"

namespace ringway::http::testing {
namespace {

constexpr std::string_view kGet = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

TEST(H1ServerCodec, IsSmallAndHoldsNothingWhenIdle) {
  EXPECT_LE(sizeof(H1ServerCodec), 144u);
  ServerHarness server;
  server.feed(kGet);
  server.head.reset();
  server.output.clear();
  EXPECT_TRUE(server.codec->idle());
  EXPECT_EQ(server.pool.in_use(), 0u);
  EXPECT_EQ(server.receive_pool.in_use(), 0u);
}

TEST(H1ServerCodec, ParsesAHeadInPlace) {
  ServerHarness server;
  server.answer = false;
  server.feed(kGet);
  EXPECT_EQ(server.head.memory.view(), kGet);
  EXPECT_EQ(server.head.path.data(), server.head.memory.view().data() + 4);
  EXPECT_EQ(server.pool.in_use(), 0u);
}

TEST(H1ServerCodec, KeepsAliveAndPipelines) {
  EXPECT_EQ(
      server_events("POST /a?x=1 HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"
                    "GET /b HTTP/1.1\r\nHost: h\r\n\r\n"
                    "PUT /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: "
                    "chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"),
      "head POST /a?x=1 1.1 at=h body=3 Host=h; Content-Length=3;\nbody abc\nend\n"
      "head GET /b 1.1 at=h body=none Host=h;\nend\n"
      "head PUT /c 1.1 at=h body=chunked Host=h; Transfer-Encoding=chunked;\nbody abcde\nend\n");
}

TEST(H1ServerCodec, KeepsPipelinedBytesUntilFinish) {
  ServerHarness server;
  server.answer = false;
  server.feed(std::string(kGet) + std::string(kGet));
  EXPECT_EQ(server.heads, 1u);
  EXPECT_EQ(server.codec->buffered(), kGet.size());
  server.respond(200, "x");
  EXPECT_EQ(server.heads, 1u);
  server.codec->finish(0);
  EXPECT_EQ(server.heads, 2u);
  EXPECT_EQ(server.codec->buffered(), 0u);
}

TEST(H1ServerCodec, ReadsTrailersWithoutForbiddenOnes) {
  EXPECT_EQ(server_events(
                "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n"
                "Checksum: 1\r\nContent-Length: 9\r\nGrpc-Status: 0\r\n\r\n" +
                std::string(kGet)),
            "head POST / 1.1 at=h body=chunked Host=h; Transfer-Encoding=chunked;\nbody x\n"
            "trailers Checksum=1; Grpc-Status=0;\nend\n"
            "head GET / 1.1 at=a body=none Host=a;\nend\n");
}

TEST(H1ServerCodec, AHeadThatDoesNotComeIsAnsweredAndClosed) {
  for (const std::string_view part : {"G", "GET / HTTP/1.1\r\nHost: a\r\nX-"}) {
    ServerHarness server;
    server.answer = false;
    server.feed(part);
    server.codec->refuse_head(Error::kTimeout);
    server.respond(408, "late");
    EXPECT_TRUE(server.output_text().starts_with("HTTP/1.1 408 ")) << server.output_text();
    EXPECT_TRUE(server.codec->wants_close());
  }
}

TEST(H1ServerCodec, GathersAHeadLargerThanAnyBuffer) {
  std::string text = "GET / HTTP/1.1\r\nHost: a\r\n";
  for (int i = 0; i < 10; ++i)
    text += "X-" + std::to_string(i) + ": " + std::string(3000, 'v') + "\r\n";
  text += "\r\n";
  const std::string events = server_events(text);
  EXPECT_TRUE(events.starts_with("head GET / 1.1 at=a body=none Host=a; X-0=vvv"))
      << events.substr(0, 200);
  EXPECT_TRUE(events.ends_with("vvv;\nend\n"));
}

struct CloseCase {
  std::string_view name, request;
  bool closes;
  std::string_view connection;  // Of the answer.
};

class H1ServerClose : public ::testing::TestWithParam<CloseCase> {};
INSTANTIATE_TEST_SUITE_P(
    Requests, H1ServerClose,
    ::testing::Values(
        CloseCase{"http11", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", false, ""},
        CloseCase{"http11_close", "GET / HTTP/1.1\r\nHost: a\r\nConnection: foo, CLOSE\r\n\r\n",
                  true, "close"},
        CloseCase{"http10", "GET / HTTP/1.0\r\n\r\n", true, "close"},
        CloseCase{"http10_keep_alive", "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", false,
                  "keep-alive"},
        CloseCase{"http10_both", "GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", true,
                  "close"}),
    [](const auto& test) { return std::string(test.param.name); });

TEST_P(H1ServerClose, FollowsVersionAndConnection) {
  const CloseCase& c = GetParam();
  ServerHarness server;
  server.feed(c.request);
  EXPECT_EQ(server.codec->wants_close(), c.closes);
  const std::string out = server.output_text();
  EXPECT_TRUE(out.starts_with("HTTP/1.1 200 OK\r\n")) << out;
  if (c.connection.empty()) {
    EXPECT_EQ(out.find("Connection"), std::string::npos);
  } else {
    EXPECT_NE(out.find("Connection: " + std::string(c.connection) + "\r\n"), std::string::npos)
        << out;
  }
}

TEST(H1ServerCodec, AnswersExpectationWithInterim) {
  ServerHarness server;
  server.answer = false;
  server.feed("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\n");
  EXPECT_TRUE(server.head.expect_continue);
  server.codec->send_interim(0, 100, {});
  EXPECT_EQ(server.output_text(), "HTTP/1.1 100 Continue\r\n\r\n");
  server.feed("hi");
  server.respond(200, "x");
  server.codec->finish(0);
  EXPECT_FALSE(server.codec->wants_close());
}

TEST(H1ServerCodec, EarlyAnswerToAnExpectationCloses) {
  ServerHarness server;
  server.answer = false;
  server.feed("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  server.respond(403, "no");
  EXPECT_NE(server.output_text().find("Connection: close\r\n"), std::string::npos);
  EXPECT_TRUE(server.codec->wants_close());
}

TEST(H1ServerCodec, NeverReadsAnUnreadBodyAsARequest) {
  ServerHarness server;
  server.answer = false;
  server.feed("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nGET /x HTTP/1.1\r\n");
  server.respond(200, "early");
  server.codec->finish(0);
  EXPECT_TRUE(server.codec->wants_close());
  server.feed(kGet);
  EXPECT_EQ(server.heads, 1u);
}

TEST(H1ServerCodec, InterimIsNotSentToHttp10) {
  ServerHarness server;
  server.answer = false;
  server.feed("PUT / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n");
  EXPECT_FALSE(server.head.expect_continue);
  EXPECT_FALSE(server.head.headers.has(HeaderName::kExpect));
  server.codec->send_interim(0, 100, {});
  EXPECT_EQ(server.output_text(), "");
}

TEST(H1ServerCodec, PauseHoldsTheBodyAndResumeGivesIt) {
  ServerHarness server;
  server.answer = false;
  server.feed("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab");
  server.codec->pause(0);
  server.feed("cd");
  EXPECT_EQ(server.codec->buffered(), 2u);
  EXPECT_TRUE(server.events.back() == "body ab");
  server.codec->on_end_of_input();
  EXPECT_EQ(server.error, Error::kNone);
  server.codec->resume(0);
  EXPECT_EQ(server.events[1], "body abcd");
  EXPECT_EQ(server.events.back(), "end");
}

TEST(H1ServerCodec, WaitsForRoomForAHead) {
  ServerHarness server;
  server.no_room = true;
  server.feed(kGet);
  EXPECT_EQ(server.heads, 0u);
  EXPECT_EQ(server.codec->buffered(), kGet.size());
  EXPECT_FALSE(server.codec->idle());
  server.no_room = false;
  server.codec->resume(0);
  EXPECT_EQ(server.heads, 1u);
}

TEST(H1ServerCodec, HalfCloseStillGetsItsAnswers) {
  ServerHarness server;
  server.answer = false;
  server.feed(std::string(kGet) + std::string(kGet));
  server.codec->on_end_of_input();
  EXPECT_FALSE(server.codec->wants_close());
  server.respond(200, "1");
  EXPECT_EQ(server.output_text().find("close"), std::string::npos);
  server.codec->finish(0);
  EXPECT_EQ(server.heads, 2u);
  server.respond(200, "2");
  EXPECT_NE(server.output_text().find("close"), std::string::npos);
  server.codec->finish(0);
  EXPECT_TRUE(server.codec->wants_close());
}

TEST(H1ServerCodec, EndOfInputBetweenRequestsCloses) {
  ServerHarness server;
  server.codec->on_end_of_input();
  EXPECT_TRUE(server.codec->wants_close());
  EXPECT_TRUE(server.events.empty());
}

TEST(H1ServerCodec, EndOfInputInsideAMessageIsTruncation) {
  for (const std::string_view text :
       {"GET / HT", "GET / HTTP/1.1\r\nHost: a\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX: "
        "y\r\n"}) {
    EXPECT_EQ(refusal(text, {.end_of_input = true}), "truncated 400") << text;
  }
}

TEST(H1ServerCodec, TunnelsBothWaysAfter101) {
  ServerHarness server;
  server.answer = false;
  server.feed(
      "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\nearly");
  ASSERT_TRUE(server.head.upgrade);
  EXPECT_EQ(server.codec->buffered(), 5u);
  ResponseHead response;
  response.status = 101;
  response.headers.add(HeaderName::kUpgrade, "websocket");
  response.headers.add(HeaderName::kSecWebsocketAccept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
  server.codec->send_head(0, response, false, false);
  EXPECT_EQ(
      server.output_text(),
      "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
      "Upgrade: websocket\r\nConnection: upgrade\r\n\r\n");
  server.output.clear();
  server.codec->switch_to_tunnel(0);
  EXPECT_EQ(server.events.back(), "body early");
  server.feed(" late");
  EXPECT_EQ(server.events.back(), "body early late");
  server.codec->send_body(0, slice_of(server.pool, "raw"), false);
  EXPECT_EQ(server.output_text(), "raw");
  server.codec->on_end_of_input();
  EXPECT_EQ(server.events.back(), "end");
  server.codec->send_body(0, {}, true);
  server.codec->finish(0);
  EXPECT_TRUE(server.codec->wants_close());
}

TEST(H1ServerCodec, DrainTellsTheClient) {
  ServerHarness server;
  server.answer = false;
  server.feed(kGet);
  server.codec->drain();
  EXPECT_FALSE(server.codec->wants_close());
  server.respond(200, "x");
  EXPECT_NE(server.output_text().find("Connection: close\r\n"), std::string::npos);
  EXPECT_TRUE(server.codec->wants_close());
  ServerHarness idle;
  idle.codec->drain();
  EXPECT_TRUE(idle.codec->wants_close());
}

TEST(H1ServerCodec, ResetClosesWithoutALastChunk) {
  ServerHarness server;
  server.answer = false;
  server.feed(kGet);
  ResponseHead response;
  response.status = 200;
  response.body.kind = BodyKind::kChunked;
  server.codec->send_head(0, response, false, false);
  server.codec->reset(0);
  server.codec->send_body(0, {}, true);
  EXPECT_EQ(server.output_text().find("0\r\n\r\n"), std::string::npos);
  EXPECT_TRUE(server.codec->wants_close());
  server.codec->finish(0);
}

TEST(H1ServerCodec, FinishInsideTheHeadEventServesAllThatIsThere) {
  std::string many;
  for (int i = 0; i < 1000; ++i) many += kGet;
  ServerHarness server;
  server.feed(many);
  EXPECT_EQ(server.heads, 1000u);
}

}  // namespace
}  // namespace ringway::http::testing
