// A client's connection, in clear or TLS 1.3, for a load generator: the certificate is not judged,
// the newest session can be resumed.
//
// Thread rule: one thread. A Tls outlives its sockets.
#pragma once

#include <netinet/in.h>
#include <openssl/ssl.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace ringway::bench {

// What the connections of one run share.
class Tls {
 public:
  Tls(std::string server_name, bool resume);
  Tls(const Tls&) = delete;
  Tls& operator=(const Tls&) = delete;

  uint64_t handshakes = 0, resumed = 0;  // Completed; of these, resumed.
  std::string cipher;                    // Of the last.

 private:
  friend class ClientSocket;
  static int on_session(SSL* ssl, SSL_SESSION* session);

  bssl::UniquePtr<SSL_CTX> context_;
  bssl::UniquePtr<SSL_SESSION> session_;
  std::string server_name_;
  bool resume_;
};

// Where connections come from and go to.
struct Route {
  sockaddr_in to{};
  uint32_t sources = 1;
  uint64_t opened = 0;  // Chooses the source.
};

class ClientSocket {
 public:
  enum class Result : uint8_t { kDone, kAgain, kEnded, kBroken };

  ClientSocket() = default;
  ClientSocket(ClientSocket&& other) noexcept;
  ~ClientSocket() { close(); }

  // Begins to connect. False: refused or out of something, errno says what; the socket is closed.
  // `tls`: nullptr for clear text.
  bool open(Route& route, Tls* tls, bool blocking = false);
  void close();  // With close_notify where TLS is open.
  bool is_open() const { return fd_ >= 0; }
  int fd() const { return fd_; }

  // kDone: `moved` bytes, at least one. A TLS handshake goes on inside, both ways.
  Result send(std::span<const char> bytes, size_t& moved);
  Result receive(std::span<char> into, size_t& moved);

 private:
  Result of_ssl(int result);
  void count_handshake();

  int fd_ = -1;
  bool counted_ = false;
  Tls* tls_ = nullptr;
  bssl::UniquePtr<SSL> ssl_;
};

}  // namespace ringway::bench
