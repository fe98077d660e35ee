#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/ec_key.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/nid.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <optional>
#include <utility>

#include "base/check.h"
#include "dataplane/tls/certificate_data.h"
#include "dataplane/tls/server_context.h"

namespace ringway::tls {
namespace {

using Refusal = std::unexpected<std::string>;

constexpr size_t kChainCertificatesMax = 16;
constexpr size_t kPemBytesMax = 1 << 20;  // The limit of a Kubernetes Secret.
// Below 2048 clients refuse. A signature costs with the cube of the size: of 8192 bits some 60
// times as much as of 2048, of 16384 bits some 500 times, on a worker that serves others too.
constexpr unsigned kRsaBitsMin = 2048;
constexpr unsigned kRsaBitsMax = 8192;
constexpr size_t kNameBytesMax = 253;  // RFC 1035, section 2.3.4, without the length bytes.

// Chains repeat the same few intermediates: one copy of each in the process.
CRYPTO_BUFFER_POOL* certificate_pool() {
  static CRYPTO_BUFFER_POOL* const pool =
      CRYPTO_BUFFER_POOL_new();  // Never freed: certificates may outlive main().
  return pool;
}

std::string library_reason() {
  const char* reason = ERR_reason_error_string(ERR_peek_last_error());
  return reason == nullptr ? "malformed" : reason;
}

bool at_end_of_pem() {
  const uint32_t error = ERR_peek_last_error();
  return ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
}

struct PemBlock {
  std::string name;
  std::vector<uint8_t> der;
};

// The next block; nullopt at the end. Text between blocks is skipped, as every PEM reader does.
std::expected<std::optional<PemBlock>, std::string> next_block(BIO* bio) {
  char* name = nullptr;
  char* header = nullptr;
  uint8_t* data = nullptr;
  long length = 0;  // NOLINT(google-runtime-int): the type of PEM_read_bio.
  ERR_clear_error();
  if (PEM_read_bio(bio, &name, &header, &data, &length) != 1) {
    if (at_end_of_pem()) return std::nullopt;
    return Refusal("bad PEM: " + library_reason());
  }
  PemBlock block{name, {data, data + length}};
  OPENSSL_free(name);
  OPENSSL_free(header);
  OPENSSL_free(data);
  return block;
}

struct Chain {
  std::vector<bssl::UniquePtr<CRYPTO_BUFFER>> buffers;
  std::vector<bssl::UniquePtr<X509>> certificates;
};

std::expected<Chain, std::string> parse_chain(std::string_view pem) {
  if (pem.size() > kPemBytesMax) return Refusal("the certificate chain is larger than 1 MiB");
  bssl::UniquePtr<BIO> bio(BIO_new_mem_buf(pem.data(), static_cast<ptrdiff_t>(pem.size())));
  CHECK(bio != nullptr);
  Chain chain;
  while (true) {
    auto block = next_block(bio.get());
    const std::string place =
        "certificate " + std::to_string(chain.buffers.size() + 1) + " of the chain: ";
    if (!block) return Refusal(place + block.error());
    if (!block->has_value()) break;
    const PemBlock& found = **block;
    if (found.name != PEM_STRING_X509 && found.name != PEM_STRING_X509_OLD) continue;
    if (chain.buffers.size() == kChainCertificatesMax) {
      return Refusal("the chain has more than " + std::to_string(kChainCertificatesMax) +
                     " certificates");
    }
    chain.buffers.emplace_back(
        CRYPTO_BUFFER_new(found.der.data(), found.der.size(), certificate_pool()));
    CHECK(chain.buffers.back() != nullptr);
    chain.certificates.emplace_back(X509_parse_from_buffer(chain.buffers.back().get()));
    if (chain.certificates.back() == nullptr)
      return Refusal(place + "not X.509: " + library_reason());
  }
  if (chain.buffers.empty())
    return Refusal("no certificate found (expected \"-----BEGIN CERTIFICATE-----\")");
  return chain;
}

// Called for an encrypted key only. Without it BoringSSL would ask on the terminal.
int refuse_passphrase(char*, int, int, void* asked) {
  *static_cast<bool*>(asked) = true;
  return 0;
}

std::expected<bssl::UniquePtr<EVP_PKEY>, std::string> parse_key(std::string_view pem) {
  if (pem.size() > kPemBytesMax) return Refusal("the private key is larger than 1 MiB");
  bssl::UniquePtr<BIO> bio(BIO_new_mem_buf(pem.data(), static_cast<ptrdiff_t>(pem.size())));
  CHECK(bio != nullptr);
  ERR_clear_error();
  bool passphrase_asked = false;
  bssl::UniquePtr<EVP_PKEY> key(
      PEM_read_bio_PrivateKey(bio.get(), nullptr, refuse_passphrase, &passphrase_asked));
  if (key != nullptr) return key;
  if (passphrase_asked)
    return Refusal("the private key is encrypted: store it without a passphrase");
  if (at_end_of_pem())
    return Refusal("no private key found (expected \"-----BEGIN PRIVATE KEY-----\")");
  return Refusal("bad private key: " + library_reason());
}

struct KeyKind {
  std::string_view type;
  uint16_t ecdsa_signature;
};

std::expected<KeyKind, std::string> classify_key(const EVP_PKEY* key) {
  if (EVP_PKEY_id(key) == EVP_PKEY_RSA) {
    const unsigned bits = RSA_bits(EVP_PKEY_get0_RSA(key));
    if (bits < kRsaBitsMin || bits > kRsaBitsMax) {
      return Refusal("RSA key of " + std::to_string(bits) + " bits: use " +
                     std::to_string(kRsaBitsMin) + " to " + std::to_string(kRsaBitsMax) +
                     ", or ECDSA P-256");
    }
    return KeyKind{"rsa", 0};
  }
  if (EVP_PKEY_id(key) == EVP_PKEY_EC) {
    switch (EC_GROUP_get_curve_name(EC_KEY_get0_group(EVP_PKEY_get0_EC_KEY(key)))) {
      case NID_X9_62_prime256v1:
        return KeyKind{"ecdsa", SSL_SIGN_ECDSA_SECP256R1_SHA256};
      case NID_secp384r1:
        return KeyKind{"ecdsa", SSL_SIGN_ECDSA_SECP384R1_SHA384};
      case NID_secp521r1:
        return KeyKind{"ecdsa", SSL_SIGN_ECDSA_SECP521R1_SHA512};
      default:
        return Refusal("ECDSA key on an unusual curve: use P-256, P-384 or P-521");
    }
  }
  return Refusal("neither an RSA nor an ECDSA key");
}

bool fits(X509* certificate, EVP_PKEY* key) {
  ERR_clear_error();
  bssl::UniquePtr<EVP_PKEY> public_key(X509_get_pubkey(certificate));
  return public_key != nullptr && EVP_PKEY_cmp(public_key.get(), key) == 1;
}

std::expected<void, std::string> check_fit(const Chain& chain, EVP_PKEY* key) {
  if (fits(chain.certificates[0].get(), key)) return {};
  for (size_t i = 1; i < chain.certificates.size(); ++i) {
    if (!fits(chain.certificates[i].get(), key)) continue;
    return Refusal("the private key fits certificate " + std::to_string(i + 1) +
                   " of the chain, not the first: put the certificate of the host first");
  }
  return Refusal("the private key does not fit the certificate");
}

// The DNS names of the subject alternative name; the common name counts for nothing (RFC 9525,
// section 2). Compared and copied by length: a NUL inside a name must not end it.
std::expected<std::vector<std::string>, std::string> dns_names(const X509* leaf) {
  int critical = 0;
  bssl::UniquePtr<GENERAL_NAMES> general(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(leaf, NID_subject_alt_name, &critical, nullptr)));
  if (general == nullptr) {
    if (critical == -1) return std::vector<std::string>{};
    return Refusal("the subject alternative name of the certificate is malformed");
  }
  std::vector<std::string> names;
  for (const GENERAL_NAME* name : general.get()) {
    if (name->type != GEN_DNS) continue;
    const ASN1_STRING* text = name->d.dNSName;
    std::string dns(reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
                    static_cast<size_t>(ASN1_STRING_length(text)));
    if (dns.empty() || dns.size() > kNameBytesMax)
      return Refusal("a DNS name of the certificate is empty or too long");
    for (char& c : dns) {
      if (c <= ' ' || c >= 0x7f)
        return Refusal("a DNS name of the certificate holds a byte that no host name has");
      if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    }
    names.push_back(std::move(dns));
  }
  return names;
}

std::optional<int64_t> unix_seconds(const ASN1_TIME* time) {
  bssl::UniquePtr<ASN1_TIME> epoch(ASN1_TIME_adj(nullptr, 0, 0, 0));
  int days = 0;
  int seconds = 0;
  if (epoch == nullptr || ASN1_TIME_diff(&days, &seconds, epoch.get(), time) != 1)
    return std::nullopt;
  return int64_t{days} * 86400 + seconds;
}

}  // namespace

