#include "controlplane/identity/x509.h"

#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <array>
#include <ctime>
#include <memory>

#include "base/check.h"

namespace ringway::identity {
namespace {

template <auto Free>
struct Deleter {
  template <class T>
  void operator()(T* object) const {
    Free(object);
  }
};
using Certificate = std::unique_ptr<X509, Deleter<&X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Deleter<&EVP_PKEY_free>>;
using Bio = std::unique_ptr<BIO, Deleter<&BIO_free>>;
using Extension = std::unique_ptr<X509_EXTENSION, Deleter<&X509_EXTENSION_free>>;
using Names = std::unique_ptr<GENERAL_NAMES, Deleter<&GENERAL_NAMES_free>>;

std::string take_text(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return {data, static_cast<size_t>(size)};
}

std::string to_pem(X509* certificate) {
  const Bio bio(BIO_new(BIO_s_mem()));
  CHECK(PEM_write_bio_X509(bio.get(), certificate) == 1);
  return take_text(bio.get());
}

Bio reader(std::string_view pem) {
  return Bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
}

Certificate read_certificate(std::string_view pem) {
  const Bio bio = reader(pem);
  Certificate certificate(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
  ERR_clear_error();
  return certificate;
}

int no_passphrase(char*, int, int, void*) { return -1; }

Key read_key(std::string_view pem) {
  const Bio bio = reader(pem);
  Key key(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_passphrase, nullptr));
  ERR_clear_error();
  return key;
}

// nullptr: a name has no form that a certificate can hold.
Names alternative_names(const Subject& subject) {
  Names names(sk_GENERAL_NAME_new_null());
  const auto add = [&](int type, const std::string& value) {
    GENERAL_NAME* name =
        a2i_GENERAL_NAME(nullptr, nullptr, nullptr, type, const_cast<char*>(value.c_str()), 0);
    if (name != nullptr) sk_GENERAL_NAME_push(names.get(), name);
    ERR_clear_error();
    return name != nullptr;
  };
  for (const std::string& name : subject.names) {
    in6_addr ignored;
    const bool address = ::inet_pton(AF_INET, name.c_str(), &ignored) == 1 ||
                         ::inet_pton(AF_INET6, name.c_str(), &ignored) == 1;
    if (!add(address ? GEN_IPADD : GEN_DNS, name)) return nullptr;
  }
  for (const std::string& uri : subject.uris) {
    if (!add(GEN_URI, uri)) return nullptr;
  }
  return names;
}

void add_extension(X509* certificate, X509V3_CTX& context, int nid, const char* value) {
  const Extension extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value));
  CHECK(extension != nullptr);
  CHECK(X509_add_ext(certificate, extension.get(), -1) == 1);
}

// Everything but the extensions and the signature.
Certificate blank(const std::string& common_name, EVP_PKEY* key, const Validity& validity) {
  Certificate certificate(X509_new());
  CHECK(certificate != nullptr);
  X509* x = certificate.get();
  CHECK(X509_set_version(x, X509_VERSION_3) == 1);
  std::array<unsigned char, 16> serial;
  CHECK(RAND_bytes(serial.data(), serial.size()) == 1);
  serial[0] = static_cast<unsigned char>((serial[0] & 0x3F) | 0x40);  // Positive, never short.
  BIGNUM* number = BN_bin2bn(serial.data(), serial.size(), nullptr);
  CHECK(BN_to_ASN1_INTEGER(number, X509_get_serialNumber(x)) != nullptr);
  BN_free(number);
  CHECK(ASN1_TIME_set(X509_getm_notBefore(x), validity.not_before_s) != nullptr);
  CHECK(ASN1_TIME_set(X509_getm_notAfter(x), validity.not_after_s) != nullptr);
  CHECK(X509_set_pubkey(x, key) == 1);
  CHECK(X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_UTF8,
                                   reinterpret_cast<const unsigned char*>(common_name.c_str()), -1,
                                   -1, 0) == 1);
  return certificate;
}

int64_t seconds(const ASN1_TIME* time) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return 0;
  return ::timegm(&parts);
}

}  // namespace

std::string make_key() {
  const Key key(EVP_EC_gen("P-256"));
  CHECK(key != nullptr);
  const Bio bio(BIO_new(BIO_s_secmem()));
  CHECK(PEM_write_bio_PrivateKey(bio.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) == 1);
  return take_text(bio.get());
}

