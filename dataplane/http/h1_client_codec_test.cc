#include "dataplane/http/h1_client_codec.h"

#include <gtest/gtest.h>

#include "dataplane/http/codec_testing.h"

namespace ringway::http::testing {
namespace {

constexpr std::string_view kKey = "dGhlIHNhbXBsZSBub25jZQ==";  // RFC 6455 section 1.3
constexpr std::string_view kAccept = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";

struct ResponseCase {
  std::string_view name, response, want;
  std::string_view method = "GET";
  bool end_of_input = false;
};

class H1ClientResponse : public ::testing::TestWithParam<ResponseCase> {};
INSTANTIATE_TEST_SUITE_P(
    Framing, H1ClientResponse,
    ::testing::Values(
        ResponseCase{"known", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
                     "head 200 1.1 body=2 Content-Length=2;\nbody hi\nend\nreusable\n"},
        ResponseCase{"empty", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
                     "head 200 1.1 body=0 Content-Length=0;\nend\nreusable\n"},
        ResponseCase{"chunked",
                     "HTTP/1.1 200\r\nTransfer-Encoding: "
                     "Chunked\r\n\r\n1\r\nh\r\nA;q=\"x\"\r\n0123456789\r\n00\r\n\r\n",
                     "head 200 1.1 body=chunked Transfer-Encoding=Chunked;\nbody "
                     "h0123456789\nend\nreusable\n"},
        ResponseCase{"trailers",
                     "HTTP/1.1 200 OK\r\nTransfer-Encoding: "
                     "chunked\r\n\r\n1\r\nh\r\n0\r\nGrpc-Status: 0\r\nSet-Cookie: a\r\n\r\n",
                     "head 200 1.1 body=chunked Transfer-Encoding=chunked;\nbody h\ntrailers "
                     "Grpc-Status=0;\nreusable\n"},
        ResponseCase{"until_close", "HTTP/1.1 200 OK\r\n\r\nall of it",
                     "head 200 1.1 body=until_close close\nbody all of it\nend\n", "GET", true},
        ResponseCase{"http10_keep_alive",
                     "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx",
                     "head 200 1.0 body=1 Connection=keep-alive; Content-Length=1;\nbody "
                     "x\nend\nreusable\n"},
        ResponseCase{"http10", "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx",
                     "head 200 1.0 body=1 close Content-Length=1;\nbody x\nend\n"},
        ResponseCase{
            "close", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx",
            "head 200 1.1 body=1 close Connection=close; Content-Length=1;\nbody x\nend\n"},
        ResponseCase{"head_declares", "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n",
                     "head 200 1.1 body=500 Content-Length=500;\nend\nreusable\n", "HEAD"},
        ResponseCase{"head_without_length", "HTTP/1.1 200 OK\r\n\r\n",
                     "head 200 1.1 body=none\nend\nreusable\n", "HEAD"},
        ResponseCase{"not_modified", "HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n",
                     "head 304 1.1 body=500 Content-Length=500;\nend\nreusable\n"},
        ResponseCase{"no_content", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
                     "head 204 1.1 body=none Content-Length=0;\nend\nreusable\n"},
        ResponseCase{"interim",
                     "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: "
                     "x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
                     "interim 100 1.1 body=none\ninterim 103 1.1 body=none Link=x;\nhead 200 1.1 "
                     "body=0 Content-Length=0;\nend\nreusable\n"},
        ResponseCase{"closed_before", "", "error truncated\n", "GET", true},
        ResponseCase{"closed_in_head", "HTTP/1.1 200 OK\r\nServer: x", "error truncated\n", "GET",
                     true}),
    [](const auto& test) { return std::string(test.param.name); });

TEST_P(H1ClientResponse, GivesTheSameEventsForEveryCut) {
  const ResponseCase& c = GetParam();
  EXPECT_EQ(client_events(c.response, {.end_of_input = c.end_of_input, .method = c.method}),
            c.want);
}

TEST(H1ClientCodec, IsReusableInsideTheEndingEventAndServesAgain) {
  ClientHarness client;
  EXPECT_TRUE(client.codec->available());
  for (int i = 0; i < 3; ++i) {
    client.request();
    EXPECT_FALSE(client.codec->available());
    client.feed("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx");
    EXPECT_TRUE(client.reusable_at_end);
    EXPECT_TRUE(client.codec->available());
  }
  client.head.reset();
  client.output.clear();
  EXPECT_EQ(client.pool.in_use() + client.receive_pool.in_use(), 0u);
}

TEST(H1ClientCodec, WritesHeadsFromTheParsedForm) {
  ClientHarness client;
  RequestHead& head = client.request_head;
  head.method = Method::kPost;
  head.method_text = "POST";
  head.path = "/p";
  head.query = "?q";
  head.authority = "up";
  head.body = {BodyKind::kKnown, 2};
  head.headers.add(HeaderName::kOther, "X-A", "1");
  head.headers.add(HeaderName::kContentLength, "999");
  head.headers.add(HeaderName::kTransferEncoding, "chunked");
  head.headers.add(HeaderName::kConnection, "X-A");
  head.headers.add(HeaderName::kUpgrade, "h2c");
  head.headers.add(HeaderName::kTe, "trailers");
  client.codec->open();
  client.codec->send_head(0, head, false);
  client.codec->send_body(0, slice_of(client.pool, "hi"), true);
  EXPECT_EQ(client.output_text(),
            "POST /p?q HTTP/1.1\r\nHost: up\r\nX-A: 1\r\nTE: trailers\r\nConnection: "
            "TE\r\nContent-Length: 2\r\n\r\nhi");
}

struct RequestCase {
  std::string_view name, method;
  BodyLength body;
  bool end;
  std::string_view want;
};

class H1ClientRequest : public ::testing::TestWithParam<RequestCase> {};
INSTANTIATE_TEST_SUITE_P(
    Framing, H1ClientRequest,
    ::testing::Values(
        RequestCase{"get", "GET", {}, true, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"},
        RequestCase{"empty_post",
                    "POST",
                    {},
                    true,
                    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"},
        RequestCase{"get_with_zero",
                    "GET",
                    {BodyKind::kKnown, 0},
                    true,
                    "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"},
        RequestCase{"known",
                    "PUT",
                    {BodyKind::kKnown, 2},
                    false,
                    "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"},
        RequestCase{
            "chunked",
            "PUT",
            {BodyKind::kChunked},
            false,
            "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"}),
    [](const auto& test) { return std::string(test.param.name); });

TEST_P(H1ClientRequest, IsFramedForTheUpstream) {
  const RequestCase& c = GetParam();
  ClientHarness client;
  RequestHead& head = client.request_head;
  head.method_text = c.method;
  head.method = method_of(c.method);
  head.path = "/";
  head.authority = "a";
  head.body = c.body;
  client.codec->open();
  client.codec->send_head(0, head, c.end);
  if (!c.end) client.codec->send_body(0, slice_of(client.pool, "hi"), true);
  EXPECT_EQ(client.output_text(), c.want);
}

TEST(H1ClientCodec, EarlyAnswerLosesTheConnection) {
  ClientHarness client;
  RequestHead& head = client.request_head;
  head.method = Method::kPost;
  head.method_text = "POST";
  head.path = "/";
  head.body = {BodyKind::kKnown, 10};
  client.codec->open();
  client.codec->send_head(0, head, false);
  client.feed("HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n");
  EXPECT_EQ(client.events.back(), "end");
  EXPECT_FALSE(client.codec->reusable());
  client.codec->send_body(0, slice_of(client.pool, "0123456789"), true);
  EXPECT_FALSE(client.codec->reusable());
}

TEST(H1ClientCodec, ShortRequestBodyLosesTheConnection) {
  ClientHarness client;
  RequestHead& head = client.request_head;
  head.method = Method::kPost;
  head.method_text = "POST";
  head.path = "/";
  head.body = {BodyKind::kKnown, 10};
  client.codec->open();
  client.codec->send_head(0, head, false);
  client.codec->send_body(0, slice_of(client.pool, "01234"), true);
  client.feed("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  EXPECT_FALSE(client.codec->reusable());
}

TEST(H1ClientCodec, PauseHoldsBodyAndItsEnd) {
  ClientHarness client;
  client.request();
  client.feed("HTTP/1.1 200 OK\r\n\r\nab");
  client.codec->pause(0);
  client.feed("cd");
  client.codec->on_end_of_input();
  EXPECT_EQ(client.events.back(), "body ab");
  EXPECT_EQ(client.codec->buffered(), 2u);
  client.codec->resume(0);
  EXPECT_EQ(client.text(), "head 200 1.1 body=until_close close\nbody abcd\nend\n");
}

TEST(H1ClientCodec, TunnelsAfterACorrect101) {
  EXPECT_EQ(
      client_events(
          "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n" +
              std::string(kAccept) + "\r\nframes",
          {.end_of_input = true, .upgrade = "websocket", .websocket_key = kKey}),
      "head 101 1.1 body=none Upgrade=WebSocket; Connection=Upgrade; "
      "Sec-WebSocket-Accept=s3pPLMBiTxaQ9kYGzzhZRbK+xOo=;\nbody frames\nend\n");
}

TEST(H1ClientCodec, HoldsWhatFollowsA101UntilTheTunnelIsThere) {
  ClientHarness client;
  client.tunnel = false;
  client.request("GET", "websocket", kKey);
  EXPECT_NE(client.output_text().find("Upgrade: websocket\r\nConnection: upgrade\r\n"),
            std::string::npos);
  client.feed("HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: upgrade\r\n" +
              std::string(kAccept) + "\r\nframes");
  EXPECT_EQ(client.events.size(), 1u);
  EXPECT_EQ(client.codec->buffered(), 6u);
  client.output.clear();
  client.codec->switch_to_tunnel(0);
  EXPECT_EQ(client.events.back(), "body frames");
  client.codec->send_body(0, slice_of(client.pool, "raw"), false);
  EXPECT_EQ(client.output_text(), "raw");
  EXPECT_FALSE(client.codec->reusable());
}

TEST(H1ClientCodec, ARefusedUpgradeIsAnOrdinaryResponse) {
  EXPECT_EQ(client_events("HTTP/1.1 403 No\r\nContent-Length: 1\r\n\r\nx",
                          {.upgrade = "websocket", .websocket_key = kKey}),
            "head 403 1.1 body=1 Content-Length=1;\nbody x\nend\nreusable\n");
}

TEST(H1ClientCodec, ResetLosesTheConnection) {
  ClientHarness client;
  client.request();
  client.codec->reset(0);
  EXPECT_FALSE(client.codec->available());
  client.feed("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  EXPECT_TRUE(client.events.empty());
}

}  // namespace
}  // namespace ringway::http::testing
