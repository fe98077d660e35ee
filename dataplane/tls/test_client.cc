#include "dataplane/tls/test_client.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "base/check.h"

namespace ringway::tls::test {

Client::Client(const ClientOptions& options) : context_(SSL_CTX_new(TLS_method())) {
  SSL_CTX* context = context_.get();
  CHECK(SSL_CTX_set_min_proto_version(context, options.version_min) == 1);
  CHECK(SSL_CTX_set_max_proto_version(context, options.version_max) == 1);
  SSL_CTX_set_custom_verify(context, SSL_VERIFY_PEER, [](SSL*, uint8_t*) { return ssl_verify_ok; });
  if (!options.signatures.empty()) {
    CHECK(SSL_CTX_set_verify_algorithm_prefs(context, options.signatures.data(),
                                             options.signatures.size()) == 1);
  }
  if (!options.ciphers.empty())
    CHECK(SSL_CTX_set_strict_cipher_list(context, options.ciphers.c_str()) == 1);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_set_app_data(context, this);
  SSL_CTX_sess_set_new_cb(context, [](SSL* ssl, SSL_SESSION* session) {
    static_cast<Client*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)))->session_.reset(session);
    return 1;  // The reference is ours.
  });
  SSL_CTX_set_info_callback(context, [](const SSL* ssl, int type, int value) {
    if ((type & SSL_CB_READ_ALERT) != SSL_CB_READ_ALERT || value >> 8 != SSL3_AL_FATAL) return;
    static_cast<Client*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)))->alert_ = value & 0xff;
  });
  ssl_.reset(SSL_new(context));
  SSL_set_bio(ssl_.get(), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
  if (!options.server_name.empty())
    CHECK(SSL_set_tlsext_host_name(ssl_.get(), options.server_name.c_str()) == 1);
  std::string alpn;
  for (const std::string& name : options.alpn) alpn += static_cast<char>(name.size()) + name;
  if (!alpn.empty()) {
    CHECK(SSL_set_alpn_protos(ssl_.get(), reinterpret_cast<const uint8_t*>(alpn.data()),
                              alpn.size()) == 0);
  }
  if (options.session != nullptr) CHECK(SSL_set_session(ssl_.get(), options.session) == 1);
  SSL_set_connect_state(ssl_.get());
}

bool Client::handshake() {
  ERR_clear_error();
  return SSL_do_handshake(ssl_.get()) == 1;
}

void Client::feed(std::string_view ciphertext) {
  CHECK(BIO_write_all(SSL_get_rbio(ssl_.get()), ciphertext.data(), ciphertext.size()) == 1);
}

std::string Client::take_output() {
  BIO* bio = SSL_get_wbio(ssl_.get());
  const uint8_t* data = nullptr;
  size_t length = 0;
  CHECK(BIO_mem_contents(bio, &data, &length) == 1);
  std::string out(reinterpret_cast<const char*>(data), length);
  CHECK(BIO_reset(bio) == 1);
  return out;
}

void Client::write(std::string_view plain) {
  ERR_clear_error();
  CHECK(SSL_write(ssl_.get(), plain.data(), static_cast<int>(plain.size())) ==
        static_cast<int>(plain.size()));
}

std::string Client::read() {
  ERR_clear_error();
  std::string out;
  std::array<char, 16384> buffer;
  for (int n; (n = SSL_read(ssl_.get(), buffer.data(), buffer.size())) > 0;)
    out.append(buffer.data(), static_cast<size_t>(n));
  return out;
}

std::string Client::alpn() const {
  const uint8_t* name = nullptr;
  unsigned length = 0;
  SSL_get0_alpn_selected(ssl_.get(), &name, &length);
  return {reinterpret_cast<const char*>(name), length};
}

std::string Client::leaf_name() const {
  bssl::UniquePtr<X509> leaf(SSL_get_peer_certificate(ssl_.get()));
  if (leaf == nullptr) return "";
  bssl::UniquePtr<GENERAL_NAMES> names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(leaf.get(), NID_subject_alt_name, nullptr, nullptr)));
  if (names == nullptr || sk_GENERAL_NAME_num(names.get()) == 0) return "";
  const ASN1_STRING* text = sk_GENERAL_NAME_value(names.get(), 0)->d.dNSName;
  return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
          static_cast<size_t>(ASN1_STRING_length(text))};
}

std::string Client::leaf_key() const {
  bssl::UniquePtr<X509> leaf(SSL_get_peer_certificate(ssl_.get()));
  if (leaf == nullptr) return "";
  bssl::UniquePtr<EVP_PKEY> key(X509_get_pubkey(leaf.get()));
  return EVP_PKEY_id(key.get()) == EVP_PKEY_EC ? "ecdsa" : "rsa";
}

Server::Server(std::shared_ptr<ServerContext> context, uint32_t output_buffer_bytes)
    : input({4096, 64, 64}),
      output({output_buffer_bytes, 64, 65536}),
      session(Session::accept(std::move(context), output)) {}

SessionState Server::receive(std::string_view ciphertext, size_t slice_bytes) {
  while (!ciphertext.empty()) {
    const size_t bytes = std::min(slice_bytes, ciphertext.size());
    session->receive(slice_of(input, ciphertext.substr(0, bytes)), plain, cipher_out);
    ciphertext.remove_prefix(bytes);
  }
  return session->state();
}

bool Server::send(std::string_view bytes, size_t slice_bytes) {
  io::SliceQueue queue;
  while (!bytes.empty()) {
    const size_t part = std::min(slice_bytes, bytes.size());
    queue.push(slice_of(input, bytes.substr(0, part)));
    bytes.remove_prefix(part);
  }
  return session->send(queue, cipher_out);
}

std::string Server::take_output() { return take_all(cipher_out); }
std::string Server::take_plain() { return take_all(plain); }

std::string take_all(io::SliceQueue& queue) {
  std::string out;
  while (!queue.empty()) out += queue.pop().view();
  return out;
}

io::Slice slice_of(io::BufferPool& pool, std::string_view bytes) {
  io::Slice slice = pool.take();
  CHECK(bytes.size() <= slice.tail().size());
  std::memcpy(slice.tail().data(), bytes.data(), bytes.size());
  slice.extend(static_cast<uint32_t>(bytes.size()));
  return slice;
}

bool connect(Client& client, Server& server, size_t slice_bytes) {
  bool complete = false;
  while (true) {
    complete = client.handshake();
    const std::string to_server = client.take_output();
    server.receive(to_server, slice_bytes);
    const std::string to_client = server.take_output();
    client.feed(to_client);
    if (to_server.empty() && to_client.empty()) break;
  }
  return complete && server.session->state() == SessionState::kOpen;
}

}  // namespace ringway::tls::test
