#include "dataplane/config/discovery/testing/certificates.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <cctype>
#include <cstdio>
#include <utility>

#include "base/check.h"

namespace ringway::config::testing {
namespace {

EVP_PKEY* make_key() {
  EC_KEY* ec = EC_KEY_new_by_curve_name(NID_X9_62_prime256v1);
  CHECK(ec != nullptr && EC_KEY_generate_key(ec) == 1);
  EVP_PKEY* key = EVP_PKEY_new();
  CHECK(EVP_PKEY_assign_EC_KEY(key, ec) == 1);
  return key;
}

void extend(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_nconf_nid(nullptr, &context, nid, value.c_str());
  CHECK(extension != nullptr && X509_add_ext(certificate, extension, -1) == 1);
  X509_EXTENSION_free(extension);
}

X509* make_certificate(const std::string& name, EVP_PKEY* key, X509* issuer, EVP_PKEY* issuer_key,
                       long from_s, long to_s) {
  static long serial = 1;
  X509* certificate = X509_new();
  CHECK(certificate != nullptr);
  X509_set_version(certificate, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++serial);
  X509_gmtime_adj(X509_getm_notBefore(certificate), from_s);
  X509_gmtime_adj(X509_getm_notAfter(certificate), to_s);
  X509_NAME* subject = X509_get_subject_name(certificate);
  X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
                             reinterpret_cast<const uint8_t*>(name.c_str()), -1, -1, 0);
  X509_set_issuer_name(certificate, issuer == nullptr ? subject : X509_get_subject_name(issuer));
  X509_set_pubkey(certificate, key);
  if (issuer == nullptr) {
    extend(certificate, certificate, NID_basic_constraints, "critical,CA:TRUE");
  } else {
    const bool address = std::isdigit(static_cast<unsigned char>(name.front())) != 0;
    extend(certificate, issuer, NID_subject_alt_name, (address ? "IP:" : "DNS:") + name);
  }
  CHECK(X509_sign(certificate, issuer_key, EVP_sha256()) > 0);
  return certificate;
}

void write_certificate(const std::string& path, X509* certificate) {
  FILE* file = std::fopen(path.c_str(), "w");
  CHECK(file != nullptr && PEM_write_X509(file, certificate) == 1);
  std::fclose(file);
}

void write_key(const std::string& path, EVP_PKEY* key) {
  FILE* file = std::fopen(path.c_str(), "w");
  CHECK(file != nullptr &&
        PEM_write_PrivateKey(file, key, nullptr, nullptr, 0, nullptr, nullptr) == 1);
  std::fclose(file);
}

}  // namespace

struct TestCa::Keys {
  EVP_PKEY* key;
  X509* certificate;
};

TestCa::TestCa(std::string folder, const std::string& name)
    : folder_(std::move(folder)),
      name_(name),
      file_(folder_ + "/" + name + "-ca.pem"),
      keys_(new Keys) {
  keys_->key = make_key();
  keys_->certificate =
      make_certificate(name + " CA", keys_->key, nullptr, keys_->key, -86400, 86400);
  write_certificate(file_, keys_->certificate);
}

TestCa::~TestCa() {
  X509_free(keys_->certificate);
  EVP_PKEY_free(keys_->key);
  delete keys_;
}

CertificateFiles TestCa::sign(const std::string& name, int days) const {
  const CertificateFiles files{folder_ + "/" + name_ + "-" + name + std::to_string(days) + ".pem",
                               folder_ + "/" + name_ + "-" + name + std::to_string(days) + ".key"};
  EVP_PKEY* key = make_key();
  const long end_s = days * 86400L;
  X509* certificate =
      make_certificate(name, key, keys_->certificate, keys_->key, end_s - 2 * 86400L, end_s);
  write_certificate(files.certificate, certificate);
  write_key(files.key, key);
  X509_free(certificate);
  EVP_PKEY_free(key);
  return files;
}

}  // namespace ringway::config::testing
