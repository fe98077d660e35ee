#include "tests/sim/world.h"

#include <arpa/inet.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>

#include "tests/sim/actors.h"
#include "dataplane/tls/server_context.h"
#include "dataplane/tls/test_keys.h"
#include "tests/sim/h2_actors.h"
#include "tests/sim/h2_server_actor.h"
#include "tests/sim/tunnel_actor.h"

namespace ringway::sim {
namespace {

constexpr uint64_t kMs = 1'000'000;

io::SocketAddress address(uint32_t ip, uint16_t port) {
  io::SocketAddress out;
  out.v4.sin_family = AF_INET;
  out.v4.sin_addr.s_addr = htonl(ip);
  out.v4.sin_port = htons(port);
  out.length = sizeof(sockaddr_in);
  return out;
}

// A listening descriptor for SimRing::adopt(), which takes its address and nothing else of it.
int listening_descriptor(io::SocketAddress& bound) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  CHECK(fd >= 0);
  bound = address(INADDR_LOOPBACK, 0);
  CHECK(::bind(fd, &bound.generic, bound.length) == 0 && ::listen(fd, 1) == 0);
  bound.length = sizeof(sockaddr_in);
  CHECK(::getsockname(fd, &bound.generic, &bound.length) == 0);
  return fd;
}

io::RingOptions ring_options(Random& random) {
  io::RingOptions options;
  options.sockets_max = 512;
  // Small pools, so that running out of buffers belongs to every run.
  options.small = {1024, 16u << random.below(3), 64};
  options.bulk = {8192, 4u << random.below(3), 16};
  options.output = {1024, 16, 65536};
  return options;
}

io::SimOptions sim_options(const WorldOptions& options, Random& random) {
  io::SimOptions sim;
  sim.seed = options.seed;
  sim.keep_trace = std::getenv("RINGWAY_SIM_SEED") != nullptr;   // For a single seed under the magnifying glass.
  sim.faults.short_send = random.below(60);
  sim.faults.split_receive = random.below(60);
  sim.faults.late = random.below(30);
  sim.faults.cancel_race = random.below(100);
  sim.faults.buffers_exhausted = random.below(20);
  if (options.calm) return sim;
  sim.faults.reset_per_10000 = random.below(60);
  sim.faults.connect_refused = random.below(20);
  sim.faults.connect_lost = random.below(10);
  sim.faults.accept_exhausted = random.below(10);
  sim.faults.open_exhausted = random.below(10);
  return sim;
}

class World {
 public:
  explicit World(const WorldOptions& options)
      : options_(options), random_(options.seed), ring_(ring_options(random_), sim_options(options, random_)),
        script_{ring_, random_, options.calm, outcome_} {
    worker::WorkerOptions worker;
    worker.seed = options.seed;
    worker.wall_clock = [] { return int64_t{1'700'000'000'000'000'000}; };
    worker.retire = [](std::shared_ptr<const config::Snapshot>) {};
    worker_ = std::make_unique<worker::Worker>(ring_, std::move(worker));
  }

  Outcome run();

 private:
  std::shared_ptr<const config::Snapshot> make_snapshot(uint32_t servers);
  void swap_snapshot();
  void tell() const;
  void turn_until(const std::function<bool()>& done, uint64_t turns_max, bool whatever_happens = false);

  WorldOptions options_;
  Random random_;
  io::SimRing ring_;
  Outcome outcome_;
  Script script_;
  std::unique_ptr<worker::Worker> worker_;
  std::vector<std::unique_ptr<ServerActor>> servers_;
  std::vector<std::unique_ptr<H2ServerActor>> h2_servers_;
  std::vector<std::unique_ptr<ClientActor>> clients_;
  std::vector<std::unique_ptr<HostileActor>> hostile_;
  std::vector<std::unique_ptr<TunnelActor>> tunnels_;
  std::vector<std::unique_ptr<H2ClientActor>> h2_clients_;
  std::vector<std::unique_ptr<H2HostileActor>> h2_hostile_;
  std::vector<std::shared_ptr<upstream::EndpointState>> endpoints_;
  uint64_t generation_ = 0;

