#include "controlplane/admission/tls_files.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/log.h"

namespace ringway::admission {
namespace {

constexpr size_t kFileBytesMax = 1u << 20;
constexpr uint64_t kLookEveryNs = kNsPerSecond;

template <auto Free>
struct Deleter {
  template <class T>
  void operator()(T* object) const {
    Free(object);
  }
};
using Certificate = std::unique_ptr<X509, Deleter<&X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Deleter<&EVP_PKEY_free>>;
using Store = std::unique_ptr<X509_STORE, Deleter<&X509_STORE_free>>;
using Bio = std::unique_ptr<BIO, Deleter<&BIO_free>>;
struct FreeStack {
  void operator()(STACK_OF(X509) * stack) const { sk_X509_pop_free(stack, X509_free); }
};
using Chain = std::unique_ptr<STACK_OF(X509), FreeStack>;

std::expected<std::string, std::string> read(const std::string& path) {
  auto text = read_file(path, kFileBytesMax);
  if (!text) return std::unexpected(path + ": " + std::strerror(errno));
  return *std::move(text);
}

// All certificates of a PEM text; empty when there is none or one is broken.
std::vector<Certificate> certificates(const std::string& pem) {
  std::vector<Certificate> found;
  const Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  while (X509* certificate = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr))
    found.emplace_back(certificate);
  const bool end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  ERR_clear_error();
  if (!end) found.clear();
  return found;
}

// Keys under a passphrase are refused: nobody could be asked.
int no_passphrase(char*, int, int, void*) { return -1; }

}  // namespace

struct TlsFiles::Material {
  Certificate leaf;
  Key key;
  Chain chain;
  Store clients;

  static std::expected<std::shared_ptr<const Material>, std::string> read_from(
      const TlsPaths& paths) {
    auto made = std::make_shared<Material>();
    if (auto taken = made->take_pair(paths); !taken) return std::unexpected(taken.error());
    if (!paths.client_ca.empty()) {
      if (auto taken = made->take_clients(paths); !taken) return std::unexpected(taken.error());
    }
    return made;
  }

 private:
  std::expected<void, std::string> take_pair(const TlsPaths& paths) {
    const auto chain_pem = read(paths.certificate);
    if (!chain_pem) return std::unexpected(chain_pem.error());
    auto key_pem = read(paths.key);
    if (!key_pem) return std::unexpected(key_pem.error());
    std::vector<Certificate> found = certificates(*chain_pem);
    if (found.empty()) return std::unexpected(paths.certificate + ": holds no PEM certificate");
    leaf = std::move(found.front());
    chain.reset(sk_X509_new_null());
    for (size_t i = 1; i < found.size(); ++i) sk_X509_push(chain.get(), found[i].release());
    const Bio bio(BIO_new_mem_buf(key_pem->data(), static_cast<int>(key_pem->size())));
    key.reset(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_passphrase, nullptr));
    explicit_bzero(key_pem->data(), key_pem->size());
    const bool fits = key != nullptr && X509_check_private_key(leaf.get(), key.get()) == 1;
    ERR_clear_error();
    if (key == nullptr) return std::unexpected(paths.key + ": holds no PEM private key");
    if (!fits) return std::unexpected(paths.key + " does not match " + paths.certificate);
    return {};
  }

  std::expected<void, std::string> take_clients(const TlsPaths& paths) {
    const auto pem = read(paths.client_ca);
    if (!pem) return std::unexpected(pem.error());
    const std::vector<Certificate> found = certificates(*pem);
    if (found.empty()) return std::unexpected(paths.client_ca + ": holds no PEM certificate");
    clients.reset(X509_STORE_new());
    for (const Certificate& ca : found) X509_STORE_add_cert(clients.get(), ca.get());
    ERR_clear_error();
    return {};
  }
};

std::expected<std::unique_ptr<TlsFiles>, std::string> TlsFiles::load(TlsPaths paths) {
  std::unique_ptr<TlsFiles> files(new TlsFiles(std::move(paths)));
  files->stamps_ = files->stamps();
  auto material = Material::read_from(files->paths_);
  if (!material) return std::unexpected(material.error());
  files->material_ = *std::move(material);
  files->looked_ns_ = monotonic_ns();
  return files;
}

TlsFiles::~TlsFiles() = default;

TlsFiles::Stamps TlsFiles::stamps() const {
  return {stamp_of(paths_.certificate), stamp_of(paths_.key),
          paths_.client_ca.empty() ? std::nullopt : stamp_of(paths_.client_ca)};
}

std::shared_ptr<const TlsFiles::Material> TlsFiles::current() {
  const std::lock_guard lock(mutex_);
  const uint64_t now = monotonic_ns();
  if (now - looked_ns_ < kLookEveryNs) return material_;
  looked_ns_ = now;
  const Stamps found = stamps();  // Before reading: what changes meanwhile is read next time.
  if (found == stamps_) return material_;
  stamps_ = found;
  auto material = Material::read_from(paths_);
  if (material) {
    material_ = *std::move(material);
    log_info("admission webhook: {} is read again", paths_.certificate);
  } else {
    log_warning("admission webhook: {}; the certificate in use stays", material.error());
  }
  return material_;
}

int TlsFiles::choose(SSL* ssl, void* self) {
  const auto material = static_cast<TlsFiles*>(self)->current();
  // All of these take references of their own: the material may be replaced during the handshake.
  if (SSL_use_cert_and_key(ssl, material->leaf.get(), material->key.get(), material->chain.get(),
                           1) != 1) {
    return 0;
  }
  if (material->clients == nullptr) return 1;
  SSL_set_verify(ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  return SSL_set1_verify_cert_store(ssl, material->clients.get());
}

void TlsFiles::install(SSL_CTX& context) {
  SSL_CTX_set_min_proto_version(&context, TLS1_2_VERSION);
  SSL_CTX_set_options(&context, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_session_cache_mode(&context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(&context, 0);
  SSL_CTX_set_cert_cb(&context, choose, this);
}

}  // namespace ringway::admission
