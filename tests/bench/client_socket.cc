#include "tests/bench/client_socket.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <utility>

namespace ringway::bench {

Tls::Tls(std::string server_name, bool resume)
    : context_(SSL_CTX_new(TLS_method())), server_name_(std::move(server_name)), resume_(resume) {
  SSL_CTX* context = context_.get();
  SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
  SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION);
  // One key exchange for all, so that servers do equal work.
  const int groups[] = {NID_X25519};
  SSL_CTX_set1_curves(context, groups, 1);
  static const uint8_t kHttp1[] = "\x08http/1.1";
  SSL_CTX_set_alpn_protos(context, kHttp1, sizeof kHttp1 - 1);
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_app_data(context, this);
  if (resume) {
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(context, on_session);
  }
}

int Tls::on_session(SSL* ssl, SSL_SESSION* session) {
  static_cast<Tls*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)))->session_.reset(session);
  return 1;  // It is ours now.
}

ClientSocket::ClientSocket(ClientSocket&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      counted_(other.counted_),
      tls_(other.tls_),
      ssl_(std::move(other.ssl_)) {}

bool ClientSocket::open(Route& route, Tls* tls, bool blocking) {
  fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | (blocking ? 0 : SOCK_NONBLOCK), 0);
  if (fd_ < 0) return false;
  const int on = 1;
  setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (route.sources > 1) {
    // The port is chosen at connect(), where only the whole four numbers must be free.
    setsockopt(fd_, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    sockaddr_in from{};
    from.sin_family = AF_INET;
    from.sin_addr.s_addr = htonl(0x7F010001 + static_cast<uint32_t>(route.opened % route.sources));
    if (bind(fd_, reinterpret_cast<const sockaddr*>(&from), sizeof from) != 0)
      return close(), false;
  }
  ++route.opened;
  if (connect(fd_, reinterpret_cast<const sockaddr*>(&route.to), sizeof route.to) != 0 &&
      errno != EINPROGRESS) {
    const int why = errno;
    close();
    errno = why;
    return false;
  }
  if (tls != nullptr) {
    tls_ = tls;
    counted_ = false;
    ssl_.reset(SSL_new(tls->context_.get()));
    SSL_set_fd(ssl_.get(), fd_);
    SSL_set_tlsext_host_name(ssl_.get(), tls->server_name_.c_str());
    SSL_set_connect_state(ssl_.get());
    if (tls->resume_ && tls->session_ != nullptr) SSL_set_session(ssl_.get(), tls->session_.get());
  }
  return true;
}

void ClientSocket::close() {
  if (fd_ < 0) return;
  if (ssl_ != nullptr) {
    if (counted_) SSL_shutdown(ssl_.get());
    ERR_clear_error();
    ssl_.reset();
  }
  ::close(fd_);
  fd_ = -1;
}

void ClientSocket::count_handshake() {
  if (counted_ || SSL_in_init(ssl_.get())) return;
  counted_ = true;
  ++tls_->handshakes;
  tls_->resumed += SSL_session_reused(ssl_.get()) ? 1 : 0;
  if (tls_->cipher.empty()) tls_->cipher = SSL_get_cipher_name(ssl_.get());
}

ClientSocket::Result ClientSocket::of_ssl(int result) {
  const int error = SSL_get_error(ssl_.get(), result);
  if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) return Result::kAgain;
  if (error == SSL_ERROR_ZERO_RETURN || (error == SSL_ERROR_SYSCALL && result == 0))
    return Result::kEnded;
  ERR_clear_error();
  return Result::kBroken;
}

ClientSocket::Result ClientSocket::send(std::span<const char> bytes, size_t& moved) {
  if (ssl_ != nullptr) {
    const int put = SSL_write(ssl_.get(), bytes.data(), static_cast<int>(bytes.size()));
    count_handshake();
    if (put <= 0) return of_ssl(put);
    moved = static_cast<size_t>(put);
    return Result::kDone;
  }
  const ssize_t put = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  if (put < 0) return errno == EAGAIN ? Result::kAgain : Result::kBroken;
  moved = static_cast<size_t>(put);
  return Result::kDone;
}

ClientSocket::Result ClientSocket::receive(std::span<char> into, size_t& moved) {
  ssize_t got = 0;
  if (ssl_ != nullptr) {
    got = SSL_read(ssl_.get(), into.data(), static_cast<int>(into.size()));
    if (got <= 0) return of_ssl(static_cast<int>(got));
  } else {
    got = recv(fd_, into.data(), into.size(), 0);
    if (got < 0) return errno == EAGAIN ? Result::kAgain : Result::kBroken;
    if (got == 0) return Result::kEnded;
  }
  moved = static_cast<size_t>(got);
  return Result::kDone;
}

}  // namespace ringway::bench
