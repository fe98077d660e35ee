#include "dataplane/worker/test_stage.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "dataplane/tls/server_context.h"

namespace ringway::worker {
namespace {

io::SocketAddress address_of(uint32_t ip, uint16_t port) {
  io::SocketAddress out;
  out.v4.sin_family = AF_INET;
  out.v4.sin_addr.s_addr = htonl(ip);
  out.v4.sin_port = htons(port);
  out.length = sizeof(sockaddr_in);
  return out;
}

// SimRing::adopt() takes the address of a listening descriptor and nothing else of it.
int listening_descriptor(io::SocketAddress& bound, int type) {
  const int fd = ::socket(AF_INET, type | SOCK_CLOEXEC, 0);
  bound = address_of(INADDR_LOOPBACK, 0);
  CHECK(fd >= 0 && ::bind(fd, &bound.generic, bound.length) == 0);
  CHECK(type == SOCK_DGRAM || ::listen(fd, 1) == 0);
  bound.length = sizeof(sockaddr_in);
  CHECK(::getsockname(fd, &bound.generic, &bound.length) == 0);
  return fd;
}

}  // namespace

std::string response_of(std::string_view body, std::string_view fields) {
  return "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" + std::string(fields) + "\r\n" +
         std::string(body);
}

Stage::Stage(StageOptions options_in)
    : options(std::move(options_in)),
      ring(options.ring, {.seed = options.seed, .faults = options.faults}) {
  WorkerOptions worker_options;
  worker_options.grpc_methods_max = options.grpc_methods_max;
  worker_options.wall_clock = [] { return int64_t{1'700'000'000'000'000'000}; };
  worker_options.retire = [this](std::shared_ptr<const config::Snapshot> snapshot) {
    retired.push_back(snapshot->generation);
  };
  worker = std::make_unique<Worker>(ring, std::move(worker_options));
  for (uint32_t i = 0; i < options.servers; ++i) {
    auto server = std::make_unique<TestServer>();
    server->address = address_of(0x0A000001 + i, 80);
    server->state = std::make_shared<upstream::EndpointState>();
    server->state->slot = i;
    server->state->uid = i + 1;
    server->state->address = server->address;
    server->state->protocol = options.protocol;
    serve(*server);
    servers.push_back(std::move(server));
  }
  publish(options.no_endpoints ? 0 : options.servers);
  worker->turn();
}

Stage::~Stage() {
  ring.faults() = {};
  drain(0, kSecond);
  EXPECT_TRUE(run_until([this] { return worker->finished(); }, 10 * kSecond));
  if (!worker->finished()) std::abort();   // Nothing can be taken apart in the middle of things.
  EXPECT_EQ(stats().requests_active, 0u);
  EXPECT_EQ(stats().connections_active, 0u);
  EXPECT_EQ(stats().connections_idle, 0u);
  EXPECT_EQ(stats().tunnels_active, 0u);
  EXPECT_EQ(stats().stream.relays_active, 0u);
  EXPECT_EQ(stats().stream.sessions_active, 0u);
  EXPECT_EQ(stats().upstream_connections_active, 0u);
  EXPECT_EQ(stats().upstream_connections_idle, 0u);
  for (const auto& server : servers) EXPECT_EQ(server->state->in_flight.load(), 0u);
  worker.reset();
  EXPECT_EQ(ring.sockets_open(), 0u);
}

void Stage::serve(TestServer& server) {
  ring.serve(server.address, [&server](io::SimPeer& peer) {
    server.peers.push_back(&peer);
    auto reader = std::make_shared<sim::MessageReader>(sim::MessageReader::Kind::kRequest);
    peer.on_end = [](io::SimPeer& at) { at.close(); };
    peer.on_data = [&server, reader](io::SimPeer& at, std::string_view bytes) {
      server.bytes += bytes.size();
      if (server.on_bytes) return server.on_bytes(at, bytes);
      reader->feed(bytes);
      while (reader->message().complete) {
        const std::string request = reader->message().head + reader->message().body;
        server.requests.push_back(request);
        reader->next();
        server.on_request ? server.on_request(at, request) : at.write(response_of("ok"));
        if (at.closed()) return;
      }
    };
  });
}

void Stage::publish(uint32_t count) {
  auto cluster = std::make_shared<upstream::Cluster>();
  cluster->name = "default/test:80";
  cluster->uid = 1;
  cluster->revision = ++generation_;
  cluster->pool = options.pool;
  cluster->protocol = options.protocol;
  if (upstream::is_tls(options.protocol))
    cluster->tls = tls::ClientContext::of_upstreams(upstream::is_http2(options.protocol));
  for (uint32_t i = 0; i < servers.size(); ++i) {
    if (i < count) cluster->endpoints.push_back({.state = servers[i]->state});
    servers[i]->state->retired = i >= count;
  }
  auto route = std::make_shared<route::Route>(options.route);
  if (route->action == route::ActionKind::kBackend && !options.no_cluster) {
    route->clusters = {{0, 1, 0}};
    route->weight_total = 1;
  }
  std::vector<std::string> problems;
  auto table = std::make_shared<route::RouteTable>(
      std::vector<route::PathRule>{{route::PathKind::kPrefix, options.path, 0, route}}, problems);
  auto listener = std::make_shared<config::Listener>();
  listener->name = "test";
  listener->addresses = {"sim"};
  listener->kind = options.kind;
  listener->tls = options.tls;
  listener->route_set = "ingress";
  listener->redirect_https_port = options.redirect_https_port;
  if (listener->is_http()) listener->http = std::make_shared<config::HttpPolicy>(options.policy);
  listener->stream = std::make_shared<config::StreamPolicy>(options.stream);
  listener->prelude = options.prelude;
  listener->passthrough = options.passthrough;
  if (!listener->is_http() && !options.no_stream_cluster) listener->stream_cluster = {0, 1};
  auto snapshot = std::make_shared<config::Snapshot>();
  snapshot->generation = generation_;
  snapshot->listeners = {listener};
  snapshot->route_sets = {{"ingress", std::make_shared<route::RouteSet>()->with({{"*", table}})}};
  auto chunk = std::make_shared<config::Snapshot::ClusterChunk>();
  (*chunk)[0] = cluster;
  snapshot->cluster_chunks = {chunk};
  snapshot->default_route = std::make_shared<route::Route>();
  std::vector<ListenerSocket> sockets;
  if (generation_ == 1)
    sockets.push_back(
        {"test", "sim",
         listening_descriptor(
             address, options.kind == config::ListenerKind::kUdp ? SOCK_DGRAM : SOCK_STREAM)});
  worker->publish(std::move(snapshot), std::move(sockets));
}

io::SimPeer& Stage::dial(std::string_view text, uint32_t from) {
  io::SimPeer& peer = ring.dial(address, address_of(from, 40000));
  if (!text.empty()) {
    peer.on_connected = [bytes = std::string(text)](io::SimPeer& at) { at.write(bytes); };
  }
  return peer;
}

bool Stage::run_until(const std::function<bool()>& done, uint64_t limit_ns) {
  // What peers see ends no turn: look every millisecond.
  const uint64_t end = ring.now_ns() + limit_ns;
  while (!done()) {
    if (worker->finished() || ring.now_ns() >= end) return false;
    run(std::min(kMs, end - ring.now_ns()));
  }
  return true;
}

void Stage::run(uint64_t ns) {
  const uint64_t end = ring.now_ns() + ns;
  ring.after(ns, [this] { ring.wake(); });   // The turn ends there at the latest.
  while (!worker->finished() && ring.now_ns() < end) worker->turn();
}

bool Stage::receives(io::SimPeer& peer, std::string_view text, uint64_t limit_ns) {
  return run_until([&] { return peer.received().find(text) != std::string::npos; }, limit_ns);
}

std::string Stage::ask(std::string_view text, uint64_t limit_ns) {
  io::SimPeer& peer = dial(text);
  run_until([&] { return peer.ended() || peer.was_reset(); }, limit_ns);
  peer.close();
  return peer.received();
}

void Stage::drain(uint64_t stop_accepting_in_ns, uint64_t deadline_in_ns) {
  worker->drain(ring.now_ns() + stop_accepting_in_ns, ring.now_ns() + deadline_in_ns);
}

}  // namespace ringway::worker
