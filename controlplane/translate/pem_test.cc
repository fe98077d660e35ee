#include "controlplane/translate/pem.h"

#include <gtest/gtest.h>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

namespace ringway::translate {
namespace {

struct Pair {
  std::string chain, key;
};

std::string text_of(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  std::string text(data, static_cast<size_t>(size));
  BIO_free(bio);
  return text;
}

Pair make(EVP_PKEY* key, const char* password = nullptr) {
  X509* certificate = X509_new();
  X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
  X509_EXTENSION* names = X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name,
                                              "DNS:Shop.example.com,DNS:*.example.org,IP:10.0.0.1");
  X509_add_ext(certificate, names, -1);
  X509_EXTENSION_free(names);
  X509_set_pubkey(certificate, key);
  X509_sign(certificate, key, EVP_PKEY_is_a(key, "ED25519") ? nullptr : EVP_sha256());
  BIO* chain = BIO_new(BIO_s_mem());
  PEM_write_bio_X509(chain, certificate);
  BIO* private_key = BIO_new(BIO_s_mem());
  PEM_write_bio_PrivateKey(private_key, key, password == nullptr ? nullptr : EVP_aes_128_cbc(),
                           nullptr, 0, nullptr, const_cast<char*>(password));
  X509_free(certificate);
  EVP_PKEY_free(key);
  return {text_of(chain), text_of(private_key)};
}

std::string why(const Pair& pair) {
  const auto checked = check_key_pair(pair.chain, pair.key);
  return checked ? "" : checked.error();
}

TEST(Pem, TakesEcdsaAndRsa) {
  EXPECT_EQ(why(make(EVP_EC_gen("P-256"))), "");
  EXPECT_EQ(why(make(EVP_EC_gen("P-384"))), "");
  EXPECT_EQ(why(make(EVP_RSA_gen(2048))), "");
}

TEST(Pem, SaysWhyAPairIsRefused) {
  const Pair good = make(EVP_EC_gen("P-256"));
  EXPECT_EQ(why({"", ""}), "tls.crt has no PEM certificate");
  EXPECT_EQ(why({"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", good.key}),
            "tls.crt has no PEM certificate");
  EXPECT_EQ(why({good.chain + "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                 good.key}),
            "tls.crt: certificate 2 is broken");
  EXPECT_EQ(why({good.chain, ""}), "tls.key has no PEM private key that can be read");
  EXPECT_EQ(why({good.chain, good.chain}), "tls.key has no PEM private key that can be read");
  EXPECT_EQ(why({good.chain, make(EVP_EC_gen("P-256")).key}),
            "certificate and private key do not match");
  EXPECT_EQ(why({good.chain, make(EVP_RSA_gen(2048)).key}),
            "certificate and private key do not match");
  EXPECT_EQ(why(make(EVP_EC_gen("P-256"), "secret")),
            "tls.key has no PEM private key that can be read");
  EXPECT_EQ(why(make(EVP_RSA_gen(1024))), "an RSA key must have 2048 bits or more");
  EXPECT_EQ(why(make(EVP_EC_gen("secp256k1"))), "an ECDSA key must be on P-256, P-384 or P-521");
  EXPECT_EQ(why(make(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"))),
            "the key must be RSA or ECDSA");
  EXPECT_EQ(why({std::string(2 << 20, 'x'), good.key}), "tls.crt or tls.key is larger than 1 MiB");
}

TEST(Pem, NamesCoverHostsAsBrowsersDo) {
  const Pair pair = make(EVP_EC_gen("P-256"));
  const auto leaf = check_key_pair(pair.chain, pair.key);
  ASSERT_TRUE(leaf);
  EXPECT_EQ(leaf->not_after_s - leaf->not_before_s, 3600);
  for (const char* host : {"shop.example.com", "a.example.org", "*.example.org"})
    EXPECT_TRUE(covers(*leaf, host)) << host;
  for (const char* host : {"example.com", "a.shop.example.com", "example.org", "a.b.example.org",
                           "*.example.com", "10.0.0.1", ""}) {
    EXPECT_FALSE(covers(*leaf, host)) << host;
  }
}

}  // namespace
}  // namespace ringway::translate
