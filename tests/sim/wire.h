// A client's connection to the proxy, in the clear or inside TLS.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "dataplane/io/sim_ring.h"
#include "dataplane/tls/test_client.h"

namespace ringway::sim {

// How clients reach the proxy.
struct Target {
  io::SocketAddress address;
  bool tls = false;
};

class Wire {
 public:
  // Over a peer that was just dialled. `alpn`: what a TLS client offers.
  Wire(io::SimPeer& peer, bool tls, std::string alpn);

  void connected();                        // Call it when the peer is: begins the handshake.
  bool open() const { return open_; }      // Requests may be written.
  void write(std::string_view plain);      // REQUIRES: open().
  // What `bytes` of the proxy mean to the application. Afterwards open() may have become true.
  std::string read(std::string_view bytes);
  // The handshake or a record failed: nothing more will come.
  bool broken() const { return broken_; }

 private:
  void flush();

  io::SimPeer& peer_;
  std::unique_ptr<tls::test::Client> tls_;
  bool open_ = false;
  bool broken_ = false;
};

}  // namespace ringway::sim
