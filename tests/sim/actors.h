// The simulated clients and servers.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "base/random.h"
#include "dataplane/io/sim_ring.h"
#include "tests/sim/message_reader.h"
#include "tests/sim/wire.h"
#include "tests/sim/world.h"

namespace ringway::sim {

// Shared by all actors of one world.
struct Script {
  io::SimRing& ring;
  Random& random;
  bool calm;
  Outcome& outcome;
  uint32_t next_id = 1;
  bool hostile = false;   // There are hostile clients.
  void violate(const std::string& what) {
    if (outcome.violation.empty()) outcome.violation = what;
  }
};

// Serves every connection dialled to it: reads requests, checks that their bodies are what the client of that id sent, answers by the seed.
class ServerActor {
 public:
  explicit ServerActor(Script& script) : script_(script) {}
  void accept(io::SimPeer& peer);

 private:
  struct Connection {
    MessageReader reader{MessageReader::Kind::kRequest};
    bool answering = false;
    bool closed = false;
  };
  void on_data(io::SimPeer& peer, std::shared_ptr<Connection> connection, std::string_view bytes);
  void consider(io::SimPeer& peer, std::shared_ptr<Connection> connection);
  void answer(io::SimPeer& peer, std::shared_ptr<Connection> connection);
  std::string make_response(uint32_t id, uint32_t length, bool head, bool& close);

  Script& script_;
};

// One client: sends its requests one after the other or pipelined, checks the answers.
class ClientActor {
 public:
  ClientActor(Script& script, Target target, uint32_t requests);
  void start();
  bool done() const { return done_; }
  std::string describe() const;     // For a failing seed.

 private:
  struct Expected {
    uint32_t id;
    uint32_t length;
    bool head;
  };
  void connect();
  void send_request();
  void write_body(uint32_t id, uint64_t length, bool chunked);
  void on_data(std::string_view bytes);
  void check_response();
  void on_cut();

  Script& script_;
  Target target_;
  uint32_t left_;
  io::SimPeer* peer_ = nullptr;
  std::unique_ptr<Wire> wire_;
  std::unique_ptr<MessageReader> reader_;
  std::vector<Expected> expected_;    // In order; front: the next answer's.
  bool done_ = false;
  uint32_t generation_ = 0;
};

// A client without manners: random bytes, pieces of requests in any order, leaving at any time. What it gets does not matter; what others get
// does. It names no X-Id, by which servers know whose request they have.
class HostileActor {
 public:
  HostileActor(Script& script, io::SocketAddress target) : script_(script), target_(target) {}
  void start();

 private:
  void act();
  std::string piece();

  Script& script_;
  io::SocketAddress target_;
  io::SimPeer* peer_ = nullptr;
  uint32_t acts_left_ = 40;
};

}  // namespace ringway::sim
