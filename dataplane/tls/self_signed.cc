#include <openssl/bio.h>
#include <openssl/bytestring.h>
#include <openssl/ec_key.h>
#include <openssl/evp.h>
#include <openssl/nid.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "base/check.h"
#include "base/clock.h"
#include "dataplane/tls/server_context.h"

namespace ringway::tls {
namespace {

constexpr char kOrganization[] =
    "Acme Co";  // With the common name and ingress.local: what ingress-nginx puts in its own.
constexpr char kCommonName[] = "Ringway Ingress Controller Fake Certificate";
constexpr char kDnsName[] = "ingress.local";
constexpr int kDays = 365;

bssl::UniquePtr<EVP_PKEY> make_key() {
  bssl::UniquePtr<EC_KEY> ec(EC_KEY_new_by_curve_name(NID_X9_62_prime256v1));
  CHECK(ec != nullptr && EC_KEY_generate_key(ec.get()) == 1);
  bssl::UniquePtr<EVP_PKEY> key(EVP_PKEY_new());
  CHECK(key != nullptr && EVP_PKEY_assign_EC_KEY(key.get(), ec.release()) == 1);
  return key;
}

void add_name(X509_NAME* name, const char* field, const char* text) {
  CHECK(X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8,
                                   reinterpret_cast<const uint8_t*>(text), -1, -1, 0) == 1);
}

void add_dns_name(X509* certificate, const char* dns) {
  bssl::UniquePtr<GENERAL_NAMES> names(GENERAL_NAMES_new());
  bssl::UniquePtr<GENERAL_NAME> name(GENERAL_NAME_new());
  bssl::UniquePtr<ASN1_IA5STRING> text(ASN1_IA5STRING_new());
  CHECK(names != nullptr && name != nullptr && text != nullptr);
  CHECK(ASN1_STRING_set(text.get(), dns, -1) == 1);
  GENERAL_NAME_set0_value(name.get(), GEN_DNS, text.release());
  CHECK(bssl::PushToStack(names.get(), std::move(name)));
  CHECK(X509_add1_ext_i2d(certificate, NID_subject_alt_name, names.get(), 0, 0) == 1);
}

bssl::UniquePtr<X509> make_leaf(EVP_PKEY* key) {
  bssl::UniquePtr<X509> leaf(X509_new());
  CHECK(leaf != nullptr && X509_set_version(leaf.get(), X509_VERSION_3) == 1);
  uint64_t serial = 0;
  CHECK(RAND_bytes(reinterpret_cast<uint8_t*>(&serial), sizeof serial) == 1);
  // Positive, as RFC 5280, section 4.1.2.2 asks; ASN1_INTEGER_set_uint64 writes the sign byte that
  // this may need.
  CHECK(ASN1_INTEGER_set_uint64(X509_get_serialNumber(leaf.get()), serial | 1) == 1);
  const time_t now = static_cast<time_t>(wall_clock_ns() / static_cast<int64_t>(kNsPerSecond));
  // An hour back, for clients whose clock is late.
  CHECK(ASN1_TIME_adj(X509_getm_notBefore(leaf.get()), now, 0, -3600) != nullptr);
  CHECK(ASN1_TIME_adj(X509_getm_notAfter(leaf.get()), now, kDays, 0) != nullptr);
  X509_NAME* subject = X509_get_subject_name(leaf.get());
  add_name(subject, "O", kOrganization);
  add_name(subject, "CN", kCommonName);
  CHECK(X509_set_issuer_name(leaf.get(), subject) == 1);
  CHECK(X509_set_pubkey(leaf.get(), key) == 1);
  add_dns_name(leaf.get(), kDnsName);
  CHECK(X509_sign(leaf.get(), key, EVP_sha256()) > 0);
  return leaf;
}

std::string_view contents(const BIO* bio) {
  const uint8_t* data = nullptr;
  size_t length = 0;
  CHECK(BIO_mem_contents(bio, &data, &length) == 1);
  return {reinterpret_cast<const char*>(data), length};
}

}  // namespace

std::shared_ptr<const Certificate> Certificate::self_signed() {
  bssl::UniquePtr<EVP_PKEY> key = make_key();
  bssl::UniquePtr<X509> leaf = make_leaf(key.get());
  bssl::UniquePtr<BIO> chain_pem(BIO_new(BIO_s_mem()));
  bssl::UniquePtr<BIO> key_pem(BIO_new(BIO_s_mem()));
  CHECK(PEM_write_bio_X509(chain_pem.get(), leaf.get()) == 1);
  CHECK(PEM_write_bio_PrivateKey(key_pem.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) ==
        1);
  auto certificate = from_pem(contents(chain_pem.get()),
                              contents(key_pem.get()));  // The one way in, with its checks.
  CHECK(certificate.has_value());
  return *certificate;
}

}  // namespace ringway::tls
