#include "dataplane/tls/test_keys.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/cipher.h>
#include <openssl/ec_key.h>
#include <openssl/evp.h>
#include <openssl/nid.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <ctime>
#include <map>

#include "base/check.h"

namespace ringway::tls::test {
namespace {

bssl::UniquePtr<EVP_PKEY> make_ec(int curve) {
  bssl::UniquePtr<EC_KEY> ec(EC_KEY_new_by_curve_name(curve));
  CHECK(EC_KEY_generate_key(ec.get()) == 1);
  bssl::UniquePtr<EVP_PKEY> key(EVP_PKEY_new());
  CHECK(EVP_PKEY_set1_EC_KEY(key.get(), ec.get()) == 1);
  return key;
}

bssl::UniquePtr<EVP_PKEY> make_rsa(int bits) {
  bssl::UniquePtr<RSA> rsa(RSA_new());
  bssl::UniquePtr<BIGNUM> e(BN_new());
  CHECK(BN_set_word(e.get(), RSA_F4) == 1 &&
        RSA_generate_key_ex(rsa.get(), bits, e.get(), nullptr) == 1);
  bssl::UniquePtr<EVP_PKEY> key(EVP_PKEY_new());
  CHECK(EVP_PKEY_set1_RSA(key.get(), rsa.get()) == 1);
  return key;
}

bssl::UniquePtr<EVP_PKEY> make_ed25519() {
  bssl::UniquePtr<EVP_PKEY_CTX> context(EVP_PKEY_CTX_new_id(EVP_PKEY_ED25519, nullptr));
  EVP_PKEY* key = nullptr;
  CHECK(EVP_PKEY_keygen_init(context.get()) == 1 && EVP_PKEY_keygen(context.get(), &key) == 1);
  return bssl::UniquePtr<EVP_PKEY>(key);
}

bssl::UniquePtr<EVP_PKEY> make_key(KeyKind kind) {
  switch (kind) {
    case KeyKind::kP256:
      return make_ec(NID_X9_62_prime256v1);
    case KeyKind::kP384:
      return make_ec(NID_secp384r1);
    case KeyKind::kP224:
      return make_ec(NID_secp224r1);
    case KeyKind::kEd25519:
      return make_ed25519();
    case KeyKind::kRsa2048:
      return make_rsa(2048);
    case KeyKind::kRsa1024:
      return make_rsa(1024);
  }
  return nullptr;
}

std::string contents(const bssl::UniquePtr<BIO>& bio) {
  const uint8_t* data = nullptr;
  size_t length = 0;
  CHECK(BIO_mem_contents(bio.get(), &data, &length) == 1);
  return {reinterpret_cast<const char*>(data), length};
}

void add_names(X509* leaf, const std::vector<std::string>& names) {
  if (names.empty()) return;
  bssl::UniquePtr<GENERAL_NAMES> list(GENERAL_NAMES_new());
  for (const std::string& text : names) {
    bssl::UniquePtr<GENERAL_NAME> name(GENERAL_NAME_new());
    bssl::UniquePtr<ASN1_IA5STRING> ia5(ASN1_IA5STRING_new());
    CHECK(ASN1_STRING_set(ia5.get(), text.data(), static_cast<int>(text.size())) == 1);
    GENERAL_NAME_set0_value(name.get(), GEN_DNS, ia5.release());
    CHECK(bssl::PushToStack(list.get(), std::move(name)));
  }
  CHECK(X509_add1_ext_i2d(leaf, NID_subject_alt_name, list.get(), 0, 0) == 1);
}

}  // namespace

EVP_PKEY* key_of(KeyKind kind) {
  static std::map<KeyKind, bssl::UniquePtr<EVP_PKEY>> keys;
  auto& key = keys[kind];
  if (key == nullptr) key = make_key(kind);
  return key.get();
}

// Signed by a P-256 key of nobody: nothing here checks issuers, and any key can stand in the leaf.
std::string leaf_pem(EVP_PKEY* key, const LeafOptions& options) {
  bssl::UniquePtr<X509> leaf(X509_new());
  CHECK(X509_set_version(leaf.get(), X509_VERSION_3) == 1);
  static uint64_t serial = 0;
  CHECK(ASN1_INTEGER_set_uint64(X509_get_serialNumber(leaf.get()), ++serial) == 1);
  const time_t now = std::time(nullptr);
  CHECK(ASN1_TIME_adj(X509_getm_notBefore(leaf.get()), now, -60, 0) != nullptr);
  CHECK(ASN1_TIME_adj(X509_getm_notAfter(leaf.get()), now, options.days, 0) != nullptr);
  X509_NAME* subject = X509_get_subject_name(leaf.get());
  CHECK(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
                                   reinterpret_cast<const uint8_t*>("test"), -1, -1, 0) == 1);
  CHECK(X509_set_issuer_name(leaf.get(), subject) == 1 && X509_set_pubkey(leaf.get(), key) == 1);
  add_names(leaf.get(), options.names);
  CHECK(X509_sign(leaf.get(), key_of(KeyKind::kP256), EVP_sha256()) > 0);
  bssl::UniquePtr<BIO> bio(BIO_new(BIO_s_mem()));
  CHECK(PEM_write_bio_X509(bio.get(), leaf.get()) == 1);
  return contents(bio);
}

