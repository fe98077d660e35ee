#include "controlplane/translate/pem.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <ctime>
#include <memory>

namespace ringway::translate {
namespace {

template <class T, void (*Free)(T*)>
struct Freed {
  void operator()(T* object) const { Free(object); }
};
using Certificate = std::unique_ptr<X509, Freed<X509, X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY, EVP_PKEY_free>>;
struct BioFree {
  void operator()(BIO* bio) const { BIO_free(bio); }
};
using Bio = std::unique_ptr<BIO, BioFree>;

Bio reader(std::string_view text) {
  return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

// An encrypted key must fail, not ask on the terminal.
int no_password(char*, int, int, void*) { return -1; }

int64_t seconds(const ASN1_TIME* time) {
  tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return 0;
  return timegm(&parts);
}

std::vector<std::string> dns_names(X509* leaf) {
  std::vector<std::string> names;
  auto* all =
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(leaf, NID_subject_alt_name, nullptr, nullptr));
  for (int i = 0; i < sk_GENERAL_NAME_num(all); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(all, i);
    if (name->type != GEN_DNS) continue;
    const auto* bytes = reinterpret_cast<const char*>(ASN1_STRING_get0_data(name->d.dNSName));
    std::string text(bytes, static_cast<size_t>(ASN1_STRING_length(name->d.dNSName)));
    std::ranges::transform(text, text.begin(), [](char c) {
      return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    });
    names.push_back(std::move(text));
  }
  GENERAL_NAMES_free(all);
  return names;
}

std::string unsupported_key(EVP_PKEY* key) {
  if (EVP_PKEY_is_a(key, "RSA")) {
    return EVP_PKEY_get_bits(key) >= 2048 ? "" : "an RSA key must have 2048 bits or more";
  }
  if (EVP_PKEY_is_a(key, "EC")) {
    char group[64] = "";
    EVP_PKEY_get_group_name(key, group, sizeof group, nullptr);
    for (const std::string_view known : {"prime256v1", "secp384r1", "secp521r1"}) {
      if (group == known) return "";
    }
    return "an ECDSA key must be on P-256, P-384 or P-521";
  }
  return "the key must be RSA or ECDSA";
}

// The leaf; every further certificate of the chain is parsed as well, and dropped.
std::expected<Certificate, std::string> read_chain(std::string_view chain) {
  const Bio bio = reader(chain);
  Certificate leaf;
  for (int count = 0;; ++count) {
    Certificate next(PEM_read_bio_X509(bio.get(), nullptr, no_password, nullptr));
    if (!next) {
      const bool end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
      ERR_clear_error();
      if (count == 0) return std::unexpected("tls.crt has no PEM certificate");
      if (!end)
        return std::unexpected("tls.crt: certificate " + std::to_string(count + 1) + " is broken");
      return leaf;
    }
    if (count == 0) leaf = std::move(next);
    if (count == 16) return std::unexpected("tls.crt has more than 16 certificates");
  }
}

}  // namespace

std::expected<LeafFacts, std::string> check_key_pair(std::string_view chain, std::string_view key) {
  constexpr size_t kBytesMax = 1u << 20;  // A Secret's limit in Kubernetes (MaxSecretSize).
  if (chain.size() > kBytesMax || key.size() > kBytesMax) {
    return std::unexpected("tls.crt or tls.key is larger than 1 MiB");
  }
  auto leaf = read_chain(chain);
  if (!leaf) return std::unexpected(std::move(leaf).error());
  const Bio bio = reader(key);
  const Key private_key(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_password, nullptr));
  ERR_clear_error();
  if (!private_key) return std::unexpected("tls.key has no PEM private key that can be read");
  if (std::string why = unsupported_key(private_key.get()); !why.empty())
    return std::unexpected(why);
  const bool match = X509_check_private_key(leaf->get(), private_key.get()) == 1;
  ERR_clear_error();
  if (!match) return std::unexpected("certificate and private key do not match");
  return LeafFacts{.not_before_s = seconds(X509_get0_notBefore(leaf->get())),
                   .not_after_s = seconds(X509_get0_notAfter(leaf->get())),
                   .dns_names = dns_names(leaf->get())};
}

bool covers(const LeafFacts& leaf, std::string_view host) {
  const size_t dot = host.find('.');
  for (const std::string& name : leaf.dns_names) {
    if (name == host) return true;
    const bool wildcard = name.starts_with("*.") && dot != std::string_view::npos;
    if (wildcard && host[0] != '*' && std::string_view(name).substr(1) == host.substr(dot))
      return true;
  }
  return false;
}

}  // namespace ringway::translate
