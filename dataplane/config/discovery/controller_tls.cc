#include "dataplane/config/discovery/controller_tls.h"

#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <array>

#include "base/check.h"

namespace ringway::config {
namespace {

std::string library_error() {
  const uint32_t code = ERR_get_error();
  ERR_clear_error();
  const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  return reason == nullptr ? "unknown error" : reason;
}

bool is_address(const std::string& name) {
  in6_addr ignored;
  return ::inet_pton(AF_INET, name.c_str(), &ignored) == 1 ||
         ::inet_pton(AF_INET6, name.c_str(), &ignored) == 1;
}

std::expected<void, std::string> load_files(SSL_CTX* context, const DiscoveryTls& files) {
  if (SSL_CTX_load_verify_locations(context, files.ca_file.c_str(), nullptr) != 1) {
    return std::unexpected("CA file " + files.ca_file + ": " + library_error());
  }
  if (files.certificate_file.empty()) return {};
  if (SSL_CTX_use_certificate_chain_file(context, files.certificate_file.c_str()) != 1) {
    return std::unexpected("certificate file " + files.certificate_file + ": " + library_error());
  }
  if (SSL_CTX_use_PrivateKey_file(context, files.key_file.c_str(), SSL_FILETYPE_PEM) != 1) {
    return std::unexpected("key file " + files.key_file + ": " + library_error());
  }
  if (SSL_CTX_check_private_key(context) != 1) {
    return std::unexpected("key file " + files.key_file + " does not match " +
                           files.certificate_file);
  }
  return {};
}

}  // namespace

void ControllerTls::ContextDeleter::operator()(ssl_ctx_st* context) const { SSL_CTX_free(context); }
void ControllerTls::SessionDeleter::operator()(ssl_st* ssl) const { SSL_free(ssl); }
ControllerTls::~ControllerTls() = default;

std::expected<std::unique_ptr<ControllerTls>, std::string> ControllerTls::make(
    const DiscoveryTls& files, const std::string& server_name) {
  std::unique_ptr<ControllerTls> tls(new ControllerTls);
  ERR_clear_error();
  tls->context_.reset(SSL_CTX_new(TLS_client_method()));
  SSL_CTX* context = tls->context_.get();
  CHECK(context != nullptr);
  CHECK(SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1);
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  if (auto loaded = load_files(context, files); !loaded) return std::unexpected(loaded.error());

  tls->ssl_.reset(SSL_new(context));
  SSL* ssl = tls->ssl_.get();
  CHECK(ssl != nullptr);
  static constexpr uint8_t kAlpn[] = {2, 'h', '2'};
  CHECK(SSL_set_alpn_protos(ssl, kAlpn, sizeof kAlpn) == 0);
  X509_VERIFY_PARAM* verify = SSL_get0_param(ssl);
  bool named = false;
  if (is_address(server_name)) {
    named = X509_VERIFY_PARAM_set1_ip_asc(verify, server_name.c_str()) == 1;
  } else {
    X509_VERIFY_PARAM_set_hostflags(verify, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    named = X509_VERIFY_PARAM_set1_host(verify, server_name.c_str(), server_name.size()) == 1 &&
            SSL_set_tlsext_host_name(ssl, server_name.c_str()) == 1;
  }
  if (!named)
    return std::unexpected("server name \"" + server_name + "\" is no DNS name or IP address");
  BIO* in = BIO_new(BIO_s_mem());
  BIO* out = BIO_new(BIO_s_mem());
  CHECK(in != nullptr && out != nullptr);
  BIO_set_mem_eof_return(in, -1);  // Empty means "more to come", not the end.
  BIO_set_mem_eof_return(out, -1);
  SSL_set_bio(ssl, in, out);
  SSL_set_connect_state(ssl);
  tls->handshake();
  if (!tls->error_.empty()) return std::unexpected(tls->error_);
  return tls;
}

void ControllerTls::fail(std::string_view what) {
  error_ = "TLS " + std::string(what) + ": " + library_error();
  const long verified = SSL_get_verify_result(ssl_.get());
  if (verified != X509_V_OK) error_ += std::string(": ") + X509_verify_cert_error_string(verified);
}

void ControllerTls::handshake() {
  ERR_clear_error();
  const int result = SSL_do_handshake(ssl_.get());
  if (result != 1) {
    if (SSL_get_error(ssl_.get(), result) != SSL_ERROR_WANT_READ) fail("handshake");
    return;
  }
  const uint8_t* protocol = nullptr;
  unsigned length = 0;
  SSL_get0_alpn_selected(ssl_.get(), &protocol, &length);
  if (std::string_view(reinterpret_cast<const char*>(protocol), length) != "h2") {
    error_ = "TLS handshake: the controller does not speak HTTP/2 (ALPN h2)";
    return;
  }
  handshake_done_ = true;
}

bool ControllerTls::feed(std::string_view bytes, std::string& out) {
  if (!error_.empty()) return false;
  BIO* in = SSL_get_rbio(ssl_.get());
  CHECK(BIO_write(in, bytes.data(), static_cast<int>(bytes.size())) ==
        static_cast<int>(bytes.size()));
  if (!handshake_done_) {
    handshake();
    if (!handshake_done_) return error_.empty();
  }
  ERR_clear_error();
  std::array<char, 16384> plain;  // One record.
  for (;;) {
    const int got = SSL_read(ssl_.get(), plain.data(), plain.size());
    if (got > 0) {
      out.append(plain.data(), static_cast<size_t>(got));
      continue;
    }
    const int error = SSL_get_error(ssl_.get(), got);
    if (error == SSL_ERROR_ZERO_RETURN) {
      ended_ = true;
    } else if (error != SSL_ERROR_WANT_READ) {
      fail("read");
    }
    OPENSSL_cleanse(plain.data(), plain.size());
    return error_.empty();
  }
}

void ControllerTls::write(std::string_view plaintext) {
  CHECK(handshake_done_);
  if (!error_.empty() || plaintext.empty()) return;
  ERR_clear_error();
  // The memory BIO takes everything, so a write is whole or fails.
  if (SSL_write(ssl_.get(), plaintext.data(), static_cast<int>(plaintext.size())) <= 0)
    fail("write");
}

void ControllerTls::take_output(std::string& out) {
  BIO* from = SSL_get_wbio(ssl_.get());
  const size_t waiting = BIO_pending(from);
  if (waiting == 0) return;
  const size_t before = out.size();
  out.resize(before + waiting);
  CHECK(BIO_read(from, out.data() + before, static_cast<int>(waiting)) ==
        static_cast<int>(waiting));
}

}  // namespace ringway::config
