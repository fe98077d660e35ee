// Where the controller is: parsing of --controller, and name lookup that does not block the control
// thread.
#pragma once

#include <expected>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/io/ring.h"

namespace ringway::config {

struct ControllerAddress {
  std::string host;  // Name, IP address, or path when `local`.
  std::string port;
  bool local = false;  // unix:
  // Set for unix: and for literal IP addresses: no lookup needed.
  std::vector<io::SocketAddress> literal;
};

// "unix:/path", "unix:@abstract", "host:port", "10.0.0.1:18000", "[::1]:18000". The error is one
// line.
std::expected<ControllerAddress, std::string> parse_controller_address(std::string_view text);

// Looks one name up at a time. getaddrinfo(3) runs on a short-lived thread that shares nothing but
// one end of a socket pair with us.
class NameLookup {
 public:
  using Done = std::function<void(std::vector<io::SocketAddress>)>;  // Empty: not found.

  explicit NameLookup(io::Ring& ring);
  // REQUIRES: idle(). False when no thread or descriptor could be had.
  bool start(const std::string& host, const std::string& port, Done done);
  // Forgets the lookup; idle() once the ring has given everything back. `idled` is called then,
  // when it was not idle already.
  void cancel();
  bool idle() const { return !pipe_.valid(); }
  std::function<void()> idled;

 private:
  void on_recv(io::Completion&& completion);
  void on_close(io::Completion&& completion);

  io::Ring& ring_;
  io::Socket pipe_;
  io::Op recv_;
  io::Op close_;
  std::string answer_;
  Done done_;
};

}  // namespace ringway::config