 public:
  bool leaked_ = false;
};

std::shared_ptr<const config::Snapshot> World::make_snapshot(uint32_t servers) {
  auto cluster = std::make_shared<upstream::Cluster>();
  cluster->name = "default/sim:80";
  cluster->uid = 1;
  cluster->revision = ++generation_;
  cluster->balancer = random_.chance(50) ? upstream::BalancerKind::kRoundRobin : upstream::BalancerKind::kLeastRequest;
  if (options_.http2) cluster->protocol = upstream::Protocol::kHttp2;
  cluster->pool.connections_max = options_.calm ? 64 : 1 + random_.below(4);
  cluster->pool.idle_timeout_ns = (1 + random_.below(200)) * kMs;
  for (uint32_t i = 0; i < servers; ++i) cluster->endpoints.push_back({.state = endpoints_[i]});
  auto route = std::make_shared<route::Route>();
  route->name = "default/sim#0";
  route->clusters = {{0, 1, 0}};
  route->weight_total = 1;
  route->timeouts.connect_ns = 200 * kMs;
  route->timeouts.response_idle_ns = route->timeouts.request_idle_ns = 3000 * kMs;
  route->request_body_bytes_max = ~uint64_t{0};
  std::vector<std::string> problems;
  auto table = std::make_shared<route::RouteTable>(
      std::vector<route::PathRule>{{route::PathKind::kPrefix, "/", 0, route}}, problems);
  auto listener = std::make_shared<config::Listener>();
  listener->name = "http";
  listener->addresses = {"sim"};
  listener->route_set = "ingress";
  listener->public_port = 80;
  auto policy = std::make_shared<config::HttpPolicy>();
  policy->idle_timeout_ns = (5 + random_.below(2000)) * kMs;
  if (options_.calm) policy->idle_timeout_ns = 60'000 * kMs;
  listener->http = std::move(policy);
  if (options_.tls) {
    static const auto certificate = tls::test::make_certificate(tls::test::KeyKind::kP256, {"sim.test"});
    listener->kind = config::ListenerKind::kHttps;
    listener->tls = tls::ServerContext::make({.alpn = {"h2", "http/1.1"}}, {{"sim.test", certificate}}, certificate);
  }
  auto snapshot = std::make_shared<config::Snapshot>();
  snapshot->version = std::to_string(generation_);
  snapshot->generation = generation_;
  snapshot->listeners = {listener};
  snapshot->route_sets = {{"ingress", std::make_shared<route::RouteSet>()->with({{"*", table}})}};
  auto chunk = std::make_shared<config::Snapshot::ClusterChunk>();
  (*chunk)[0] = cluster;
  snapshot->cluster_chunks = {chunk};
  snapshot->default_route = std::make_shared<route::Route>();
  return snapshot;
}

void World::swap_snapshot() {
  if (!options_.swap_snapshots) return;
  worker_->publish(make_snapshot(1 + random_.below(options_.servers)), {});
  ring_.after((1 + random_.below(30)) * kMs, [this] {
    for (const auto& client : clients_) {
      if (!client->done()) return swap_snapshot();
    }
  });
}

void World::turn_until(const std::function<bool()>& done, uint64_t turns_max, bool whatever_happens) {
  for (uint64_t turns = 0; !done(); ++turns) {
    if (turns == turns_max) return script_.violate("it does not come to an end");
    if (!outcome_.violation.empty() && !whatever_happens) return;
    worker_->turn();
  }
}

void World::tell() const {
  const observe::WorkerStats& stats = worker_->stats();
  std::printf("requests %lu, timeouts: header %lu body %lu idle %lu write %lu connect %lu response %lu; retries exhausted %lu\n",
              stats.requests, stats.timeouts_header, stats.timeouts_body, stats.timeouts_idle, stats.timeouts_write,
              stats.timeouts_connect, stats.timeouts_response, stats.retry_budget_exhausted);
  for (size_t i = 0; i < stats.request_errors.size(); ++i) {
    if (stats.request_errors[i] + stats.response_errors[i] == 0) continue;
    std::printf("%s: %lu in requests, %lu in responses\n", std::string(http::error_name(static_cast<http::Error>(i))).c_str(),
                stats.request_errors[i], stats.response_errors[i]);
  }
  for (const auto& client : clients_) std::printf("client: %s", client->describe().c_str());
  for (const auto& client : h2_clients_) std::printf("HTTP/2 client: %s", client->describe().c_str());
  for (const auto& tunnel : tunnels_) std::printf("%s", tunnel->describe().c_str());
  std::printf("%s", ring_.trace().c_str());
}

Outcome World::run() {
  io::SocketAddress bound;
  const int fd = listening_descriptor(bound);
  for (uint32_t i = 0; i < options_.servers; ++i) {
    auto state = std::make_shared<upstream::EndpointState>();
    state->slot = i;
    state->uid = i + 1;
    state->address = address(0x0A000001 + i, 80);
    state->text = "10.0.0." + std::to_string(i + 1) + ":80";
    if (options_.http2) state->protocol = upstream::Protocol::kHttp2;
    endpoints_.push_back(state);
    if (options_.http2) {
      h2_servers_.push_back(std::make_unique<H2ServerActor>(script_));
      ring_.serve(state->address, [actor = h2_servers_.back().get()](io::SimPeer& peer) { actor->accept(peer); });
      continue;
    }
    servers_.push_back(std::make_unique<ServerActor>(script_));
    ring_.serve(state->address, [actor = servers_.back().get()](io::SimPeer& peer) { actor->accept(peer); });
  }
  worker_->publish(make_snapshot(options_.servers), {{"http", "sim", fd}});
  worker_->turn();
  for (uint32_t i = 0; i < options_.clients; ++i) {
    clients_.push_back(std::make_unique<ClientActor>(script_, Target{bound, options_.tls}, options_.requests_per_client));
    clients_.back()->start();
  }
  script_.hostile = options_.hostile + options_.h2_hostile > 0;
  for (uint32_t i = 0; i < options_.hostile; ++i) {
    hostile_.push_back(std::make_unique<HostileActor>(script_, bound));
    hostile_.back()->start();
  }
  for (uint32_t i = 0; i < options_.h2_clients; ++i) {
    h2_clients_.push_back(std::make_unique<H2ClientActor>(script_, Target{bound, options_.tls}, options_.requests_per_client));
    h2_clients_.back()->start();
  }
  for (uint32_t i = 0; i < options_.h2_hostile; ++i) {
    h2_hostile_.push_back(std::make_unique<H2HostileActor>(script_, bound));
    h2_hostile_.back()->start();
  }
  for (uint32_t i = 0; i < options_.tunnels; ++i) {
    tunnels_.push_back(std::make_unique<TunnelActor>(script_, bound));
    tunnels_.back()->start();
  }
  ring_.after(random_.below(30) * kMs, [this] { swap_snapshot(); });
  const auto done = [](const auto& actor) { return actor->done(); };
  turn_until([&] { return std::ranges::all_of(clients_, done) && std::ranges::all_of(tunnels_, done) && std::ranges::all_of(h2_clients_, done); }, 2'000'000);
  if (!outcome_.violation.empty() && std::getenv("RINGWAY_SIM_SEED") != nullptr) tell();
  // The end: nothing hangs, everything comes back. ~Worker, ~Context and ~BufferPool check the rest.
  const std::string violation = outcome_.violation;
  outcome_.violation.clear();
  worker_->drain(ring_.now_ns(), ring_.now_ns() + 1000 * kMs);
  turn_until([&] { return worker_->finished(); }, 2'000'000, true);
  if (outcome_.violation.empty() && worker_->stats().requests_active != 0) script_.violate("requests_active is not 0");
  if (outcome_.violation.empty() && worker_->stats().connections_active != 0) script_.violate("connections_active is not 0");
  if (outcome_.violation.empty() && worker_->stats().connections_idle != 0) script_.violate("connections_idle is not 0");
  if (outcome_.violation.empty() && worker_->stats().upstream_connections_active != 0) script_.violate("upstreams left");
  if (!violation.empty()) outcome_.violation = violation;
  if (!worker_->finished()) {
    // A worker can't be destroyed in the middle of things: leave this world standing, the test has failed.
    outcome_.violation += ": the worker did not drain";
    leaked_ = true;
    return outcome_;
  }
  worker_.reset();
  if (ring_.sockets_open() != 0) script_.violate("sockets left open");
  outcome_.trace_hash = ring_.trace_hash();
  return outcome_;
}

}  // namespace

Outcome run_world(const WorldOptions& options) {
  auto world = std::make_unique<World>(options);
  const Outcome outcome = world->run();
  if (world->leaked_) static_cast<void>(world.release());
  return outcome;
}

}  // namespace ringway::sim
