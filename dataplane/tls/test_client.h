// Both ends of a TLS connection in one process: BoringSSL's own client over memory, and a Session
// behind strings.
#pragma once

#include <openssl/ssl.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/io/buffer_pool.h"
#include "dataplane/tls/server_context.h"
#include "dataplane/tls/session.h"

namespace ringway::tls::test {

struct ClientOptions {
  std::string server_name = "a.example.com";  // "": no SNI.
  std::vector<std::string> alpn;
  uint16_t version_min = TLS1_2_VERSION;
  uint16_t version_max = TLS1_3_VERSION;
  std::vector<uint16_t> signatures;  // Empty: all that BoringSSL offers.
  std::string ciphers;               // Of TLS 1.2.
  SSL_SESSION* session = nullptr;    // To resume.
};

class Client {
 public:
  explicit Client(const ClientOptions& options);

  // Goes on with the handshake. True when it is complete.
  bool handshake();
  void feed(std::string_view ciphertext);  // From the server.
  std::string take_output();               // To the server.
  void write(std::string_view plain);
  std::string read();  // All that is there.
  void shutdown() { SSL_shutdown(ssl_.get()); }
  bool closed() const { return (SSL_get_shutdown(ssl_.get()) & SSL_RECEIVED_SHUTDOWN) != 0; }

  SSL* ssl() { return ssl_.get(); }
  std::string alpn() const;
  std::string leaf_name() const;  // The first DNS name of the leaf it was shown.
  std::string leaf_key() const;   // "ecdsa" or "rsa"
  bool resumed() const { return SSL_session_reused(ssl_.get()) == 1; }
  // From the last ticket; nullptr when none came.
  SSL_SESSION* session() const { return session_.get(); }
  int alert() const { return alert_; }  // The fatal alert the server sent, -1 when none.

 private:
  bssl::UniquePtr<SSL_CTX> context_;
  bssl::UniquePtr<SSL> ssl_;
  bssl::UniquePtr<SSL_SESSION> session_;
  int alert_ = -1;
};

class Server {
 public:
  explicit Server(std::shared_ptr<ServerContext> context, uint32_t output_buffer_bytes = 4096);

  SessionState receive(std::string_view ciphertext, size_t slice_bytes = 4096);
  bool send(std::string_view plain, size_t slice_bytes = 4096);
  bool send(io::SliceQueue& plain) { return session->send(plain, cipher_out); }
  void shutdown() { session->shutdown(cipher_out); }
  std::string take_output();
  std::string take_plain();
  uint32_t buffers_in_use() const { return input.in_use() + output.in_use(); }

  io::BufferPool input;
  io::BufferPool output;
  io::SliceQueue plain;
  io::SliceQueue cipher_out;
  std::unique_ptr<Session> session;
};

std::string take_all(io::SliceQueue& queue);
io::Slice slice_of(io::BufferPool& pool, std::string_view bytes);  // REQUIRES: bytes fit a buffer.

// Moves bytes to and fro until neither side has any; ciphertext reaches the server in slices of
// `slice_bytes`. True when both ends have completed the handshake.
bool connect(Client& client, Server& server, size_t slice_bytes = 4096);

}  // namespace ringway::tls::test
