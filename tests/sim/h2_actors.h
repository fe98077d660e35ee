// Simulated HTTP/2 clients: one with manners, one without.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "dataplane/http/h2_test_client.h"
#include "tests/sim/actors.h"

namespace ringway::sim {

// Sends its requests a few at a time, each on a stream of one connection, and checks the answers. A
// connection that ends is replaced; what was open on it is lost.
class H2ClientActor {
 public:
  H2ClientActor(Script& script, Target target, uint32_t requests);
  void start() { connect(); }
  bool done() const { return done_; }
  std::string describe() const;

 private:
  struct Expected {
    uint32_t id;
    uint32_t length;
    bool head;
  };
  void connect();
  void send_requests();
  void send_request();
  void check();
  bool check_response(uint32_t stream, const Expected& expected);  // True: it is over.
  void on_cut();
  void flush();

  Script& script_;
  Target target_;
  uint32_t left_;
  io::SimPeer* peer_ = nullptr;
  std::unique_ptr<Wire> wire_;
  std::unique_ptr<http::testing::H2TestClient> client_;
  std::map<uint32_t, Expected> expected_;  // By stream.
  uint32_t sent_on_connection_ = 0;
  uint32_t generation_ = 0;
  bool done_ = false;
};

// Frames of every kind in any order, garbage between them, leaving at any time. Its requests name
// no X-Id.
class H2HostileActor {
 public:
  H2HostileActor(Script& script, io::SocketAddress target) : script_(script), target_(target) {}
  void start();

 private:
  void act();
  std::string piece();

  Script& script_;
  io::SocketAddress target_;
  io::SimPeer* peer_ = nullptr;
  uint32_t next_stream_ = 1;
  uint32_t acts_left_ = 60;
};

}  // namespace ringway::sim
