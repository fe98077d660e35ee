#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "base/random.h"
#include "dataplane/tls/test_client.h"
#include "dataplane/tls/test_keys.h"

namespace ringway::tls {
namespace {

using test::Client;
using test::ClientOptions;
using test::connect;
using test::KeyKind;
using test::Server;

constexpr uint16_t kVersions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

ClientOptions only(uint16_t version, ClientOptions options = {}) {
  options.version_min = options.version_max = version;
  return options;
}

// a.example.com has both kinds of certificates, the other hosts one.
std::shared_ptr<ServerContext> context_of(ServerPolicy policy = {}) {
  static const std::map<std::string, std::shared_ptr<const Certificate>> made = {
      {"ecdsa", test::make_certificate(KeyKind::kP256, {"a.example.com"})},
      {"rsa", test::make_certificate(KeyKind::kRsa2048, {"a.example.com"})},
      {"p384", test::make_certificate(KeyKind::kP384, {"p384.example.com"})},
      {"only_rsa", test::make_certificate(KeyKind::kRsa2048, {"rsa.example.com"})},
      {"wild", test::make_certificate(KeyKind::kP256, {"*.example.com"})},
      {"fallback", test::make_certificate(KeyKind::kP256, {"fallback"})}};
  return ServerContext::make(policy,
                             {{"a.example.com", made.at("rsa")},
                              {"a.example.com", made.at("ecdsa")},
                              {"p384.example.com", made.at("p384")},
                              {"rsa.example.com", made.at("only_rsa")},
                              {"*.example.com", made.at("wild")}},
                             made.at("fallback"));
}

struct SniCase {
  const char* server_name;
  const char* leaf;
};

TEST(HandshakeTest, ServerNameChoosesTheCertificate) {
  const SniCase cases[] = {{"a.example.com", "a.example.com"},
                           {"A.Example.COM", "a.example.com"},
                           {"rsa.example.com", "rsa.example.com"},
                           {"p384.example.com", "p384.example.com"},
                           {"b.example.com", "*.example.com"},
                           {"x.b.example.com", "fallback"},
                           {"example.com", "fallback"},
                           {"unknown.org", "fallback"},
                           {"", "fallback"}};
  for (uint16_t version : kVersions) {
    for (const SniCase& c : cases) {
      SCOPED_TRACE(testing::Message() << c.server_name << " " << version);
      Client client(only(version, {.server_name = c.server_name}));
      Server server(context_of());
      ASSERT_TRUE(connect(client, server)) << server.session->failure();
      EXPECT_EQ(client.leaf_name(), c.leaf);
      EXPECT_EQ(server.session->server_name(), c.server_name);
      EXPECT_EQ(server.session->version(), version == TLS1_2_VERSION ? "TLSv1.2" : "TLSv1.3");
      EXPECT_EQ(server.session->alpn(), "");
      EXPECT_FALSE(server.session->resumed());
      EXPECT_EQ(server.session->failure(), "");
      client.write("ping");
      server.receive(client.take_output());
      EXPECT_EQ(server.take_plain(), "ping");
      ASSERT_TRUE(server.send("pong"));
      client.feed(server.take_output());
      EXPECT_EQ(client.read(), "pong");
      EXPECT_EQ(server.buffers_in_use(), 0u);
    }
  }
}

struct KeyCase {
  const char* name;
  uint16_t version_min, version_max;
  std::vector<uint16_t> signatures;
  std::string ciphers;
  std::string host;
  std::string key;  // "": the handshake fails.
  std::string failure;
};

class KeyChoiceTest : public testing::TestWithParam<KeyCase> {};
constexpr char kRsaSuite[] = "ECDHE-RSA-AES128-GCM-SHA256";
constexpr char kEcdsaSuite[] = "ECDHE-ECDSA-AES128-GCM-SHA256";
INSTANTIATE_TEST_SUITE_P(
    Clients, KeyChoiceTest,
    testing::Values(
        KeyCase{"all_13", 0x303, 0x304, {}, "", "a", "ecdsa", ""},
        KeyCase{"all_12", 0x303, 0x303, {}, "", "a", "ecdsa", ""},
        KeyCase{"rsa_pss_13", 0x304, 0x304, {SSL_SIGN_RSA_PSS_RSAE_SHA256}, "", "a", "rsa", ""},
        KeyCase{"rsa_pkcs1_12", 0x303, 0x303, {SSL_SIGN_RSA_PKCS1_SHA256}, "", "a", "rsa", ""},
        KeyCase{"other_curve_13",
                0x304,
                0x304,
                {SSL_SIGN_ECDSA_SECP384R1_SHA384, SSL_SIGN_RSA_PSS_RSAE_SHA256},
                "",
                "a",
                "rsa",
                ""},
        KeyCase{
            "p384_13", 0x304, 0x304, {SSL_SIGN_ECDSA_SECP384R1_SHA384}, "", "p384", "ecdsa", ""},
        KeyCase{"rsa_suites_12", 0x303, 0x303, {}, kRsaSuite, "a", "rsa", ""},
        KeyCase{"ecdsa_suites_12", 0x303, 0x303, {}, kEcdsaSuite, "a", "ecdsa", ""},
        KeyCase{"rsa_suites_but_13", 0x303, 0x304, {}, kRsaSuite, "a", "ecdsa", ""},
        KeyCase{"only_rsa_cert_12", 0x303, 0x303, {}, kEcdsaSuite, "rsa", "", "no_shared_cipher"},
        KeyCase{"only_rsa_cert_13",
                0x304,
                0x304,
                {SSL_SIGN_ECDSA_SECP256R1_SHA256},
                "",
                "rsa",
                "",
                "no_common_signature_algorithms"}),
    [](const auto& test) { return test.param.name; });

TEST_P(KeyChoiceTest, FollowsTheClient) {
  const KeyCase& c = GetParam();
  Client client({.server_name = c.host + ".example.com",
                 .version_min = c.version_min,
                 .version_max = c.version_max,
                 .signatures = c.signatures,
                 .ciphers = c.ciphers});
  Server server(context_of());
  EXPECT_EQ(connect(client, server), !c.key.empty());
  EXPECT_EQ(server.session->failure(), c.failure);
  if (!c.key.empty()) {
    EXPECT_EQ(client.leaf_key(), c.key);
  }
}

struct AlpnCase {
  const char* name;
  std::vector<std::string> ours, theirs;
  std::string chosen;
  bool refused;
};

class AlpnTest : public testing::TestWithParam<AlpnCase> {};
INSTANTIATE_TEST_SUITE_P(
    Lists, AlpnTest,
    testing::Values(AlpnCase{"match", {"h2", "http/1.1"}, {"h2", "http/1.1"}, "h2", false},
                    AlpnCase{"our_order", {"h2", "http/1.1"}, {"http/1.1", "h2"}, "h2", false},
                    AlpnCase{"second", {"h2", "http/1.1"}, {"x", "http/1.1"}, "http/1.1", false},
                    AlpnCase{"no_extension", {"h2"}, {}, "", false},
                    AlpnCase{"none_configured", {}, {"h2"}, "", false},
                    AlpnCase{"prefix_is_no_match", {"h2"}, {"h2c", "h"}, "", true},
                    AlpnCase{"mismatch", {"h2", "http/1.1"}, {"acme-tls/1"}, "", true}),
    [](const auto& test) { return test.param.name; });

TEST_P(AlpnTest, ChoosesOrRefuses) {
  const AlpnCase& c = GetParam();
  for (uint16_t version : kVersions) {
    Client client(only(version, {.alpn = c.theirs}));
    Server server(context_of({.alpn = c.ours}));
    EXPECT_EQ(connect(client, server), !c.refused);
    EXPECT_EQ(server.session->alpn(), c.chosen);
    EXPECT_EQ(client.alpn(), c.chosen);
    EXPECT_EQ(server.session->failure(), c.refused ? "no_application_protocol" : "");
    EXPECT_EQ(client.alert(), c.refused ? SSL_AD_NO_APPLICATION_PROTOCOL : -1);
  }
}

TEST(HandshakeTest, CipherIsOursToChooseButForHardware) {
  const auto chosen = [](const char* ciphers) {
    Client client(only(TLS1_2_VERSION, {.ciphers = ciphers}));
    Server server(context_of());
    EXPECT_TRUE(connect(client, server));
    return std::string(SSL_get_cipher(client.ssl()));
  };
  EXPECT_EQ(chosen("ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256"),
            "ECDHE-ECDSA-AES128-GCM-SHA256");
  EXPECT_EQ(chosen("ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-GCM-SHA256"),
            "ECDHE-ECDSA-CHACHA20-POLY1305");
  EXPECT_EQ(chosen("ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305"),
            "ECDHE-ECDSA-AES128-GCM-SHA256");
}

TEST(HandshakeTest, RefusesCiphersWithoutForwardSecrecyOrAuthentication) {
  for (const char* ciphers :
       {"AES128-GCM-SHA256", "ECDHE-RSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA", "AES128-SHA"}) {
    Client client(only(TLS1_2_VERSION, {.ciphers = ciphers}));
    Server server(context_of());
    EXPECT_FALSE(connect(client, server)) << ciphers;
    EXPECT_EQ(server.session->failure(), "no_shared_cipher");
  }
}

TEST(HandshakeTest, RefusesOldVersions) {
  Client old_client({.version_min = TLS1_VERSION, .version_max = TLS1_1_VERSION});
  Server server(context_of());
  EXPECT_FALSE(connect(old_client, server));
  EXPECT_EQ(server.session->state(), SessionState::kFailed);
  EXPECT_EQ(server.session->failure(), "unsupported_protocol");
  EXPECT_EQ(old_client.alert(), SSL_AD_PROTOCOL_VERSION);

  Client client(only(TLS1_2_VERSION));
  Server strict(context_of({.version_min = TLS1_3_VERSION}));
  EXPECT_FALSE(connect(client, strict));
  EXPECT_EQ(strict.session->failure(), "unsupported_protocol");
}

// Every flight of the client cut in two at every byte.
TEST(HandshakeTest, CompletesWhereverTheBytesAreCut) {
  for (uint16_t version : kVersions) {
    for (size_t cut = 1;; ++cut) {
      SCOPED_TRACE(cut);
      Client client(only(version, {.alpn = {"http/1.1"}}));
      Server server(context_of());
      size_t longest = 0;
      bool complete = false;
      for (int flight = 0; flight < 4; ++flight) {
        complete = client.handshake();
        const std::string bytes = client.take_output();
        longest = std::max(longest, bytes.size());
        server.receive(bytes.substr(0, cut));
        if (cut < bytes.size()) server.receive(bytes.substr(cut));
        client.feed(server.take_output());
      }
      ASSERT_TRUE(complete);
      ASSERT_EQ(server.session->state(), SessionState::kOpen);
      ASSERT_EQ(server.session->alpn(), "http/1.1");
      if (cut >= longest) break;
    }
  }
}

TEST(HandshakeTest, CompletesByteByByteWithoutHoldingBuffers) {
  for (uint16_t version : kVersions) {
    Client client(only(version));
    Server server(context_of());
    client.handshake();
    const std::string hello = client.take_output();
    for (size_t i = 0; i + 1 < hello.size(); ++i) {
      server.receive(hello.substr(i, 1));
      ASSERT_EQ(server.buffers_in_use(), 0u);
    }
    server.receive(hello.substr(hello.size() - 1));
    client.feed(server.take_output());
    EXPECT_TRUE(connect(client, server, 1));
  }
}

TEST(HandshakeTest, SmallOutputBuffersWorkToo) {
  Client client({});
  Server server(context_of(), 16);
  ASSERT_TRUE(connect(client, server));
  client.write("hello, this is longer than a buffer");
  server.receive(client.take_output());
  EXPECT_EQ(server.take_plain(), "hello, this is longer than a buffer");
}

struct GarbageCase {
  const char* name;
  std::string bytes;
  std::string failure;
};

TEST(HandshakeTest, GarbageFails) {
  const GarbageCase cases[] = {
      {"http", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "http_request"},
      {"connect", "CONNECT a:443 HTTP/1.1\r\n\r\n", "http_request"},
      {"ssh", "SSH-2.0-OpenSSH_9.2\r\n", "not_tls"},
      {"zeros", std::string(64, '\0'), "not_tls"},
      {"empty_hello", std::string("\x16\x03\x01\x00\x04\x01\x00\x00\x00", 9), "decode_error"},
      {"application_data", std::string("\x17\x03\x03\x00\x02hi", 7), "unexpected_message"},
      {"long_record", std::string("\x16\x03\x01\xff\xff", 5), "record_too_large"},
      {"long_message", std::string("\x16\x03\x01\x00\x04\x01\xff\xff\xff", 9), "message_too_large"},
  };
  for (const GarbageCase& c : cases) {
    SCOPED_TRACE(c.name);
    Server server(context_of());
    EXPECT_EQ(server.receive(c.bytes), SessionState::kFailed);
    EXPECT_EQ(server.session->failure(), c.failure);
    // An alert record, except where the other side does not speak TLS.
    const std::string out = server.take_output();
    if (c.failure != "http_request") {
      EXPECT_TRUE(out.starts_with("\x15\x03")) << out.size();
    }
    EXPECT_EQ(server.receive("more"), SessionState::kFailed);
    EXPECT_EQ(server.buffers_in_use(), 0u);
  }
}

// Each byte of a good ClientHello changed in turn, and random bytes: fails or goes on, never
// crashes.
TEST(HandshakeTest, DamagedHellosDoNoHarm) {
  Client client({.alpn = {"http/1.1"}});
  client.handshake();
  const std::string hello = client.take_output();
  const auto context = context_of();
  for (size_t i = 0; i < hello.size(); ++i) {
    std::string damaged = hello;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x41);
    Server server(context);
    const SessionState state = server.receive(damaged);
    EXPECT_TRUE(state == SessionState::kFailed || state == SessionState::kHandshaking);
  }
  Random random(7);
  for (int round = 0; round < 300; ++round) {
    std::string bytes("\x16\x03\x01\x00\xc0\x01\x00\x00\xbc\x03\x03", 11);
    while (bytes.size() < 197) bytes += static_cast<char>(random.below(256));
    Server server(context);
    server.receive(bytes);
    EXPECT_NE(server.session->state(), SessionState::kOpen);
  }
}

TEST(HandshakeTest, ACertificateIsExchangedLive) {
  const auto old_certificate = test::make_certificate(KeyKind::kP256, {"old"});
  auto old_context =
      ServerContext::make({}, {{"a.example.com", old_certificate}}, Certificate::self_signed());
  const std::weak_ptr<ServerContext> watch = old_context;
  Client old_client({});
  auto old_server = std::make_unique<Server>(std::move(old_context));
  old_client.handshake();
  const std::string hello = old_client.take_output();
  old_server->receive(
      hello.substr(0, 100));  // In the midst of its handshake when the exchange comes.

  const auto new_context = ServerContext::make(
      {}, {{"a.example.com", test::make_certificate(KeyKind::kRsa2048, {"new"})}},
      Certificate::self_signed());
  Client new_client({});
  Server new_server(new_context);
  ASSERT_TRUE(connect(new_client, new_server));
  EXPECT_EQ(new_client.leaf_name(), "new");

  old_server->receive(hello.substr(100));
  old_client.feed(old_server->take_output());
  ASSERT_TRUE(connect(old_client, *old_server));
  EXPECT_EQ(old_client.leaf_name(), "old");
  ASSERT_TRUE(old_server->send("still here"));
  old_client.feed(old_server->take_output());
  EXPECT_EQ(old_client.read(), "still here");
  EXPECT_FALSE(watch.expired());
  old_server.reset();
  EXPECT_TRUE(watch.expired());
}

}  // namespace
}  // namespace ringway::tls
