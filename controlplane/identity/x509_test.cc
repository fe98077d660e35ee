#include "controlplane/identity/x509.h"

#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include <memory>

namespace ringway::identity {
namespace {

constexpr int64_t kNow = 1'800'000'000;
constexpr Validity kYear{kNow - 300, kNow + 365 * 86400};
constexpr Validity kDay{kNow - 300, kNow + 86400};

X509* parse(const std::string& pem) {
  BIO* bio = BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
  X509* x = PEM_read_bio_X509(bio, nullptr, nullptr, nullptr);
  BIO_free(bio);
  return x;
}

// What a TLS peer on OpenSSL or BoringSSL would do: path, dates, purpose, name.
std::string verify(const std::string& leaf, const std::string& ca, int purpose,
                   const std::string& host = "", int64_t at = kNow) {
  X509* authority = parse(ca);
  X509* x = parse(leaf);
  X509_STORE* store = X509_STORE_new();
  X509_STORE_add_cert(store, authority);
  X509_STORE_CTX* context = X509_STORE_CTX_new();
  X509_STORE_CTX_init(context, store, x, nullptr);
  X509_VERIFY_PARAM* parameters = X509_STORE_CTX_get0_param(context);
  X509_VERIFY_PARAM_set_purpose(parameters, purpose);
  X509_VERIFY_PARAM_set_time(parameters, at);
  X509_VERIFY_PARAM_set_flags(parameters, X509_V_FLAG_X509_STRICT);
  if (!host.empty()) X509_VERIFY_PARAM_set1_host(parameters, host.c_str(), host.size());
  const bool good = X509_verify_cert(context) == 1;
  const std::string error =
      good ? "" : X509_verify_cert_error_string(X509_STORE_CTX_get_error(context));
  X509_STORE_CTX_free(context);
  X509_STORE_free(store);
  X509_free(x);
  X509_free(authority);
  return error;
}

TEST(X509Test, ALeafVerifiesForWhatItIsMadeFor) {
  const KeyPair ca = make_authority("test", kYear);
  const std::string key = make_key();
  const auto server = sign(ca, key,
                           {.common_name = "controller",
                            .names = {"controller", "c.ns.svc", "10.0.0.1", "::1"},
                            .uris = {"spiffe://ringway/controller"},
                            .server = true},
                           kDay);
  ASSERT_TRUE(server.has_value()) << server.error();
  EXPECT_EQ(verify(*server, ca.certificate, X509_PURPOSE_SSL_SERVER, "c.ns.svc"), "");
  EXPECT_NE(verify(*server, ca.certificate, X509_PURPOSE_SSL_SERVER, "d.ns.svc"), "");
  EXPECT_NE(verify(*server, ca.certificate, X509_PURPOSE_SSL_CLIENT), "")
      << "a controller's certificate is no client's";
  EXPECT_NE(verify(*server, ca.certificate, X509_PURPOSE_SSL_SERVER, "", kNow + 2 * 86400), "");
  EXPECT_TRUE(belong_together({*server, key}));
  EXPECT_EQ(validity_of(*server).value(), kDay);

  const auto client = sign(ca, key, {.common_name = "proxy", .client = true}, kDay);
  EXPECT_EQ(verify(*client, ca.certificate, X509_PURPOSE_SSL_CLIENT), "");
  EXPECT_NE(verify(*client, ca.certificate, X509_PURPOSE_SSL_SERVER), "");
}

TEST(X509Test, AnotherAuthorityOfTheSameNameIsAnother) {
  const KeyPair ca = make_authority("test", kYear), other = make_authority("test", kYear);
  const std::string key = make_key();
  const std::string leaf = sign(ca, key, {.common_name = "x", .client = true}, kDay).value();
  EXPECT_NE(verify(leaf, other.certificate, X509_PURPOSE_SSL_CLIENT), "");
  EXPECT_TRUE(signed_by_one_of(leaf, other.certificate + ca.certificate));
  EXPECT_FALSE(signed_by_one_of(leaf, other.certificate));
  EXPECT_FALSE(signed_by_one_of(leaf, ""));
  EXPECT_FALSE(belong_together({leaf, make_key()}));
}

TEST(X509Test, ALeafCannotSign) {
  const KeyPair ca = make_authority("test", kYear);
  const std::string key = make_key();
  const KeyPair leaf{sign(ca, key, {.common_name = "x", .client = true}, kDay).value(), key};
  const std::string below =
      sign(leaf, make_key(), {.common_name = "y", .client = true}, kDay).value();
  EXPECT_NE(verify(below, leaf.certificate, X509_PURPOSE_SSL_CLIENT), "");
}

TEST(X509Test, NamesAreComparedWhole) {
  const KeyPair ca = make_authority("test", kYear);
  Subject subject{.common_name = "x", .names = {"a", "10.0.0.1"}, .uris = {"spiffe://a/b"}};
  const std::string leaf = sign(ca, make_key(), subject, kDay).value();
  EXPECT_TRUE(names_are(leaf, subject));
  subject.names.push_back("b");
  EXPECT_FALSE(names_are(leaf, subject));
  EXPECT_FALSE(names_are(leaf, {.common_name = "x"}));
  EXPECT_FALSE(names_are("junk", subject));
}

TEST(X509Test, BrokenInputIsAnError) {
  const KeyPair ca = make_authority("test", kYear);
  EXPECT_FALSE(sign({"junk", ca.key}, make_key(), {.common_name = "x"}, kDay).has_value());
  EXPECT_FALSE(sign({ca.certificate, "junk"}, make_key(), {.common_name = "x"}, kDay).has_value());
  EXPECT_FALSE(sign(ca, "junk", {.common_name = "x"}, kDay).has_value());
  EXPECT_FALSE(validity_of("").has_value());
  EXPECT_EQ(split("junk\n" + ca.certificate + "-----BEGIN CERTIFICATE-----\nAAAA\n").size(), 1u);
}

}  // namespace
}  // namespace ringway::identity
