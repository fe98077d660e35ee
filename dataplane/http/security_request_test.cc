// Rows of the table of attacks that concern the head of a request: each payload of the row, and
// more of its kind. Every payload is fed whole, byte by byte and at every cut.
#include <gtest/gtest.h>

#include "dataplane/http/codec_testing.h"

namespace ringway::http::testing {
namespace {

using namespace std::string_literals;

constexpr std::string_view kNext = "GET /next HTTP/1.1\r\nHost: a\r\n\r\n";

struct Refused {
  std::string text;
  std::string_view want;
};

void expect_refused(const std::vector<Refused>& cases) {
  for (const Refused& c : cases) {
    EXPECT_EQ(refusal(c.text), c.want) << c.text.substr(0, 300);
  }
}

// A request with the given fields behind Host.
std::string with_fields(std::string_view fields) {
  return "POST / HTTP/1.1\r\nHost: a\r\n" + std::string(fields) + "\r\n\r\n";
}

TEST(SecurityRow, R13_BareLfAndBareCr) {
  expect_refused({
      {"GET / HTTP/1.1\nHost: a\n\n", "bad_request_line 400"},
      {"GET / HTTP/1.1\r\nHost: a\n\r\n", "bad_header 400"},
      {"GET / HTTP/1.1\r\nHost: a\r\n\n", "bad_header 400"},
      {"GET / HTTP/1.1\nHost: a\r\n\r\n", "bad_request_line 400"},
      {with_fields("X: a\rb"), "bad_header 400"},
      {with_fields("X: a\r\rb"), "bad_header 400"},
      {with_fields("X: a\r"), "bad_header 400"},
      {with_fields("X\r: a"), "bad_header 400"},
      {with_fields("X: a\nY: b"), "bad_header 400"},
      {"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", "bad_version 400"},
      {"GET /\r HTTP/1.1\r\nHost: a\r\n\r\n", "bad_target 400"},
      {"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "bad_request_line 400"},
      {"\r\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", "bad_request_line 400"},
  });
}

TEST(SecurityRow, R14_ObsoleteFolding) {
  expect_refused({
      {with_fields("X: a\r\n b"), "bad_header 400"},
      {with_fields("X: a\r\n\tb"), "bad_header 400"},
      {with_fields("X:\r\n a"), "bad_header 400"},
      {with_fields("Transfer-Encoding:\r\n chunked"), "bad_header 400"},
      {with_fields("X: a\r\n \r\nY: b"), "bad_header 400"},
  });
}

TEST(SecurityRow, R15_BlankBeforeRequestAndBeforeFirstField) {
  EXPECT_EQ(server_events("\r\n" + std::string(kNext)),
            "head GET /next 1.1 at=a body=none Host=a;\nend\n");
  EXPECT_EQ(server_events("\r\n\r\n" + std::string(kNext) + "\r\n" + std::string(kNext)),
            "head GET /next 1.1 at=a body=none Host=a;\nend\nhead GET /next 1.1 at=a body=none "
            "Host=a;\nend\n");
  expect_refused({
      {"GET / HTTP/1.1\r\n Host: a\r\n\r\n", "bad_header 400"},
      {"GET / HTTP/1.1\r\n\tHost: a\r\n\r\n", "bad_header 400"},
      {" GET / HTTP/1.1\r\nHost: a\r\n\r\n", "bad_request_line 400"},
      {"\r\n GET / HTTP/1.1\r\nHost: a\r\n\r\n", "bad_request_line 400"},
      {"\r\n\r\n\r\n\r\n\r\n" + std::string(kNext), "bad_request_line 400"},
  });
}

TEST(SecurityRow, R16_OddFieldNames) {
  expect_refused({
      {with_fields(": x"), "bad_header 400"},
      {with_fields("a b: x"), "bad_header 400"},
      {with_fields("\xc3\xa9: x"), "bad_header 400"},
      {with_fields("no colon"), "bad_header 400"},
      {with_fields("nocolon"), "bad_header 400"},
      {with_fields("a\tb: x"), "bad_header 400"},
      {with_fields("a(b): x"), "bad_header 400"},
      {with_fields("a,b: x"), "bad_header 400"},
      {with_fields("\"a\": x"), "bad_header 400"},
      {with_fields("a/b: x"), "bad_header 400"},
      {with_fields("a\0b: x"s), "bad_header 400"},
      {with_fields("a\x7f: x"), "bad_header 400"},
      {with_fields("[a]: x"), "bad_header 400"},
      {with_fields("a@b: x"), "bad_header 400"},
      {with_fields("a{}: x"), "bad_header 400"},
      {with_fields("a\\: x"), "bad_header 400"},
      {with_fields("X-Very-Long-Name-Before-The-Bad\x01Byte: x"), "bad_header 400"},
  });
  EXPECT_EQ(refusal(with_fields("!#$%&'*+-.^`|~: x")), "");
}

TEST(SecurityRow, R17_ControlBytesInValues) {
  for (int c = 0; c < 256; ++c) {
    const bool allowed = c == '\t' || (c >= 0x20 && c != 0x7f);
    for (const size_t at : {0u, 5u, 20u, 40u, 70u}) {
      std::string value(80, 'v');
      value[at] = static_cast<char>(c);
      EXPECT_EQ(refusal(with_fields("X: y" + value)), allowed ? "" : "bad_header 400")
          << c << " at " << at;
    }
  }
}

TEST(SecurityRow, R18_Host) {
  const auto host = [](std::string_view lines) {
    return "GET / HTTP/1.1\r\n" + std::string(lines) + "\r\n";
  };
  expect_refused({
      {host(""), "bad_host 400"},
      {host("Host: a\r\nHost: a\r\n"), "bad_host 400"},
      {host("Host: a\r\nhost: b\r\n"), "bad_host 400"},
      {host("Host: a, b\r\n"), "bad_host 400"},
      {host("Host: a,b\r\n"), "bad_host 400"},
      {host("Host: a@b\r\n"), "bad_host 400"},
      {host("Host: a/b\r\n"), "bad_host 400"},
      {host("Host:\r\n"), "bad_host 400"},
      {host("Host: \t \r\n"), "bad_host 400"},
      {host("Host: a b\r\n"), "bad_host 400"},
      {host("Host: a:b\r\n"), "bad_host 400"},
      {host("Host: a:99999\r\n"), "bad_host 400"},
      {host("Host: a:80:80\r\n"), "bad_host 400"},
      {host("Host: a:-1\r\n"), "bad_host 400"},
      {host("Host: a?b\r\n"), "bad_host 400"},
      {host("Host: a#b\r\n"), "bad_host 400"},
      {host("Host: a%41\r\n"), "bad_host 400"},
      {host("Host: \"a\"\r\n"), "bad_host 400"},
      {host("Host: [::1\r\n"), "bad_host 400"},
      {host("Host: [::1]x\r\n"), "bad_host 400"},
      {host("Host: [::g]\r\n"), "bad_host 400"},
      {host("Host: []\r\n"), "bad_host 400"},
      {host("Host: :80\r\n"), "bad_host 400"},
      {host("Host: ::1\r\n"), "bad_host 400"},
      {host("Host: \xc3\xa9\r\n"), "bad_host 400"},
      {host("Host: a\\b\r\n"), "bad_host 400"},
      {"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", "bad_host 400"},
  });
  for (const std::string_view good : {"a", "a.b-c.example:8080", "127.0.0.1", "[2001:db8::1]:443",
                                      "[::ffff:10.0.0.1]", "a_b", "a:"}) {
    EXPECT_EQ(refusal(host("Host: " + std::string(good) + "\r\n")), "") << good;
  }
  EXPECT_EQ(refusal("GET / HTTP/1.0\r\n\r\n"), "");
}

TEST(SecurityRow, R19_AbsoluteFormOverridesHost) {
  EXPECT_EQ(server_events("GET http://b:81/x?y HTTP/1.1\r\nHost: a\r\n\r\n"),
            "head GET /x?y 1.1 scheme=http at=b:81 body=none Host=b:81;\nend\n");
  EXPECT_EQ(server_events("GET HTTPS://b HTTP/1.1\r\nX: 1\r\nHost: a\r\n\r\n"),
            "head GET / 1.1 scheme=https at=b body=none X=1; Host=b;\nend\n");
  EXPECT_EQ(server_events("GET http://b?q HTTP/1.1\r\nHost: a\r\n\r\n"),
            "head GET /?q 1.1 scheme=http at=b body=none Host=b;\nend\n");
  EXPECT_EQ(server_events("GET http://b/../x HTTP/1.0\r\n\r\n"),
            "head GET /x 1.0 scheme=http at=b body=none close\nend\ncloses\n");
  expect_refused({
      {"GET http://b/ HTTP/1.1\r\n\r\n", "bad_host 400"},
      {"GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", "bad_host 400"},
      {"GET http://u@b/ HTTP/1.1\r\nHost: a\r\n\r\n", "bad_host 400"},
      {"GET http://u:p@b/ HTTP/1.1\r\nHost: a\r\n\r\n", "bad_host 400"},
      {"GET http://b#f HTTP/1.1\r\nHost: a\r\n\r\n", "bad_target 400"},
      {"GET ftp://b/ HTTP/1.1\r\nHost: a\r\n\r\n", "bad_target 400"},
      {"GET http:/b/ HTTP/1.1\r\nHost: a\r\n\r\n", "bad_target 400"},
      {"GET http://b/ HTTP/1.1\r\nHost: a@b\r\n\r\n", "bad_host 400"},
      {"GET b:80 HTTP/1.1\r\nHost: b\r\n\r\n", "bad_target 400"},
  });
}

TEST(SecurityRow, R20_RequestLine) {
  expect_refused({
      {"GET\t/\tHTTP/1.1\r\nHost: a\r\n\r\n", "bad_request_line 400"},
      {"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", "bad_target 400"},
      {"GET /  HTTP/1.1\r\nHost: a\r\n\r\n", "bad_version 400"},
      {"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", "bad_version 400"},
      {"GET / HTTP/1.01\r\nHost: a\r\n\r\n", "bad_version 400"},
      {"GET / HTTP/01.1\r\nHost: a\r\n\r\n", "bad_version 400"},
      {"GET / HTTP/1.\r\nHost: a\r\n\r\n", "bad_version 400"},
      {"GET / HTTP/11\r\nHost: a\r\n\r\n", "bad_version 400"},
      {"GET / http/1.1\r\nHost: a\r\n\r\n", "bad_version 400"},
      {"GET / ICY/1.1\r\nHost: a\r\n\r\n", "bad_version 400"},
      {"GET / \r\nHost: a\r\n\r\n", "bad_version 400"},
      {"GET /\r\n", "bad_request_line 400"},
      {"GET\r\n", "bad_request_line 400"},
      {"GET / HTTP/1.2\r\nHost: a\r\n\r\n", "unsupported_version 505"},
      {"GET / HTTP/2.0\r\nHost: a\r\n\r\n", "unsupported_version 505"},
      {"GET / HTTP/0.9\r\nHost: a\r\n\r\n", "unsupported_version 505"},
      {"GET / HTTP/3.0\r\nHost: a\r\n\r\n", "unsupported_version 505"},
      {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "unsupported_version 505"},
      {"GET /#frag HTTP/1.1\r\nHost: a\r\n\r\n", "bad_target 400"},
      {"GET /?q#frag HTTP/1.1\r\nHost: a\r\n\r\n", "bad_target 400"},
      {"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", "bad_version 400"},
      {"GET /a\x01 HTTP/1.1\r\nHost: a\r\n\r\n", "bad_target 400"},
      {"GET /a\x7f HTTP/1.1\r\nHost: a\r\n\r\n", "bad_target 400"},
      {"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", "bad_target 400"},
      {"GET /?\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", "bad_target 400"},
      {"GET /a\0 HTTP/1.1\r\nHost: a\r\n\r\n"s, "bad_target 400"},
      {"GET * HTTP/1.1\r\nHost: a\r\n\r\n", "bad_target 400"},
      {"GET ?q HTTP/1.1\r\nHost: a\r\n\r\n", "bad_target 400"},
      {"G(T / HTTP/1.1\r\nHost: a\r\n\r\n", "bad_method 400"},
      {"G\x80T / HTTP/1.1\r\nHost: a\r\n\r\n", "bad_method 400"},
      {"\x16\x03\x01\x02", "bad_request_line 400"},
      {"{\"a\":1}\r\n", "bad_request_line 400"},
  });
  EXPECT_EQ(refusal("PROPFIND / HTTP/1.1\r\nHost: a\r\n\r\n"), "");
}

TEST(SecurityRow, R21_ConnectTraceOptions) {
  expect_refused({
      {"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", "method_not_allowed 405"},
      {"CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", "method_not_allowed 405"},
      {"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", "method_not_allowed 405"},
  });
  EXPECT_EQ(server_events("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"),
            "head OPTIONS * 1.1 at=a body=none asterisk Host=a;\nend\n");
  EXPECT_EQ(server_events("OPTIONS http://b HTTP/1.1\r\nHost: a\r\n\r\n"),
            "head OPTIONS * 1.1 scheme=http at=b body=none asterisk Host=b;\nend\n");
}

TEST(SecurityRow, R22_Underscores) {
  EXPECT_EQ(server_events(with_fields("X_Forwarded_For: 1\r\nContent_Length: "
                                      "5\r\nA_Very_Long_Field_Name_Indeed: 2\r\nX-Fine: a_b")),
            "head POST / 1.1 at=a body=none underscores=3 Host=a; X-Fine=a_b;\nend\n");
  Limits strict;
  strict.reject_underscores = true;
  EXPECT_EQ(refusal(with_fields("X_Forwarded_For: 1"), {.limits = strict}),
            "underscore_header 400");
  EXPECT_EQ(refusal(with_fields("X-Forwarded-For: a_b"), {.limits = strict}), "");
}

TEST(SecurityRow, R24_PathConfusion) {
  const auto path = [](std::string_view target) {
    const std::string events =
        server_events("GET " + std::string(target) + " HTTP/1.1\r\nHost: a\r\n\r\n");
    if (events.starts_with("head GET ")) return events.substr(9, events.find(' ', 9) - 9);
    return events.substr(0, events.find('\n'));
  };
  EXPECT_EQ(path("/a/../admin"), "/admin");
  EXPECT_EQ(path("/%2e%2e/"), "/");
  EXPECT_EQ(path("/a%2fb"), "/a%2Fb");
  EXPECT_EQ(path("//admin"), "/admin");
  EXPECT_EQ(path("/admin;x"), "/admin;x");
  EXPECT_EQ(path("/%5c"), "/%5C");
  EXPECT_EQ(path("/%C0%AF"), "/%C0%AF");
  EXPECT_EQ(path("/a/../b?x=/../y"), "/b?x=/../y");
  EXPECT_EQ(path("/\\"), "error bad_target 400");
  EXPECT_EQ(path("/%00"), "error bad_target 400");
  EXPECT_EQ(path("/%zz"), "error bad_target 400");
}

TEST(SecurityRow, R26_UpgradeToH2cIsIgnored) {
  for (const std::string_view fields :
       {"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\nConnection: Upgrade, HTTP2-Settings",
        "Upgrade: h2c\r\nConnection: upgrade", "Upgrade: HTTP/2.0\r\nConnection: upgrade",
        "Upgrade: websocket, h2c\r\nConnection: upgrade",
        "Upgrade: websocket\r\nUpgrade: h2c\r\nConnection: upgrade",
        "Upgrade: foo\r\nConnection: close"}) {
    ServerHarness server;
    server.answer = false;
    server.feed(with_fields(fields));
    ASSERT_EQ(server.heads, 1u) << fields;
    EXPECT_FALSE(server.head.upgrade) << fields;
    io::SliceQueue upstream;
    ClientHarness client;
    client.codec->open();
    client.codec->send_head(0, server.head, true);
    EXPECT_EQ(client.output_text(), "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
        << fields;
  }
}

TEST(SecurityRow, R27_WebsocketRequests) {
  const auto request = [](std::string_view fields) {
    return "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n" + std::string(fields) + "\r\n";
  };
  EXPECT_EQ(refusal(request("Upgrade: websocket\r\n")), "bad_upgrade 400");
  EXPECT_EQ(
      refusal(request("Upgrade: websocket\r\nSec-WebSocket-Key: a\r\nSec-WebSocket-Key: b\r\n")),
      "bad_upgrade 400");
  EXPECT_EQ(refusal(request("Upgrade: websocket\r\nSec-WebSocket-Key:\r\n")), "bad_upgrade 400");
  // Of a request with a body, what follows the head is the body.
  EXPECT_EQ(
      server_events(request("Upgrade: websocket\r\nSec-WebSocket-Key: k\r\nContent-Length: 3\r\n") +
                    "abc"),
      "head GET /ws 1.1 at=a body=3 Host=a; Connection=Upgrade; Upgrade=websocket; "
      "Sec-WebSocket-Key=k; "
      "Content-Length=3;\nbody abc\nend\n");

  // Early bytes behind an upgrade that is refused are no request.
  ServerHarness server;
  server.answer = false;
  server.feed(request("Upgrade: websocket\r\nSec-WebSocket-Key: k\r\n") +
              "GET /admin HTTP/1.1\r\nHost: a\r\n\r\n");
  server.respond(426, "no");
  EXPECT_NE(server.output_text().find("Connection: close\r\n"), std::string::npos);
  server.codec->finish(0);
  EXPECT_EQ(server.heads, 1u);
  EXPECT_TRUE(server.codec->wants_close());
}

TEST(SecurityRow, R35_Limits) {
  const std::string big_target = "/" + std::string(20000, 'x');
  std::string many;
  for (int i = 0; i < 101; ++i) many += "X: y\r\n";
  std::string total;
  for (int i = 0; i < 10; ++i) total += "X: " + std::string(9000, 'y') + "\r\n";
  expect_refused({
      {"GET " + big_target + " HTTP/1.1\r\nHost: a\r\n\r\n", "uri_too_long 414"},
      {"GET " + big_target, "uri_too_long 414"},
      {std::string(20000, 'G'), "uri_too_long 414"},
      {with_fields("X: " + std::string(20000, 'y')), "headers_too_large 431"},
      {with_fields("X: " + std::string(1 << 20, 'y')), "headers_too_large 431"},
      {with_fields("X" + std::string(20000, 'y')), "headers_too_large 431"},
      {with_fields("X:" + std::string(20000, ' ')), "headers_too_large 431"},
      {with_fields(many + "Y: z"), "headers_too_large 431"},
      {with_fields(total + "Y: z"), "headers_too_large 431"},
      // As an attacker sends it: without end.
      {"GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(1 << 18, 'y'), "headers_too_large 431"},
  });
  std::string fits = "GET /" + std::string(8000, 'x') + " HTTP/1.1\r\nHost: a\r\n";
  for (int i = 0; i < 99; ++i) fits += "X: y\r\n";
  EXPECT_EQ(refusal(fits + "\r\n"), "");  // RFC 9112 section 3: at least 8000 octets.

  Limits exact;
  exact.request_line_bytes_max = 14;
  exact.header_bytes_max = 10;
  exact.headers_bytes_max = 9 + 12;
  exact.headers_max = 2;
  EXPECT_EQ(refusal("GET / HTTP/1.1\r\nHost: a\r\nX: 4567890\r\n\r\n", {.limits = exact}), "");
  EXPECT_EQ(refusal("GET /x HTTP/1.1\r\nHost: a\r\n\r\n", {.limits = exact}), "uri_too_long 414");
  EXPECT_EQ(refusal("GET / HTTP/1.1\r\nHost: a\r\nX: 45678901\r\n\r\n", {.limits = exact}),
            "headers_too_large 431");
  EXPECT_EQ(refusal("GET / HTTP/1.1\r\nHost: aa\r\nX: 4567890\r\n\r\n", {.limits = exact}),
            "headers_too_large 431");
  EXPECT_EQ(refusal("GET / HTTP/1.1\r\nHost: a\r\nX: \r\nY:\r\nZ:\r\n\r\n", {.limits = exact}),
            "headers_too_large 431");
}

}  // namespace
}  // namespace ringway::http::testing
