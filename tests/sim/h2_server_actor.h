// A server of the simulation that speaks HTTP/2: checks what it is asked, answers by the seed, and
// at times refuses, resets, says GOAWAY or drops the connection.
#pragma once

#include <memory>
#include <vector>

#include "dataplane/http/h2_test_server.h"
#include "tests/sim/actors.h"

namespace ringway::sim {

class H2ServerActor {
 public:
  explicit H2ServerActor(Script& script) : script_(script) {}
  void accept(io::SimPeer& peer);

 private:
  using Server = http::testing::H2TestServer;
  struct Connection {
    explicit Connection(const Server::Settings& settings) : server(settings) {}
    Server server;
    bool closed = false;
  };
  using Kept = std::shared_ptr<Connection>;

  void consider(io::SimPeer& peer, const Kept& connection, const Server::Request& request);
  void answer(io::SimPeer& peer, const Kept& connection, int32_t stream);
  bool misbehave(io::SimPeer& peer, Connection& connection, int32_t stream);
  void flush(io::SimPeer& peer, Connection& connection);

  Script& script_;
};

}  // namespace ringway::sim
