// TLS to the controller (client side, BoringSSL): bytes in, bytes out. TLS 1.2 or later, ALPN h2,
// the peer's name is checked.
#pragma once

#include <expected>
#include <memory>
#include <string>
#include <string_view>

#include "dataplane/config/discovery/discovery_client.h"

struct ssl_st;
struct ssl_ctx_st;

namespace ringway::config {

class ControllerTls {
 public:
  // Reads the files. `server_name`: DNS name or IP address. The error is one line.
  static std::expected<std::unique_ptr<ControllerTls>, std::string> make(
      const DiscoveryTls& files, const std::string& server_name);
  ~ControllerTls();

  // Takes ciphertext; appends plaintext to `out`. False: error() says why; take_output() may hold
  // an alert.
  bool feed(std::string_view bytes, std::string& out);
  bool handshake_done() const { return handshake_done_; }
  bool ended() const { return ended_; }    // The peer said close_notify.
  void write(std::string_view plaintext);  // REQUIRES: handshake_done().
  void take_output(std::string& out);      // Ciphertext for the peer.
  const std::string& error() const { return error_; }

 private:
  ControllerTls() = default;
  void handshake();
  void fail(std::string_view what);

  struct ContextDeleter {
    void operator()(ssl_ctx_st* context) const;
  };
  struct SessionDeleter {
    void operator()(ssl_st* ssl) const;
  };
  std::unique_ptr<ssl_ctx_st, ContextDeleter> context_;
  std::unique_ptr<ssl_st, SessionDeleter> ssl_;
  bool handshake_done_ = false;
  bool ended_ = false;
  std::string error_;
};

}  // namespace ringway::config
