// WebSocket tunnels of the simulation: a client that upgrades, and what the server of such a request does.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "tests/sim/actors.h"

namespace ringway::sim {

// Sends one upgrade, then a known stream of bytes in pieces, half-closes behind it, and checks that the echo of it is right:
// always a prefix, on a calm network the whole. It is done when its connection has ended.
class TunnelActor {
 public:
  TunnelActor(Script& script, io::SocketAddress target);
  void start();
  bool done() const { return done_; }
  std::string describe() const;     // For a failing seed.

 private:
  void write_piece();
  void on_data(std::string_view bytes);
  void on_end(bool reset);
  bool take_head();                 // False: not complete yet, or not a tunnel.

  Script& script_;
  io::SocketAddress target_;
  io::SimPeer* peer_ = nullptr;
  uint32_t id_ = 0;
  uint32_t length_ = 0;             // Of the stream.
  uint32_t written_ = 0;
  uint32_t echoed_ = 0;
  bool tunnel_ = false;
  bool done_ = false;
  std::string head_;
};

// The server's side of a tunnel: answers 101 to an upgrade and from then on sends back what comes; its end follows the client's.
void serve_tunnel(io::SimPeer& peer, const std::string& head);

}  // namespace ringway::sim
