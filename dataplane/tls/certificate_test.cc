#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ctime>
#include <functional>

#include "dataplane/tls/server_context.h"
#include "dataplane/tls/test_keys.h"

namespace ringway::tls {
namespace {

using test::KeyKind;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr int64_t kDay = 86400;

std::string refusal(std::string_view chain, std::string_view key) {
  const auto certificate = Certificate::from_pem(chain, key);
  return certificate ? "taken" : certificate.error();
}

TEST(CertificateTest, ReadsNamesKindAndEnd) {
  const test::Pem pem =
      test::make_pem(KeyKind::kP256, {.names = {"A.Example.com", "*.b.example.com"}, .days = 30});
  const auto certificate = Certificate::from_pem(pem.chain, pem.key);
  ASSERT_TRUE(certificate.has_value()) << certificate.error();
  EXPECT_THAT((*certificate)->names(), ElementsAre("a.example.com", "*.b.example.com"));
  EXPECT_EQ((*certificate)->key_type(), "ecdsa");
  EXPECT_NEAR(static_cast<double>((*certificate)->not_after_unix_seconds()),
              static_cast<double>(std::time(nullptr) + 30 * kDay), 60);
}

TEST(CertificateTest, TakesEveryUsualKey) {
  for (const auto& [kind, type] : {std::pair{KeyKind::kP256, "ecdsa"},
                                   {KeyKind::kP384, "ecdsa"},
                                   {KeyKind::kRsa2048, "rsa"}}) {
    EXPECT_EQ(test::make_certificate(kind, {"a"})->key_type(), type);
  }
}

TEST(CertificateTest, TakesAnExpiredOneAndOneWithoutNames) {
  const test::Pem pem = test::make_pem(KeyKind::kP256, {.names = {}, .days = -1});
  const auto certificate = Certificate::from_pem(pem.chain, pem.key);
  ASSERT_TRUE(certificate.has_value()) << certificate.error();
  EXPECT_LT((*certificate)->not_after_unix_seconds(), std::time(nullptr));
  EXPECT_TRUE((*certificate)->names().empty());
}

TEST(CertificateTest, TakesAChainWithCommentsAndForeignBlocks) {
  const test::Pem leaf = test::make_pem(KeyKind::kP256);
  const test::Pem other = test::make_pem(KeyKind::kRsa2048);
  EXPECT_EQ(refusal("subject=a\n" + leaf.chain + "\nissuer\n" + other.chain, leaf.key), "taken");
  EXPECT_EQ(refusal(leaf.key + leaf.chain, leaf.chain + leaf.key),
            "taken");  // One file with both, as for HAProxy.
}

struct RefusalCase {
  const char* name;
  std::function<test::Pem()> pem;
  const char* part;
};

class CertificateRefusalTest : public testing::TestWithParam<RefusalCase> {};
INSTANTIATE_TEST_SUITE_P(
    Certificates, CertificateRefusalTest,
    testing::Values(
        RefusalCase{"empty_chain", [] { return test::Pem{"", test::make_pem(KeyKind::kP256).key}; },
                    "no certificate found"},
        RefusalCase{"garbage_chain",
                    [] { return test::Pem{"garbage", test::make_pem(KeyKind::kP256).key}; },
                    "no certificate found"},
        RefusalCase{"empty_key", [] { return test::Pem{test::make_pem(KeyKind::kP256).chain, ""}; },
                    "no private key found"},
        RefusalCase{"garbage_key",
                    [] { return test::Pem{test::make_pem(KeyKind::kP256).chain, "x"}; },
                    "no private key found"},
        RefusalCase{"certificate_as_key",
                    [] {
                      const test::Pem pem = test::make_pem(KeyKind::kP256);
                      return test::Pem{pem.chain, pem.chain};
                    },
                    "no private key found"},
        RefusalCase{"bad_base64",
                    [] {
                      test::Pem pem = test::make_pem(KeyKind::kP256);
                      pem.chain[pem.chain.size() / 2] = '!';
                      return pem;
                    },
                    "certificate 1 of the chain: bad PEM"},
        RefusalCase{"bad_der",
                    [] {
                      test::Pem pem = test::make_pem(KeyKind::kP256);
                      pem.chain = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
                      return pem;
                    },
                    "certificate 1 of the chain: not X.509"},
        RefusalCase{"second_is_cut",
                    [] {
                      test::Pem pem = test::make_pem(KeyKind::kP256);
                      pem.chain += pem.chain.substr(0, pem.chain.size() / 2);
                      return pem;
                    },
                    "certificate 2 of the chain"},
        RefusalCase{"seventeen",
                    [] {
                      test::Pem pem = test::make_pem(KeyKind::kP256);
                      const std::string one = pem.chain;
                      for (int i = 0; i < 16; ++i) pem.chain += one;
                      return pem;
                    },
                    "more than 16"},
        RefusalCase{"other_key",
                    [] {
                      return test::Pem{test::make_pem(KeyKind::kP256).chain,
                                       test::make_pem(KeyKind::kP384).key};
                    },
                    "does not fit the certificate"},
        RefusalCase{"leaf_not_first",
                    [] {
                      const test::Pem leaf = test::make_pem(KeyKind::kP256);
                      return test::Pem{test::make_pem(KeyKind::kRsa2048).chain + leaf.chain,
                                       leaf.key};
                    },
                    "fits certificate 2 of the chain, not the first"},
        RefusalCase{"encrypted_key",
                    [] {
                      return test::Pem{test::make_pem(KeyKind::kP256).chain,
                                       test::encrypted_key_pem(test::key_of(KeyKind::kP256))};
                    },
                    "encrypted"},
        RefusalCase{"rsa_1024", [] { return test::make_pem(KeyKind::kRsa1024); },
                    "RSA key of 1024 bits"},
        RefusalCase{"rsa_9000",
                    [] {
                      const auto key = test::hollow_rsa_key(9000);
                      return test::Pem{test::leaf_pem(key.get(), {}), test::key_pem(key.get())};
                    },
                    "RSA key of 9000 bits"},
        RefusalCase{"p224", [] { return test::make_pem(KeyKind::kP224); }, "unusual curve"},
        RefusalCase{"ed25519", [] { return test::make_pem(KeyKind::kEd25519); },
                    "neither an RSA nor an ECDSA key"},
        RefusalCase{"nul_in_name",
                    [] {
                      return test::make_pem(
                          KeyKind::kP256,
                          {.names = {std::string("a.example.com\0.evil.example", 27)}});
                    },
                    "byte that no host name has"},
        RefusalCase{"empty_name", [] { return test::make_pem(KeyKind::kP256, {.names = {""}}); },
                    "empty or too long"},
        RefusalCase{"huge_chain", [] { return test::Pem{std::string(2 << 20, 'a'), ""}; },
                    "larger than 1 MiB"}),
    [](const auto& test) { return test.param.name; });

TEST_P(CertificateRefusalTest, SaysWhyInOneLine) {
  const test::Pem pem = GetParam().pem();
  const std::string text = refusal(pem.chain, pem.key);
  EXPECT_THAT(text, HasSubstr(GetParam().part));
  EXPECT_EQ(text.find('\n'), std::string::npos);
}

// Damage anywhere in a Secret's text is a refusal, or harmless (a signature that nobody checks
// here); never a crash.
TEST(CertificateTest, SurvivesEveryByteChanged) {
  const test::Pem pem = test::make_pem(KeyKind::kP256);
  for (size_t i = 0; i < pem.chain.size(); i += 3) {
    std::string chain = pem.chain;
    chain[i] = static_cast<char>(chain[i] ^ 1);
    EXPECT_NE(refusal(chain, pem.key), "");
    EXPECT_NE(refusal(chain.substr(0, i), pem.key), "taken");
  }
  for (size_t i = 0; i < pem.key.size(); ++i) {
    std::string key = pem.key;
    key[i] = static_cast<char>(key[i] ^ 1);
    EXPECT_NE(refusal(pem.chain, key), "");
    EXPECT_NE(refusal(pem.chain, pem.key.substr(0, i)), "") << i;
  }
}

TEST(CertificateTest, SelfSignedLooksLikeThatOfIngressNginx) {
  const auto certificate = Certificate::self_signed();
  EXPECT_THAT(certificate->names(), ElementsAre("ingress.local"));
  EXPECT_EQ(certificate->key_type(), "ecdsa");
  EXPECT_NEAR(static_cast<double>(certificate->not_after_unix_seconds()),
              static_cast<double>(std::time(nullptr) + 365 * kDay), 60);
}

struct FindCase {
  const char* server_name;
  const char* certificate;  // Its first name.
};

TEST(ServerContextTest, FindsExactThenWildcardThenFallback) {
  const auto entry = [](const char* host, const char* name) {
    return ServerContext::Entry{host, test::make_certificate(KeyKind::kP256, {name})};
  };
  const auto context =
      ServerContext::make({},
                          {entry("a.example.com", "exact"), entry("*.Example.com", "wild"),
                           entry("*.b.example.com", "deeper")},
                          test::make_certificate(KeyKind::kP256, {"fallback"}));
  const FindCase cases[] = {{"a.example.com", "exact"},
                            {"A.EXAMPLE.com", "exact"},
                            {"a.example.com.", "exact"},
                            {"b.example.com", "wild"},
                            {"x.b.example.com", "deeper"},
                            {"x.y.example.com", "fallback"},
                            {"example.com", "fallback"},
                            {".example.com", "fallback"},
                            {"", "fallback"},
                            {"*.example.com", "wild"},
                            {"other.org", "fallback"},
                            {".", "fallback"},
                            {"a.example.com..", "fallback"}};
  for (const FindCase& c : cases) {
    EXPECT_EQ(context->find(c.server_name).names()[0], c.certificate) << c.server_name;
  }
  EXPECT_EQ(context->find(std::string(300, 'a')).names()[0], "fallback");
}

TEST(ServerContextTest, AStarEntryComesBeforeTheFallback) {
  const auto context =
      ServerContext::make({}, {{"*", test::make_certificate(KeyKind::kP256, {"default"})}},
                          test::make_certificate(KeyKind::kP256, {"fallback"}));
  EXPECT_EQ(context->find("x.org").names()[0], "default");
  EXPECT_EQ(context->find("").names()[0], "default");
}

TEST(ServerContextTest, TheFirstOfTwoWithTheSameKindOfKeyCounts) {
  const auto context =
      ServerContext::make({},
                          {{"a.org", test::make_certificate(KeyKind::kP256, {"first"})},
                           {"a.org", test::make_certificate(KeyKind::kP256, {"second"})}},
                          Certificate::self_signed());
  EXPECT_EQ(context->find("a.org").names()[0], "first");
}

}  // namespace
}  // namespace ringway::tls
