// How responses are framed for the client that asked.
#include <gtest/gtest.h>

#include "dataplane/http/codec_testing.h"

namespace ringway::http::testing {
namespace {

constexpr std::string_view kGet = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

struct ResponseCase {
  std::string_view name, request;
  uint16_t status;
  BodyLength body;
  bool end;
  std::string_view sent, want;
  bool closes;
};

class H1ServerResponse : public ::testing::TestWithParam<ResponseCase> {};
constexpr std::string_view kHead = "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n";
constexpr std::string_view kGet10 = "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
INSTANTIATE_TEST_SUITE_P(
    Framing, H1ServerResponse,
    ::testing::Values(
        ResponseCase{"known",
                     kGet,
                     200,
                     {BodyKind::kKnown, 2},
                     false,
                     "hi",
                     "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
                     false},
        ResponseCase{"chunked",
                     kGet,
                     200,
                     {BodyKind::kChunked},
                     false,
                     "hi",
                     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
                     false},
        ResponseCase{"until_close_becomes_chunked",
                     kGet,
                     200,
                     {BodyKind::kUntilClose},
                     false,
                     "hi",
                     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
                     false},
        ResponseCase{"http10_unknown_is_ended_by_closing",
                     kGet10,
                     200,
                     {BodyKind::kChunked},
                     false,
                     "hi",
                     "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhi",
                     true},
        ResponseCase{"http10_known_keeps",
                     kGet10,
                     200,
                     {BodyKind::kKnown, 2},
                     false,
                     "hi",
                     "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi",
                     false},
        ResponseCase{"none",
                     kGet,
                     404,
                     {},
                     true,
                     "",
                     "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
                     false},
        ResponseCase{"no_content",
                     kGet,
                     204,
                     {BodyKind::kKnown, 0},
                     true,
                     "",
                     "HTTP/1.1 204 No Content\r\n\r\n",
                     false},
        ResponseCase{"head_keeps_length",
                     kHead,
                     200,
                     {BodyKind::kKnown, 9},
                     true,
                     "",
                     "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n",
                     false},
        ResponseCase{"head_drops_body",
                     kHead,
                     200,
                     {BodyKind::kKnown, 2},
                     false,
                     "hi",
                     "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n",
                     false},
        ResponseCase{"head_chunked",
                     kHead,
                     200,
                     {BodyKind::kChunked},
                     true,
                     "",
                     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                     false},
        ResponseCase{"not_modified",
                     kGet,
                     304,
                     {BodyKind::kKnown, 7},
                     true,
                     "",
                     "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n",
                     false},
        ResponseCase{"too_long_is_cut",
                     kGet,
                     200,
                     {BodyKind::kKnown, 1},
                     false,
                     "hi",
                     "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nh",
                     true},
        ResponseCase{"too_short_closes",
                     kGet,
                     200,
                     {BodyKind::kKnown, 3},
                     false,
                     "hi",
                     "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi",
                     true}),
    [](const auto& test) { return std::string(test.param.name); });

TEST_P(H1ServerResponse, IsFramedForTheClient) {
  const ResponseCase& c = GetParam();
  ServerHarness server;
  server.answer = false;
  server.feed(c.request);
  ResponseHead response;
  response.status = c.status;
  response.body = c.body;
  response.headers.add(HeaderName::kTransferEncoding, "chunked");  // Never copied from the list.
  response.headers.add(HeaderName::kConnection, "close");
  server.codec->send_head(0, response, c.end, false);
  if (!c.end) server.codec->send_body(0, slice_of(server.pool, c.sent), true);
  EXPECT_EQ(server.output_text(), c.want);
  EXPECT_EQ(server.codec->wants_close(), c.closes);
  server.codec->finish(0);
  EXPECT_EQ(server.codec->wants_close(), c.closes);
}

TEST(H1ServerCodec, WritesTrailersBehindChunks) {
  ServerHarness server;
  server.answer = false;
  server.feed(kGet);
  ResponseHead response;
  response.status = 200;
  response.body.kind = BodyKind::kChunked;
  server.codec->send_head(0, response, false, false);
  server.codec->send_body(0, slice_of(server.pool, "0123456789abcdef"), false);
  HeaderList trailers;
  trailers.add(HeaderName::kGrpcStatus, "0");
  trailers.add(HeaderName::kContentLength, "5");
  server.codec->send_trailers(0, trailers);
  EXPECT_EQ(server.output_text(),
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: "
            "chunked\r\n\r\n10\r\n0123456789abcdef\r\n0\r\nGrpc-Status: 0\r\n\r\n");
  EXPECT_FALSE(server.codec->wants_close());
}

}  // namespace
}  // namespace ringway::http::testing
