// Sessions of datagrams. The bytes are a script of what clients, endpoints, the configuration and
// time do to one worker on a simulated network. What must hold for any script: an answer reaches
// the client that asked and no other, and not twice; sessions stay within their bound; when it is
// over every gauge, buffer and socket has come back.
#include <arpa/inet.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/check.h"
#include "dataplane/io/sim_ring.h"
#include "dataplane/worker/worker.h"

namespace ringway::worker {
namespace {

constexpr uint64_t kMs = 1'000'000;
constexpr uint64_t kSecond = 1'000 * kMs;
constexpr uint32_t kClients = 8;
constexpr uint32_t kServers = 3;
constexpr uint32_t kSessionsMax = 5;

io::SocketAddress address_of(uint32_t ip, uint16_t port) {
  io::SocketAddress out;
  out.v4.sin_family = AF_INET;
  out.v4.sin_addr.s_addr = htonl(ip);
  out.v4.sin_port = htons(port);
  out.length = sizeof out.v4;
  return out;
}

class Script {
 public:
  Script(const uint8_t* data, size_t size) : at_(data), end_(data + size) {}
  bool done() const { return at_ == end_; }
  uint8_t next() { return done() ? 0 : *at_++; }

 private:
  const uint8_t* at_;
  const uint8_t* end_;
};

class Theatre {
 public:
  explicit Theatre(Script& script)
      : script_(script), ring_(ring_options(), {.seed = script.next()}) {
    options_.wall_clock = [] { return int64_t{1'700'000'000'000'000'000}; };
    options_.retire = [](std::shared_ptr<const config::Snapshot>) {};
    worker_ = std::make_unique<Worker>(ring_, options_);
    policy_.connections_max = kSessionsMax;
    policy_.idle_timeout_ns = kSecond;
    for (uint32_t i = 0; i < kServers; ++i) {
      servers_[i] = std::make_shared<upstream::EndpointState>();
      servers_[i]->slot = i;
      servers_[i]->uid = i + 1;
      servers_[i]->address = address_of(0x0A000001 + i, 53);
      servers_[i]->protocol = upstream::Protocol::kUdp;
      set_server(i, 0);
    }
    for (uint32_t i = 0; i < kClients; ++i) {
      ring_.serve_datagrams(client(i),
                            [this, i](const io::SocketAddress& from, std::string_view text) {
                              CHECK(std::ranges::find(all_bound_, from) != all_bound_.end());
                              CHECK(!text.empty() && static_cast<uint8_t>(text[0]) == i);
                              CHECK(open_.erase(std::string(text)) == 1);
                            });
    }
    publish(kServers, true);
  }

  ~Theatre() {
    ring_.faults() = {};
    worker_->drain(ring_.now_ns(), ring_.now_ns() + kSecond);
    const uint64_t limit_ns = ring_.now_ns() + 10 * kSecond;
    while (!worker_->finished() && ring_.now_ns() < limit_ns) step(kMs);
    CHECK(worker_->finished());
    CHECK(worker_->stats().stream.sessions_active == 0);
    for (const auto& server : servers_) CHECK(server->in_flight.load() == 0);
    worker_.reset();
    CHECK(ring_.sockets_open() == 0);
  }

  void play() {
    for (int acts = 0; acts < 400 && !script_.done(); ++acts) act();
  }

 private:
  static io::RingOptions ring_options() {
    return {
        .sockets_max = 64, .small = {256, 16, 16}, .bulk = {512, 8, 8}, .output = {256, 16, 256}};
  }
  static io::SocketAddress client(uint32_t index) { return address_of(0x0A010001 + index, 5000); }

