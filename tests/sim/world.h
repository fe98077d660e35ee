// A whole worker on a simulated network: one seed is one schedule. The test plays the clients and the servers.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/io/sim_ring.h"
#include "dataplane/worker/worker.h"

namespace ringway::sim {

struct WorldOptions {
  uint64_t seed = 1;
  bool calm = false;                 // No faults: every request must be answered 200, complete.
  uint32_t clients = 4;
  uint32_t requests_per_client = 5;
  uint32_t servers = 3;
  uint32_t hostile = 0;              // Clients that send nonsense beside them.
  uint32_t h2_clients = 0;           // Clients of HTTP/2 beside those of HTTP/1.1, each with as many requests.
  uint32_t h2_hostile = 0;
  bool tls = false;                  // Clients come to the TLS listener; the hostile ones too, without a handshake.
  uint32_t tunnels = 0;              // Clients that upgrade to WebSocket beside them.
  bool http2 = false;                // Servers speak HTTP/2.
  bool swap_snapshots = true;
};

struct Outcome {
  uint32_t requests_sent = 0;
  uint32_t responses_complete = 0;
  uint32_t responses_ok = 0;         // Status 200, body as expected.
  uint32_t connections_cut = 0;      // A client's connection ended inside or before a response.
  uint32_t tunnels_asked = 0;
  uint32_t tunnels_open = 0;         // A right 101 came.
  uint32_t tunnels_complete = 0;     // Every byte came back.
  uint64_t trace_hash = 0;
  std::string violation;             // First broken promise; "" = none.
};

// Runs the world to its end: all clients done, the worker drained, nothing in flight.
Outcome run_world(const WorldOptions& options);

// byte i of the body of message `id`: both sides know what must arrive.
inline char body_byte(uint32_t id, uint64_t i) { return static_cast<char>('a' + (id * 7 + i) % 26); }
std::string body_of(uint32_t id, uint64_t length);

}  // namespace ringway::sim
