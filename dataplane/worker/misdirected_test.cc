// Row 37 of the table of attacks: a request for another host than its connection was made for.
#include <gtest/gtest.h>

#include "dataplane/http/h2_test_client.h"
#include "dataplane/tls/test_keys.h"
#include "dataplane/worker/tls_dial.h"

namespace ringway::worker {
namespace {

using tls::test::KeyKind;
using tls::test::make_certificate;

// a.test and b.test have certificates of their own, c.test and d.test share one, *.e.test has one
// that names f.test too, g.test has none.
StageOptions hosts() {
  StageOptions options;
  options.kind = config::ListenerKind::kHttps;
  const auto of_a = make_certificate(KeyKind::kP256, {"a.test"});
  const auto of_b = make_certificate(KeyKind::kP256, {"b.test"});
  const auto of_cd = make_certificate(KeyKind::kP256, {"c.test", "d.test"});
  const auto of_e = make_certificate(KeyKind::kP256, {"*.e.test", "f.test"});
  const auto of_f = make_certificate(KeyKind::kP256, {"f.test"});
  options.tls = tls::ServerContext::make({.alpn = {"h2", "http/1.1"}},
                                         {{"a.test", of_a},
                                          {"b.test", of_b},
                                          {"c.test", of_cd},
                                          {"d.test", of_cd},
                                          {"*.e.test", of_e},
                                          {"f.test", of_f}},
                                         make_certificate(KeyKind::kP256, {"fallback.test"}));
  return options;
}

struct Case {
  const char* server_name;
  const char* authority;
  bool served;
};
const Case kCases[] = {
    {"a.test", "a.test", true},
    {"A.Test", "a.test:8443", true},
    {"a.test", "b.test", false},
    {"a.test", "B.TEST:443", false},
    {"a.test", "x.e.test", false},
    {"c.test", "d.test", true},  // One certificate: clients may use one connection.
    {"x.e.test", "y.e.test", true},
    {"x.e.test", "f.test", true},  // Its certificate names it.
    {"f.test", "x.e.test", false},
    {"x.e.test", "x.y.e.test", true},  // Nothing here is its own.
    {"a.test", "g.test", true},
    {"g.test", "a.test", false},  // The default certificate was shown.
    {"", "a.test", true},         // Named nothing: a health check, or a very old client.
    {"a.test", "[::1]:443", true},
};

class Misdirected : public testing::TestWithParam<Case> {};
INSTANTIATE_TEST_SUITE_P(SecurityRow37, Misdirected, testing::ValuesIn(kCases));

TEST_P(Misdirected, Http1) {
  Stage stage(hosts());
  TlsClient client(stage, {.server_name = GetParam().server_name, .alpn = {"http/1.1"}});
  client.to_send = "GET / HTTP/1.1\r\nHost: " + std::string(GetParam().authority) + "\r\n\r\n";
  ASSERT_TRUE(
      stage.run_until([&] { return client.received.find("\r\n\r\n") != std::string::npos; }));
  EXPECT_TRUE(client.received.starts_with(GetParam().served ? "HTTP/1.1 200 " : "HTTP/1.1 421 "))
      << client.received;
  EXPECT_EQ(stage.servers[0]->requests.size(), GetParam().served ? 1u : 0u);
  EXPECT_EQ(stage.stats().request_errors[static_cast<size_t>(http::Error::kMisdirected)],
            GetParam().served ? 0u : 1u);
  client.peer.close();
}

TEST_P(Misdirected, Http2) {
  Stage stage(hosts());
  TlsClient tls(stage, {.server_name = GetParam().server_name, .alpn = {"h2"}});
  http::testing::H2TestClient client;
  const auto finishes = [&](uint32_t id) {
    tls.to_send = client.take_output();
    tls.go_on();
    return stage.run_until([&] {
      client.feed(std::exchange(tls.received, {}));
      tls.to_send += client.take_output();
      if (tls.open) tls.go_on();
      return client.response(id).ended;
    });
  };
  const uint32_t id = client.get("/", GetParam().authority);
  ASSERT_TRUE(finishes(id));
  EXPECT_EQ(client.response(id).status, GetParam().served ? 200 : 421);
  // The connection is good for what it was made for.
  if (*GetParam().server_name != '\0') {
    const uint32_t next = client.get("/", GetParam().server_name);
    ASSERT_TRUE(finishes(next));
    EXPECT_EQ(client.response(next).status, 200);
  }
  tls.peer.on_data = nullptr;
  tls.peer.close();
}

// In clear text nothing was promised.
TEST(SecurityRow37, ClearTextIsNotAsked) {
  Stage stage;
  EXPECT_TRUE(stage.ask("GET / HTTP/1.1\r\nHost: b.test\r\n\r\n").starts_with("HTTP/1.1 200 "));
}

}  // namespace
}  // namespace ringway::worker