  void act() {
    const uint8_t what = script_.next();
    switch (what % 8) {
      case 0:
      case 1:
      case 2: {
        std::string text{static_cast<char>(what / 8 % kClients)};
        text += std::to_string(questions_++);
        text.append(script_.next() * 4u, 'x');
        ring_.datagram_to_proxy(client(what / 8 % kClients), bound_, text);
        open_.insert(std::move(text));
        return;
      }
      case 3:
        return set_server(what / 8 % kServers, script_.next() % 3);
      case 4:
        return step(uint64_t{script_.next()} * (what >= 128 ? 20 : 1) * kMs);
      case 5:
        return publish(what / 8 % (kServers + 1), script_.next() % 4 != 0);
      case 6:
        policy_.udp_responses = what / 8 % 3;
        return;
      default:
        ring_.faults() = {.late = script_.next() % 40u,
                          .open_exhausted = script_.next() % 20u,
                          .datagram_lost = script_.next() % 30u,
                          .buffers_exhausted = what / 8u};
    }
  }

  void step(uint64_t ns) {
    const uint64_t end_ns = ring_.now_ns() + ns;
    ring_.after(ns, [this] { ring_.wake(); });  // The turn ends there at the latest.
    while (!worker_->finished() && ring_.now_ns() < end_ns) worker_->turn();
    CHECK(worker_->stats().stream.sessions_active <= kSessionsMax);
  }

  // `mode`: 0 says back what comes, 1 is silent, 2 refuses.
  void set_server(uint32_t index, uint32_t mode) {
    const io::SocketAddress address = servers_[index]->address;
    if (mode == 2) return ring_.stop_serving_datagrams(address);
    ring_.serve_datagrams(
        address, [this, address, mode](const io::SocketAddress& from, std::string_view text) {
          if (mode == 0) ring_.datagram_to_proxy(address, from, text);
        });
  }

  // `listened`: whether the listener is in the configuration.
  void publish(uint32_t count, bool listened) {
    auto cluster = std::make_shared<upstream::Cluster>();
    cluster->uid = 1;
    cluster->revision = ++generation_;
    cluster->protocol = upstream::Protocol::kUdp;
    cluster->balancer = upstream::BalancerKind::kLeastRequest;
    for (uint32_t i = 0; i < count; ++i) cluster->endpoints.push_back({.state = servers_[i]});
    auto snapshot = std::make_shared<config::Snapshot>();
    snapshot->generation = generation_;
    snapshot->default_route = std::make_shared<route::Route>();
    auto chunk = std::make_shared<config::Snapshot::ClusterChunk>();
    (*chunk)[0] = std::move(cluster);
    snapshot->cluster_chunks = {std::move(chunk)};
    std::vector<ListenerSocket> sockets;
    if (listened) {
      auto listener = std::make_shared<config::Listener>();
      listener->name = "udp";
      listener->addresses = {"udp:sim"};
      listener->kind = config::ListenerKind::kUdp;
      listener->stream = std::make_shared<config::StreamPolicy>(policy_);
      listener->stream_cluster = {0, 1};
      snapshot->listeners = {std::move(listener)};
      if (!listened_) sockets.push_back({"udp", "udp:sim", bound_socket()});
    }
    listened_ = listened;
    worker_->publish(std::move(snapshot), std::move(sockets));
    worker_->turn();
  }

  // SimRing::adopt() takes the address of a bound descriptor and nothing else of it.
  int bound_socket() {
    const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bound_ = address_of(INADDR_LOOPBACK, 0);
    CHECK(fd >= 0 && ::bind(fd, &bound_.generic, bound_.length) == 0);
    CHECK(::getsockname(fd, &bound_.generic, &bound_.length) == 0);
    all_bound_.push_back(bound_);
    return fd;
  }

  Script& script_;
  std::set<std::string> open_;  // Questions without an answer.
  uint64_t questions_ = 0;
  uint64_t generation_ = 0;
  bool listened_ = false;
  config::StreamPolicy policy_;
  std::array<std::shared_ptr<upstream::EndpointState>, kServers> servers_;
  io::SocketAddress bound_;
  std::vector<io::SocketAddress> all_bound_;
  io::SimRing ring_;
  WorkerOptions options_;
  std::unique_ptr<Worker> worker_;
};

}  // namespace
}  // namespace ringway::worker

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ringway::worker::Script script(data, size);
  ringway::worker::Theatre theatre(script);
  theatre.play();
  return 0;
}
