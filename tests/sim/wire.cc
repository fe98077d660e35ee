#include "tests/sim/wire.h"

#include <openssl/ssl.h>

namespace ringway::sim {

Wire::Wire(io::SimPeer& peer, bool tls, std::string alpn) : peer_(peer) {
  if (!tls) return;
  tls_ = std::make_unique<tls::test::Client>(
      tls::test::ClientOptions{.server_name = "sim.test", .alpn = {std::move(alpn)}});
}

void Wire::connected() {
  if (tls_ == nullptr) {
    open_ = true;
    return;
  }
  open_ = tls_->handshake();
  flush();
}

void Wire::flush() {
  const std::string out = tls_->take_output();
  if (!out.empty()) peer_.write(out);
}

void Wire::write(std::string_view plain) {
  if (tls_ == nullptr) return peer_.write(plain);
  if (plain.empty()) return;
  tls_->write(plain);
  flush();
}

std::string Wire::read(std::string_view bytes) {
  if (tls_ == nullptr) return std::string(bytes);
  if (broken_) return {};
  tls_->feed(bytes);
  if (!open_) {
    open_ = tls_->handshake();
    // Anything but "more bytes, please" is the end of it.
    broken_ = !open_ && SSL_get_error(tls_->ssl(), -1) != SSL_ERROR_WANT_READ;
  }
  std::string plain;
  if (open_) {
    plain = tls_->read();
    broken_ = tls_->alert() >= 0;
  }
  flush();
  return plain;
}

}  // namespace ringway::sim
