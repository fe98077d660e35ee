#include "dataplane/http/forwarding.h"

#include <gtest/gtest.h>

#include "dataplane/http/codec_testing.h"
#include "dataplane/http/hop_by_hop.h"

namespace ringway::http::testing {
namespace {

struct ForwardingCase {
  std::string_view name, fields;
  bool trusted;
  std::string_view want;
};

constexpr std::string_view kOurs =
    " X-Request-ID=id; X-Real-IP=10.0.0.7; X-Forwarded-For=10.0.0.7; X-Forwarded-Host=a; "
    "X-Forwarded-Port=443; "
    "X-Forwarded-Proto=https; X-Forwarded-Scheme=https; X-Scheme=https;";

class ForwardingTest : public ::testing::TestWithParam<ForwardingCase> {};
INSTANTIATE_TEST_SUITE_P(
    Fields, ForwardingTest,
    ::testing::Values(
        ForwardingCase{"nothing_sent", "", false, kOurs},
        ForwardingCase{"spoofed",
                       "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: "
                       "evil\r\nX-Forwarded-Port: 1\r\n"
                       "X-Real-IP: 1.1.1.1\r\nForwarded: for=1.1.1.1\r\nX-Scheme: "
                       "http\r\nX-Forwarded-Prefix: /x\r\n"
                       "X-Forwarded-Server: s\r\nX-Envoy-Internal: true\r\nX-Original-URI: "
                       "/y\r\nX-Original-Forwarded-For: 9\r\nProxy: z\r\n",
                       false,
                       " X-Request-ID=id; X-Real-IP=10.0.0.7; X-Forwarded-For=10.0.0.7; "
                       "X-Forwarded-Host=a; X-Forwarded-Port=443; "
                       "X-Forwarded-Proto=https; X-Forwarded-Scheme=https; X-Scheme=https; "
                       "X-Original-Forwarded-For=1.1.1.1;"},
        ForwardingCase{
            "trusted_appends",
            "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2\r\nX-Forwarded-Proto: "
            "http\r\nX-Forwarded-Host: pub\r\n"
            "X-Forwarded-Port: 80\r\nX-Real-IP: 1.1.1.1\r\nForwarded: "
            "for=1.1.1.1\r\nX-Forwarded-Prefix: /x\r\n",
            true,
            " Forwarded=for=1.1.1.1; X-Forwarded-Prefix=/x; X-Request-ID=id; X-Real-IP=1.1.1.1; "
            "X-Forwarded-For=1.1.1.1, 2.2.2.2, 10.0.0.7; X-Forwarded-Host=pub; "
            "X-Forwarded-Port=80; X-Forwarded-Proto=http; "
            "X-Forwarded-Scheme=http; X-Scheme=http; X-Original-Forwarded-For=1.1.1.1, 2.2.2.2;"},
        ForwardingCase{
            "names_that_are_nearly_those",
            "X-Forwarded: 1\r\nX-Env: 2\r\nX-Originals-Of: 3\r\nX-Ringway-A: 4\r\nx-ENVOY-b: 5\r\n"
            "Proxy-A: 6\r\nX: 7\r\nX-R: 8\r\n",
            false,
            " X-Forwarded=1; X-Env=2; X-Originals-Of=3; Proxy-A=6; X=7; X-R=8; X-Request-ID=id; "
            "X-Real-IP=10.0.0.7; "
            "X-Forwarded-For=10.0.0.7; X-Forwarded-Host=a; X-Forwarded-Port=443; "
            "X-Forwarded-Proto=https; X-Forwarded-Scheme=https; X-Scheme=https;"},
        ForwardingCase{"trusted_nothing_sent", "", true, kOurs},
        ForwardingCase{"good_request_id_is_kept", "X-Request-ID: abc-1\r\n", false,
                       " X-Request-ID=abc-1; X-Real-IP=10.0.0.7; X-Forwarded-For=10.0.0.7; "
                       "X-Forwarded-Host=a; X-Forwarded-Port=443; "
                       "X-Forwarded-Proto=https; X-Forwarded-Scheme=https; X-Scheme=https;"},
        ForwardingCase{"odd_request_id_is_not", "X-Request-ID: a b\"\r\n", false, kOurs}),
    [](const auto& test) { return std::string(test.param.name); });

TEST_P(ForwardingTest, SetsWhatIngressNginxSets) {
  const ForwardingCase& c = GetParam();
  ServerHarness server;
  server.answer = false;
  server.feed("GET / HTTP/1.1\r\nHost: a\r\n" + std::string(c.fields) + "\r\n");
  ASSERT_EQ(server.heads, 1u);
  remove_hop_by_hop(server.head);
  const Forwarding forwarding{.peer = "10.0.0.7",
                              .scheme = "https",
                              .host = server.head.authority,
                              .port = "443",
                              .request_id = "id",
                              .trusted = c.trusted};
  ASSERT_TRUE(set_forwarding_fields(server.head, forwarding, server.pool));
  EXPECT_EQ(describe(server.head.headers), " Host=a;" + std::string(c.want));
}

TEST(Forwarding, SaysWhenThereIsNoRoom) {
  ServerHarness server;
  RequestHead head;
  for (uint32_t i = 0; i < HeaderList::kHeadersMax - 3; ++i)
    head.headers.add(HeaderName::kOther, "x", "y");
  EXPECT_FALSE(set_forwarding_fields(head, {.peer = "p"}, server.pool));
}

TEST(HopByHop, FieldsOfTheConnectionStayOnIt) {
  struct {
    std::string_view fields, want;
  } const kCases[] = {
      {"Connection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nX-End: 2\r\n", " X-End=2;"},
      {"Connection: x-hop\r\nConnection: Via\r\nX-HOP: 1\r\nVia: v\r\n", ""},
      {"Proxy-Connection: keep-alive\r\nProxy-Authorization: x\r\nUpgrade: foo\r\n", ""},
      {"TE: trailers\r\nConnection: TE\r\n", " TE=trailers;"},
      {"TE: gzip;q=1, trailers\r\nTE: deflate\r\n", " TE=trailers;"},
      {"TE: gzip\r\n", ""},
      {"Transfer-Encoding: chunked\r\nConnection: Transfer-Encoding\r\n",
       " Transfer-Encoding=chunked;"},
      {"Content-Length: 1\r\nConnection: content-length\r\n", " Content-Length=1;"},
      {"Authorization: x\r\nCookie: y\r\nConnection: close, Cookie, Host, Authorization\r\n",
       " Authorization=x; Cookie=y;"},
      {"X-Forwarded-For: 1\r\nX-Real-IP: 2\r\nX-Request-ID: 3\r\nX-Forwarded-Client: 4\r\n"
       "Connection: X-Forwarded-For, X-Real-IP, X-Request-ID, X-Forwarded-Client\r\n",
       " X-Forwarded-For=1; X-Real-IP=2; X-Request-ID=3; X-Forwarded-Client=4;"},
  };
  for (const auto& c : kCases) {
    SCOPED_TRACE(c.fields);
    ServerHarness server;
    server.answer = false;
    server.feed("POST / HTTP/1.1\r\nHost: a\r\n" + std::string(c.fields) + "\r\n");
    ASSERT_EQ(server.heads, 1u);
    remove_hop_by_hop(server.head);
    EXPECT_EQ(describe(server.head.headers), " Host=a;" + std::string(c.want));
  }
}

TEST(HopByHop, EachIsSeenAlone) {
  for (const HeaderName id :
       {HeaderName::kConnection, HeaderName::kKeepAlive, HeaderName::kProxyConnection,
        HeaderName::kProxyAuthorization, HeaderName::kProxyAuthenticate, HeaderName::kHttp2Settings,
        HeaderName::kUpgrade, HeaderName::kTe}) {
    RequestHead head;
    head.headers.add(HeaderName::kVia, "v");
    head.headers.add(id, "x");
    remove_hop_by_hop(head);
    EXPECT_EQ(describe(head.headers), " Via=v;") << header_text(id);
  }
}

TEST(HopByHop, ResponsesToo) {
  ResponseHead head;
  head.status = 200;
  head.headers.add(HeaderName::kConnection, "close, X-Internal");
  head.headers.add(HeaderName::kOther, "X-Internal", "1");
  head.headers.add(HeaderName::kUpgrade, "h2c");
  head.headers.add(HeaderName::kSetCookie, "a=b");
  ResponseHead switching;
  switching.status = 101;
  switching.headers.add(HeaderName::kUpgrade, "websocket");
  switching.headers.add(HeaderName::kConnection, "upgrade");
  remove_hop_by_hop(head);
  remove_hop_by_hop(switching);
  EXPECT_EQ(describe(head.headers), " Set-Cookie=a=b;");
  EXPECT_EQ(describe(switching.headers), " Upgrade=websocket;");
}

}  // namespace
}  // namespace ringway::http::testing
