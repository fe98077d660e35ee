// Rows of the table of attacks that concern the length of bodies, forwarding and responses. Every
// payload is fed whole, byte by byte and at every cut.
#include <gtest/gtest.h>

#include "dataplane/http/codec_testing.h"
#include "dataplane/http/forwarding.h"
#include "dataplane/http/hop_by_hop.h"

namespace ringway::http::testing {
namespace {

using namespace std::string_literals;

std::string post(std::string_view fields, std::string_view body = "") {
  return "POST / HTTP/1.1\r\nHost: a\r\n" + std::string(fields) + "\r\n" + std::string(body);
}

std::string chunked(std::string_view body) { return post("Transfer-Encoding: chunked\r\n", body); }

void expect_refused(std::string_view want, const std::vector<std::string>& texts) {
  for (const std::string& text : texts) EXPECT_EQ(refusal(text), want) << text;
}

TEST(SecurityRow, R01_ContentLengthAndTransferEncoding) {
  expect_refused("bad_transfer_encoding 400",
                 {post("Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\nGET /x"),
                  post("Transfer-Encoding: chunked\r\nContent-Length: 6\r\n", "0\r\n\r\nGET /x"),
                  post("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n"),
                  post("Content-Length: x\r\nTransfer-Encoding: chunked\r\n"),
                  post("content-length: 6\r\nTRANSFER-ENCODING: CHUNKED\r\n")});
}

TEST(SecurityRow, R02_TransferEncodingVariants) {
  expect_refused(
      "bad_transfer_encoding 400",
      {post("Transfer-Encoding: chunked, cow\r\n"), post("Transfer-Encoding: \"chunked\"\r\n"),
       post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
       post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"),
       post("Transfer-Encoding: ,chunked\r\n"), post("Transfer-Encoding: chunked,\r\n"),
       post("Transfer-Encoding:\r\n"), post("Transfer-Encoding: chunked, chunked\r\n"),
       post("Transfer-Encoding: chunked;q=1\r\n"), post("Transfer-Encoding: chun ked\r\n"),
       post("Transfer-Encoding: 'chunked' x\r\n"),
       post("Transfer-Encoding: chunked\r\nTransfer-Encoding:\r\n")});
  expect_refused("unknown_transfer_encoding 501",
                 {post("Transfer-Encoding: xchunked\r\n"), post("Transfer-Encoding: identity\r\n"),
                  post("Transfer-Encoding: cow\r\n"), post("Transfer-Encoding: gzip, chunked\r\n"),
                  post("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n"),
                  post("Transfer-Encoding: chunke\r\n")});
  EXPECT_EQ(refusal(post("Transfer-Encoding: \t cHuNkEd \t\r\n", "0\r\n\r\n")), "");
}

TEST(SecurityRow, R03_TransferEncodingWithNoise) {
  expect_refused(
      "bad_header 400",
      {post("Transfer-Encoding : chunked\r\n"), post(" Transfer-Encoding: chunked\r\n"),
       post("Transfer-Encoding\t: chunked\r\n"),
       post("Transfer-Encoding: \x0b"
            "chunked\r\n"),
       post("Transfer-Encoding: chunked\0\r\n"s), post("Transfer-Encoding: chunked\x0c\r\n"),
       post("Transfer-Encoding\0: chunked\r\n"s), post("X: y\rTransfer-Encoding: chunked\r\n"),
       post("Transfer-Encoding\r\n: chunked\r\n")});
  EXPECT_EQ(server_events(post("Transfer_Encoding: chunked\r\n")),
            "head POST / 1.1 at=a body=none underscores=1 Host=a;\nend\n");
  EXPECT_EQ(refusal(post("Transfer-Encoding: \xa0"
                         "chunked\r\n")),
            "bad_transfer_encoding 400");
}

TEST(SecurityRow, R04_TransferEncodingInHttp10) {
  expect_refused("bad_transfer_encoding 400",
                 {"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                  "POST / HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: "
                  "chunked\r\nContent-Length: 5\r\n\r\n"});
}

TEST(SecurityRow, R05_ContentLengthGarbage) {
  for (const std::string_view value :
       {"", "+5", "-0", "-1", "0x5", "5 5", "1_0", "5,", ",5", "99999999999999999999",
        "9223372036854775808", "18446744073709551617", "5;", "5.0", "1e1", "five", "\"5\"", "5\t5",
        "\xd9\xa5"}) {
    EXPECT_EQ(refusal(post("Content-Length: " + std::string(value) + "\r\n", "hello")),
              "bad_content_length 400")
        << value;
  }
  expect_refused("bad_header 400",
                 {post("Content-Length: 5\0\r\n"s), post("Content-Length : 5\r\n"),
                  post("Content-Length: 5\x0b\r\n")});
  EXPECT_EQ(server_events(post("Content-Length: \t005 \r\n", "hello")),
            "head POST / 1.1 at=a body=5 Host=a; Content-Length=005;\nbody hello\nend\n");
}

TEST(SecurityRow, R06_ContentLengthTwice) {
  expect_refused(
      "bad_content_length 400",
      {post("Content-Length: 5\r\nContent-Length: 6\r\n"),
       post("Content-Length: 5\r\nX: y\r\ncontent-length: 5\r\n"), post("Content-Length: 5, 6\r\n"),
       post("Content-Length: 5, 5\r\n"), post("Content-Length: 5,5\r\n"),
       post("Content-Length: 0\r\nContent-Length:\r\n")});
}

TEST(SecurityRow, R07_BodyOfAnyMethodIsRead) {
  for (const std::string_view method : {"GET", "HEAD", "DELETE", "OPTIONS"}) {
    EXPECT_EQ(
        server_events(
            std::string(method) +
            " / HTTP/1.1\r\nHost: a\r\nContent-Length: 24\r\n\r\nGET /admin HTTP/1.1\r\nX: "
            "GET /b HTTP/1.1\r\nHost: b\r\n\r\n"),
        "head " + std::string(method) +
            " / 1.1 at=a body=24 Host=a; Content-Length=24;\nbody GET /admin HTTP/1.1\r\nX: \nend\n"
            "head GET /b 1.1 at=b body=none Host=b;\nend\n");
  }
  // Answered before it was read: never parsed as a request.
  ServerHarness server;
  server.answer = false;
  server.feed("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 30\r\n\r\n");
  server.respond(200, "x");
  server.codec->finish(0);
  server.feed("GET /admin HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(server.heads, 1u);
  EXPECT_TRUE(server.codec->wants_close());
}

TEST(SecurityRow, R08_Expectation) {
  expect_refused(
      "unknown_expectation 417",
      {post("Expect: y 100-continue\r\nContent-Length: 1\r\n"), post("Expect: 100-continue, x\r\n"),
       post("Expect: x=y\r\n"), post("Expect:\r\n"),
       post("Expect: 100-continue\r\nExpect: 100-continue\r\n"), post("Expect: 100\r\n")});
  EXPECT_EQ(server_events(post("Expect: 100-continue\r\nContent-Length: 1\r\n", "x")),
            "head POST / 1.1 at=a body=1 expect Host=a; Expect=100-continue; "
            "Content-Length=1;\nbody x\nend\n");
  // Nothing to wait for: the expectation is not passed on.
  EXPECT_EQ(server_events(post("Expect: 100-continue\r\n")),
            "head POST / 1.1 at=a body=none Host=a;\nend\n");
}

TEST(SecurityRow, R09_ChunkSize) {
  expect_refused("bad_chunk 400",
                 {chunked("0x5\r\nhello\r\n0\r\n\r\n"), chunked("+5\r\nhello\r\n0\r\n\r\n"),
                  chunked("-1\r\n"), chunked(" 5\r\nhello\r\n"), chunked("5 \r\nhello\r\n"),
                  chunked("5\t\r\nhello\r\n"), chunked("5_\r\nhello\r\n"), chunked("\r\n"),
                  chunked(";a\r\n"), chunked("00000000000000005\r\nhello\r\n"),
                  chunked("10000000000000005\r\nhello\r\n"), chunked("ffffffffffffffff\r\n"),
                  chunked("8000000000000000\r\n"), chunked("g\r\n"), chunked("5.\r\nhello"),
                  chunked("5,5\r\nhello"), chunked("0 \r\n\r\n"), chunked("\0005\r\n"s)});
  EXPECT_EQ(refusal(chunked("0000000000000005\r\nhello\r\n0000\r\n\r\n")), "");
}

TEST(SecurityRow, R10_ChunkExtensions) {
  expect_refused(
      "bad_chunk 400",
      {chunked("5;\nhello\r\n0\r\n\r\n"), chunked("2;\nxx\r\n45\r\n0\r\n\r\n"),
       chunked("5\r\r\nhello\r\n"), chunked("5;\0a\r\nhello\r\n"s), chunked("5\nhello\r\n"),
       chunked("5;a\rb\r\nhello\r\n"), chunked("5;a=\"\n\"\r\nhello\r\n"),
       chunked("5;\x7f\r\nhello\r\n"), chunked("5\rhello\r\n"), chunked("0;\n\r\n"),
       chunked("0\n\r\n"), chunked("5;" + std::string(5000, 'x') + "\r\nhello\r\n")});
  std::string many;
  for (int i = 0; i < 200; ++i) many += "1;" + std::string(30, 'e') + "\r\nx\r\n";
  expect_refused("bad_chunk 400", {chunked(many + "0\r\n\r\n")});  // 6000 bytes in sum.
  EXPECT_EQ(
      server_events(chunked("5;a=b;c=\"d e\"\r\nhello\r\n0;x\r\n\r\n")),
      "head POST / 1.1 at=a body=chunked Host=a; Transfer-Encoding=chunked;\nbody hello\nend\n");
}

TEST(SecurityRow, R11_ChunkDataEnd) {
  expect_refused("bad_chunk 400",
                 {chunked("5\r\nhello!!\r\n0\r\n\r\n"), chunked("5\r\nhelloXX0\r\n\r\n"),
                  chunked("5\r\nhello\n0\r\n\r\n"), chunked("5\r\nhello\r0\r\n\r\n"),
                  chunked("5\r\nhello\rX0\r\n\r\n"), chunked("5\r\nhello0\r\n\r\n"),
                  chunked("5\r\nhello\n\r0\r\n\r\n"), chunked("5\r\nhello\r\r\n0\r\n\r\n")});
}

TEST(SecurityRow, R12_Trailers) {
  EXPECT_EQ(server_events(chunked("0\r\nContent-Length: 9\r\nHost: b\r\nTE: x\r\nAuthorization: "
                                  "y\r\nTransfer-Encoding: chunked\r\n"
                                  "Cookie: c\r\nX-Forwarded-For: 1\r\nContent-Type: t\r\nX_Y: "
                                  "1\r\nRange: 2\r\nX-Ok: 1\r\n\r\n")),
            "head POST / 1.1 at=a body=chunked Host=a; Transfer-Encoding=chunked;\ntrailers "
            "X-Ok=1;\nend\n");
  EXPECT_EQ(server_events(chunked("0\r\nHost: b\r\n\r\n")),
            "head POST / 1.1 at=a body=chunked Host=a; Transfer-Encoding=chunked;\nend\n");
  expect_refused("bad_trailers 400",
                 {chunked("0\r\n: x\r\n\r\n"), chunked("0\r\nX : y\r\n\r\n"),
                  chunked("0\r\nX: y\n\r\n"), chunked("0\r\n X: y\r\n\r\n"),
                  chunked("0\r\nX: a\r\n b\r\n\r\n"), chunked("0\r\nX: a\0\r\n\r\n"s),
                  chunked("0\r\n\n"), chunked("0\r\nGET / HTTP/1.1\r\n\r\n")});
  expect_refused("headers_too_large 431",
                 {chunked("0\r\nX: " + std::string(9000, 'y') + "\r\n\r\n"),
                  chunked("0\r\nX: " + std::string(9000, 'y'))});
}

TEST(SecurityRow, R23_ForwardedSpoofing) {
  ServerHarness server;
  server.answer = false;
  server.feed(
      "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\nForwarded: "
      "for=6.6.6.6\r\n"
      "X-Forwarded-Proto: https\r\nX-Ringway-Route: x\r\nx-envoy-external-address: 6.6.6.6\r\n"
      "Connection: X-Forwarded-For, X-Real-IP, X-Forwarded-Proto, X-Request-ID\r\n\r\n");
  remove_hop_by_hop(server.head);
  ASSERT_TRUE(set_forwarding_fields(
      server.head,
      {.peer = "10.0.0.7", .scheme = "http", .host = "a", .port = "80", .request_id = "id"},
      server.pool));
  EXPECT_EQ(describe(server.head.headers),
            " Host=a; X-Request-ID=id; X-Real-IP=10.0.0.7; X-Forwarded-For=10.0.0.7; "
            "X-Forwarded-Host=a; X-Forwarded-Port=80; "
            "X-Forwarded-Proto=http; X-Forwarded-Scheme=http; X-Scheme=http; "
            "X-Original-Forwarded-For=6.6.6.6;");
}

TEST(SecurityRow, R25_HopByHop) {
  ServerHarness server;
  server.answer = false;
  server.feed(
      "GET / HTTP/1.1\r\nHost: a\r\nCookie: c\r\nAuthorization: z\r\nX-Hop: h\r\nTE: gzip, "
      "trailers\r\n"
      "Connection: close, Cookie, Host, Authorization, X-Hop\r\n\r\n");
  remove_hop_by_hop(server.head);
  EXPECT_EQ(describe(server.head.headers), " Host=a; Cookie=c; Authorization=z; TE=trailers;");
  std::string many = "Connection: a";
  for (int i = 0; i < 40; ++i) many += ",b";
  EXPECT_EQ(refusal(post(many + "\r\n")), "bad_header 400");
}

TEST(SecurityRow, R27_OnlyACorrect101Switches) {
  constexpr std::string_view kGood = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
  const ClientRun asked{.upgrade = "websocket", .websocket_key = "dGhlIHNhbXBsZSBub25jZQ=="};
  const auto switching = [](std::string_view fields) {
    return "HTTP/1.1 101 X\r\n" + std::string(fields) + "\r\nraw";
  };
  const std::string good(kGood);
  for (const std::string& response :
       {switching(""), switching("Upgrade: websocket\r\nConnection: upgrade\r\n"),
        switching("Upgrade: websocket\r\n" + good), switching("Connection: upgrade\r\n" + good),
        switching("Upgrade: h2c\r\nConnection: upgrade\r\n" + good),
        switching("Upgrade: websocket, foo\r\nConnection: upgrade\r\n" + good),
        switching("Upgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Accept: "
                  "s3pPLMBiTxaQ9kYGzzhZRbK+xOO=\r\n"),
        switching("Upgrade: websocket\r\nConnection: upgrade\r\n" + good + good),
        "HTTP/1.0 101 X\r\nUpgrade: websocket\r\nConnection: upgrade\r\n" + good + "\r\n"}) {
    EXPECT_EQ(client_events(response, asked), "error bad_upgrade\n") << response;
  }
  EXPECT_EQ(client_events(switching("Upgrade: websocket\r\nConnection: upgrade\r\n" + good)),
            "error bad_upgrade\n");  // Not asked for.
  // Envoy's CVE-2024-23326: 200 is no tunnel.
  EXPECT_EQ(client_events("HTTP/1.1 200 OK\r\nUpgrade: websocket\r\nConnection: upgrade\r\n" +
                              good + "Content-Length: 1\r\n\r\nx",
                          asked),
            "head 200 1.1 body=1 Upgrade=websocket; Connection=upgrade; "
            "Sec-WebSocket-Accept=s3pPLMBiTxaQ9kYGzzhZRbK+xOo=; "
            "Content-Length=1;\nbody x\nend\nreusable\n");
}

TEST(SecurityRow, R28_MalformedResponses) {
  const auto response = [](std::string_view fields) {
    return "HTTP/1.1 200 OK\r\n" + std::string(fields) + "\r\n";
  };
  struct {
    std::string text;
    std::string_view want;
  } const kCases[] = {
      {response("Content-Length: 1\r\nContent-Length: 2\r\n"), "bad_content_length"},
      {response("Content-Length: 1\r\nContent-Length: 1\r\n"), "bad_content_length"},
      {response("Content-Length: 1, 1\r\n"), "bad_content_length"},
      {response("Content-Length: +1\r\n"), "bad_content_length"},
      {response("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"), "bad_transfer_encoding"},
      {response("Transfer-Encoding: chunked, foo\r\n"), "bad_transfer_encoding"},
      {response("Transfer-Encoding: gzip\r\n"), "unknown_transfer_encoding"},
      {"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "bad_transfer_encoding"},
      {"HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n", "bad_response"},
      {"HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n", "bad_response"},
      {"HTTP/1.1 100 No\r\nContent-Length: 5\r\n\r\n", "bad_response"},
      {response("X: a\0b\r\n"s), "bad_response"},
      {response("X: a\rb\r\n"), "bad_response"},
      {response("X: a\nSet-Cookie: b\r\n"), "bad_response"},
      {response("X: a\r\n b\r\n"), "bad_response"},
      {response("X : a\r\n"), "bad_response"},
      {response(": a\r\n"), "bad_response"},
      {response("nonsense\r\n"), "bad_response"},
      {response("X: " + std::string(20000, 'y') + "\r\n"), "headers_too_large"},
      {"HTTP/1.1 200 O\0K\r\n\r\n"s, "bad_status_line"},
      {"HTTP/1.1 200 OK\n\n", "bad_status_line"},
      {"HTTP/1.1 2000 OK\r\n\r\n", "bad_status_line"},
      {"HTTP/1.1 20 OK\r\n\r\n", "bad_status_line"},
      {"HTTP/1.1 099 OK\r\n\r\n", "bad_status_line"},
      {"HTTP/1.1 600 OK\r\n\r\n", "bad_status_line"},
      {"HTTP/1.1  200 OK\r\n\r\n", "bad_status_line"},
      {"HTTP/2.0 200 OK\r\n\r\n", "bad_status_line"},
      {"HTTP/1.1\t200 OK\r\n\r\n", "bad_status_line"},
      {"http/1.1 200 OK\r\n\r\n", "bad_status_line"},
      {"ICY 200 OK\r\n\r\n", "bad_status_line"},
      {"\r\nHTTP/1.1 200 OK\r\n\r\n", "bad_status_line"},
      {response("Transfer-Encoding: chunked\r\n") + "x\r\n", "bad_chunk"},
  };
  for (const auto& c : kCases) {
    const std::string events = client_events(c.text);
    const size_t at = events.find("error ");
    ASSERT_NE(at, std::string::npos) << c.text << events;
    EXPECT_EQ(events.substr(at), "error " + std::string(c.want) + "\n") << c.text;
  }
}

TEST(SecurityRow, R28_BytesBehindTheEndAreNeverAResponse) {
  constexpr std::string_view kSecond = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
  struct {
    std::string_view method, text;
  } const kCases[] = {{"GET", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"},
                      {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
                      {"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
                      {"GET", "HTTP/1.1 204 No\r\n\r\n"},
                      {"GET", "HTTP/1.1 304 No\r\nContent-Length: 4\r\n\r\n"},
                      {"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"}};
  for (const auto& c : kCases) {
    SCOPED_TRACE(c.text);
    ClientHarness together;
    together.request(c.method);
    together.feed(std::string(c.text) + std::string(kSecond));
    EXPECT_FALSE(together.reusable_at_end);  // Known inside the event already.
    EXPECT_TRUE(together.codec->stray_bytes());

    ClientHarness later;
    later.request(c.method);
    later.feed(c.text);
    EXPECT_TRUE(later.codec->reusable());
    later.feed("H");
    EXPECT_FALSE(later.codec->reusable());
    EXPECT_TRUE(later.codec->stray_bytes());
  }
}

TEST(SecurityRow, R28_AnswerBeforeTheRequestIsRefused) {
  ClientHarness client;
  client.feed("HTTP/1.1 408 Timeout\r\n\r\n");
  EXPECT_FALSE(client.codec->available());

  ClientHarness opened;
  opened.codec->open();
  opened.feed("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  EXPECT_EQ(opened.error, Error::kBadResponse);
}

TEST(SecurityRow, R28_InterimFloodAndShortBody) {
  std::string flood;
  for (int i = 0; i < 17; ++i) flood += "HTTP/1.1 102 Wait\r\n\r\n";
  const std::string events = client_events(flood);
  EXPECT_TRUE(events.ends_with("interim 102 1.1 body=none\nerror too_many_interim\n")) << events;
  for (const std::string_view text :
       {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n"}) {
    const std::string truncated = client_events(text, {.end_of_input = true});
    EXPECT_TRUE(truncated.ends_with("error truncated\n")) << truncated;
  }
}

}  // namespace
}  // namespace ringway::http::testing