Certificate::Certificate() : data_(std::make_unique<Data>()) {}
Certificate::~Certificate() = default;

std::expected<std::shared_ptr<const Certificate>, std::string> Certificate::from_pem(
    std::string_view chain_pem, std::string_view key_pem) {
  auto chain = parse_chain(chain_pem);
  if (!chain) return Refusal(chain.error());
  auto key = parse_key(key_pem);
  if (!key) return Refusal(key.error());
  const auto kind = classify_key(key->get());
  if (!kind) return Refusal(kind.error());
  if (const auto fit = check_fit(*chain, key->get()); !fit) return Refusal(fit.error());
  X509* leaf = chain->certificates[0].get();
  auto names = dns_names(leaf);
  if (!names) return Refusal(names.error());
  const auto not_after = unix_seconds(X509_get0_notAfter(leaf));
  if (!not_after) return Refusal("the end of validity of the certificate is malformed");

  std::shared_ptr<Certificate> certificate(new Certificate);
  Data& data = *certificate->data_;
  data.chain = std::move(chain->buffers);
  for (const auto& buffer : data.chain) data.chain_view.push_back(buffer.get());
  data.key = std::move(*key);
  data.names = std::move(*names);
  data.key_type = kind->type;
  data.ecdsa_signature = kind->ecdsa_signature;
  data.not_after_unix_seconds = *not_after;
  ERR_clear_error();
  return certificate;
}

int64_t Certificate::not_after_unix_seconds() const { return data_->not_after_unix_seconds; }
const std::vector<std::string>& Certificate::names() const { return data_->names; }
std::string_view Certificate::key_type() const { return data_->key_type; }

}  // namespace ringway::tls
