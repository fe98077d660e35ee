// A worker on a calm simulated network, with clients and servers that do exactly what a test tells them.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/io/sim_ring.h"
#include "dataplane/worker/worker.h"
#include "tests/sim/message_reader.h"

namespace ringway::worker {

constexpr uint64_t kMs = 1'000'000;
constexpr uint64_t kSecond = 1'000'000'000;

std::string response_of(std::string_view body, std::string_view fields = "");

// A server of the upstream cluster. By default it answers every complete request with 200 and "ok".
struct TestServer {
  io::SocketAddress address;
  std::shared_ptr<upstream::EndpointState> state;
  std::vector<io::SimPeer*> peers;         // Connections in order of arrival.
  std::vector<std::string> requests;       // Head and body of complete ones.
  std::function<void(io::SimPeer&, const std::string& request)> on_request;
  std::function<void(io::SimPeer&, std::string_view bytes)> on_bytes;   // Instead of reading requests.
  size_t bytes = 0;
};

struct StageOptions {
  uint32_t servers = 1;
  config::HttpPolicy policy;
  route::Route route;                      // Clusters are filled in unless `no_cluster`.
  upstream::PoolLimits pool;
  upstream::Protocol protocol = upstream::Protocol::kHttp1;   // Of the servers.
  bool no_cluster = false;
  bool no_endpoints = false;
  std::string path = "/";                  // Of the one route, a prefix.
  config::ListenerKind kind = config::ListenerKind::kHttp;
  std::shared_ptr<tls::ServerContext> tls;
  config::StreamPolicy stream;             // Of kinds that are not HTTP, and of what passes through.
  std::shared_ptr<const config::PreludePolicy> prelude;
  std::shared_ptr<const config::PassthroughHosts> passthrough;   // Their cluster is {0, 1}.
  bool no_stream_cluster = false;
  uint16_t redirect_https_port = 443;
  uint32_t grpc_methods_max = 0;           // WorkerOptions
  uint64_t seed = 1;  // Of the network.
  io::SimFaults faults;
  io::RingOptions ring{.sockets_max = 512, .small = {1024, 256, 1024}, .bulk = {16384, 64, 256}, .output = {1024, 256, 8192}};
};

class Stage {
 public:
  explicit Stage(StageOptions options = {});
  ~Stage();   // Drains, and checks that every gauge is back at zero.

  io::SimPeer& dial(std::string_view text = {}, uint32_t from = 0x0A010001);
  // Publishes the options as they are now. `servers`: how many of the servers are endpoints.
  void publish(uint32_t servers);
  void run(uint64_t ns);
  bool run_until(const std::function<bool()>& done, uint64_t limit_ns = 10 * kSecond);
  // Runs until `peer` has received `text` in its bytes.
  bool receives(io::SimPeer& peer, std::string_view text, uint64_t limit_ns = 10 * kSecond);
  // One request on a connection of its own; what came back when the proxy closed or `limit_ns` passed.
  std::string ask(std::string_view text, uint64_t limit_ns = 100 * kMs);
  void drain(uint64_t stop_accepting_in_ns, uint64_t deadline_in_ns);

  uint64_t now() { return ring.now_ns(); }
  const observe::WorkerStats& stats() const { return worker->stats(); }

  StageOptions options;
  io::SimRing ring;
  std::vector<std::unique_ptr<TestServer>> servers;
  std::vector<uint64_t> retired;           // Generations handed back.
  std::unique_ptr<Worker> worker;
  io::SocketAddress address;

 private:
  void serve(TestServer& server);
  uint64_t generation_ = 0;
};

}  // namespace ringway::worker