std::string key_pem(EVP_PKEY* key) {
  bssl::UniquePtr<BIO> bio(BIO_new(BIO_s_mem()));
  CHECK(PEM_write_bio_PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr) == 1);
  return contents(bio);
}

std::string encrypted_key_pem(EVP_PKEY* key) {
  bssl::UniquePtr<BIO> bio(BIO_new(BIO_s_mem()));
  char secret[] = "secret";
  CHECK(PEM_write_bio_PKCS8PrivateKey(bio.get(), key, EVP_aes_256_cbc(), secret, 6, nullptr,
                                      nullptr) == 1);
  return contents(bio);
}

Pem make_pem(KeyKind kind, const LeafOptions& options) {
  return {leaf_pem(key_of(kind), options), key_pem(key_of(kind))};
}

std::shared_ptr<const Certificate> make_certificate(KeyKind kind, std::vector<std::string> names) {
  const Pem pem = make_pem(kind, {.names = std::move(names)});
  auto certificate = Certificate::from_pem(pem.chain, pem.key);
  CHECK(certificate.has_value());
  return *certificate;
}

bssl::UniquePtr<EVP_PKEY> hollow_rsa_key(unsigned bits) {
  bssl::UniquePtr<BN_CTX> context(BN_CTX_new());
  const auto number = [] { return bssl::UniquePtr<BIGNUM>(BN_new()); };
  auto n = number(), e = number(), d = number(), p = number(), q = number(), p1 = number(),
       q1 = number();
  auto phi = number(), dp = number(), dq = number(), inverse = number();
  CHECK(BN_set_word(e.get(), RSA_F4) == 1);
  while (true) {
    CHECK(BN_rand(p.get(), static_cast<int>(bits / 2), BN_RAND_TOP_TWO, BN_RAND_BOTTOM_ODD) == 1);
    CHECK(BN_rand(q.get(), static_cast<int>(bits - bits / 2), BN_RAND_TOP_TWO,
                  BN_RAND_BOTTOM_ODD) == 1);
    if (BN_cmp(p.get(), q.get()) < 0) std::swap(p, q);
    CHECK(BN_sub(p1.get(), p.get(), BN_value_one()) == 1 &&
          BN_sub(q1.get(), q.get(), BN_value_one()) == 1);
    CHECK(BN_mul(phi.get(), p1.get(), q1.get(), context.get()) == 1);
    if (BN_mod_inverse(d.get(), e.get(), phi.get(), context.get()) == nullptr) continue;
    if (BN_mod_inverse(inverse.get(), q.get(), p.get(), context.get()) != nullptr) break;
  }
  CHECK(BN_mul(n.get(), p.get(), q.get(), context.get()) == 1);
  CHECK(BN_mod(dp.get(), d.get(), p1.get(), context.get()) == 1 &&
        BN_mod(dq.get(), d.get(), q1.get(), context.get()) == 1);
  bssl::UniquePtr<RSA> rsa(RSA_new());
  CHECK(RSA_set0_key(rsa.get(), n.release(), e.release(), d.release()) == 1);
  CHECK(RSA_set0_factors(rsa.get(), p.release(), q.release()) == 1);
  CHECK(RSA_set0_crt_params(rsa.get(), dp.release(), dq.release(), inverse.release()) == 1);
  bssl::UniquePtr<EVP_PKEY> key(EVP_PKEY_new());
  CHECK(EVP_PKEY_set1_RSA(key.get(), rsa.get()) == 1);
  return key;
}

}  // namespace ringway::tls::test
