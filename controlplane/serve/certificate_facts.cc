#include "controlplane/serve/certificate_facts.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <ctime>
#include <memory>

#include "base/utf8.h"

namespace ringway::serve {
namespace {

struct Free {
  void operator()(BIO* bio) const { BIO_free(bio); }
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(BIGNUM* number) const { BN_free(number); }
  void operator()(char* text) const { OPENSSL_free(text); }
  void operator()(unsigned char* text) const { OPENSSL_free(text); }
};

constexpr size_t kNameBytesMax = 256;  // RFC 5280 appendix A allows 64 characters.

std::string name_part(const X509_NAME* name, int nid) {
  const int at = X509_NAME_get_index_by_NID(name, nid, -1);
  if (at < 0) return "";
  const ASN1_STRING* data = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at));
  unsigned char* bytes = nullptr;
  const int size = ASN1_STRING_to_UTF8(&bytes, data);
  if (size < 0) return "";
  const std::unique_ptr<unsigned char, Free> owner(bytes);
  std::string text(reinterpret_cast<const char*>(bytes), static_cast<size_t>(size));
  if (text.size() > kNameBytesMax || !is_utf8(text)) return "";
  return text;
}

std::string serial_of(const X509* certificate) {
  const std::unique_ptr<BIGNUM, Free> number(
      ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), nullptr));
  if (number == nullptr) return "";
  const std::unique_ptr<char, Free> text(BN_bn2dec(number.get()));
  return text == nullptr ? "" : text.get();
}

std::string algorithm_of(const X509* certificate) {
  const EVP_PKEY* key = X509_get0_pubkey(certificate);
  if (key == nullptr) return "Unknown";
  if (EVP_PKEY_is_a(key, "RSA")) return "RSA";
  if (EVP_PKEY_is_a(key, "EC")) return "ECDSA";
  return EVP_PKEY_is_a(key, "ED25519") ? "Ed25519" : "Unknown";
}

}  // namespace

std::optional<CertificateFacts> read_certificate(std::string_view chain_pem) {
  const std::unique_ptr<BIO, Free> bio(
      BIO_new_mem_buf(chain_pem.data(), static_cast<int>(chain_pem.size())));
  const std::unique_ptr<X509, Free> leaf(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
  if (leaf == nullptr) {
    ERR_clear_error();
    return std::nullopt;
  }
  CertificateFacts facts;
  tm parts{};
  if (ASN1_TIME_to_tm(X509_get0_notAfter(leaf.get()), &parts) == 1)
    facts.not_after_s = timegm(&parts);
  const X509_NAME* issuer = X509_get_issuer_name(leaf.get());
  facts.issuer_organization = name_part(issuer, NID_organizationName);
  facts.issuer_common_name = name_part(issuer, NID_commonName);
  facts.serial_number = serial_of(leaf.get());
  facts.public_key_algorithm = algorithm_of(leaf.get());
  return facts;
}

}  // namespace ringway::serve