KeyPair make_authority(const std::string& common_name, const Validity& validity) {
  KeyPair pair{"", make_key()};
  const Key key = read_key(pair.key);
  const Certificate certificate = blank(common_name, key.get(), validity);
  X509* x = certificate.get();
  CHECK(X509_set_issuer_name(x, X509_get_subject_name(x)) == 1);
  X509V3_CTX context;
  X509V3_set_ctx(&context, x, x, nullptr, nullptr, 0);
  add_extension(x, context, NID_basic_constraints, "critical,CA:TRUE,pathlen:0");
  add_extension(x, context, NID_key_usage, "critical,keyCertSign,cRLSign");
  add_extension(x, context, NID_subject_key_identifier, "hash");
  CHECK(X509_sign(x, key.get(), EVP_sha256()) > 0);
  pair.certificate = to_pem(x);
  return pair;
}

std::expected<std::string, std::string> sign(const KeyPair& authority, const std::string& key,
                                             const Subject& subject, const Validity& validity) {
  const Certificate issuer = read_certificate(authority.certificate);
  const Key issuer_key = read_key(authority.key);
  const Key own = read_key(key);
  if (issuer == nullptr || issuer_key == nullptr)
    return std::unexpected("the authority's certificate or key cannot be read");
  if (own == nullptr) return std::unexpected("the key cannot be read");
  const Names names = alternative_names(subject);
  if (names == nullptr) return std::unexpected("a name cannot stand in a certificate");
  const Certificate certificate = blank(subject.common_name, own.get(), validity);
  X509* x = certificate.get();
  CHECK(X509_set_issuer_name(x, X509_get_subject_name(issuer.get())) == 1);
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer.get(), x, nullptr, nullptr, 0);
  add_extension(x, context, NID_basic_constraints, "critical,CA:FALSE");
  add_extension(x, context, NID_key_usage, "critical,digitalSignature");
  if (subject.server || subject.client) {
    add_extension(x, context, NID_ext_key_usage,
                  subject.server && subject.client ? "serverAuth,clientAuth"
                  : subject.server                 ? "serverAuth"
                                                   : "clientAuth");
  }
  add_extension(x, context, NID_subject_key_identifier, "hash");
  add_extension(x, context, NID_authority_key_identifier, "keyid:always");
  if (sk_GENERAL_NAME_num(names.get()) > 0) {
    CHECK(X509_add1_ext_i2d(x, NID_subject_alt_name, names.get(), 0, X509V3_ADD_DEFAULT) == 1);
  }
  if (X509_sign(x, issuer_key.get(), EVP_sha256()) <= 0) {
    ERR_clear_error();
    return std::unexpected("the authority's key cannot sign");
  }
  return to_pem(x);
}

std::expected<Validity, std::string> validity_of(std::string_view certificate) {
  const Certificate x = read_certificate(certificate);
  if (x == nullptr) return std::unexpected("not a PEM certificate");
  return Validity{seconds(X509_get0_notBefore(x.get())), seconds(X509_get0_notAfter(x.get()))};
}

bool names_are(std::string_view certificate, const Subject& subject) {
  const Certificate x = read_certificate(certificate);
  const Names wanted = alternative_names(subject);
  if (x == nullptr || wanted == nullptr) return false;
  const Names found(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(x.get(), NID_subject_alt_name, nullptr, nullptr)));
  ERR_clear_error();
  const int count = found == nullptr ? 0 : sk_GENERAL_NAME_num(found.get());
  if (count != sk_GENERAL_NAME_num(wanted.get())) return false;
  for (int i = 0; i < count; ++i) {
    if (GENERAL_NAME_cmp(sk_GENERAL_NAME_value(found.get(), i),
                         sk_GENERAL_NAME_value(wanted.get(), i)) != 0) {
      return false;
    }
  }
  return true;
}

bool belong_together(const KeyPair& pair) {
  const Certificate x = read_certificate(pair.certificate);
  const Key key = read_key(pair.key);
  const bool fit =
      x != nullptr && key != nullptr && X509_check_private_key(x.get(), key.get()) == 1;
  ERR_clear_error();
  return fit;
}

bool signed_by_one_of(std::string_view certificate, std::string_view bundle) {
  const Certificate x = read_certificate(certificate);
  if (x == nullptr) return false;
  for (const std::string& pem : split(bundle)) {
    const Certificate authority = read_certificate(pem);
    const bool signed_by =
        authority != nullptr && X509_verify(x.get(), X509_get0_pubkey(authority.get())) == 1;
    ERR_clear_error();
    if (signed_by) return true;
  }
  return false;
}

std::vector<std::string> split(std::string_view bundle) {
  std::vector<std::string> out;
  const Bio bio = reader(bundle);
  for (;;) {
    const Certificate x(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
    if (x != nullptr) {
      out.push_back(to_pem(x.get()));
      continue;
    }
    const bool end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    ERR_clear_error();
    if (end) return out;
  }
}

}  // namespace ringway::identity
