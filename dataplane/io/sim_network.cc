#include "dataplane/io/sim_network.h"

#include <algorithm>

#include "dataplane/io/sim_ring.h"

namespace ringway::io {
namespace {

constexpr size_t kCompactBytes = 64 * 1024;

}  // namespace

void SimPipe::take(size_t count) {
  CHECK(count <= arrived);
  head += count;
  arrived -= count;
  if (head == bytes.size()) {
    bytes.clear();
    head = 0;
  } else if (head > kCompactBytes) {
    bytes.erase(0, head);
    head = 0;
  }
}

void SimPeer::write(std::string_view bytes) {
  CHECK(!to_proxy_.fin_sent || closed_);
  if (closed_ || bytes.empty()) return;
  to_proxy_.bytes += bytes;
  while (!bytes.empty()) {  // Segments of their own travelling time.
    const size_t size = std::min<size_t>(bytes.size(), 1 + ring_.random().below(16 * 1024));
    ring_.travel(to_proxy_, *this, SimRing::EventKind::kToProxy, size);
    bytes.remove_prefix(size);
  }
}

void SimPeer::half_close() {
  if (closed_ || to_proxy_.fin_sent) return;
  to_proxy_.fin_sent = true;
  ring_.travel(to_proxy_, *this, SimRing::EventKind::kFinToProxy, 0);
}

void SimPeer::close() {
  if (closed_) return;
  if (to_peer_.arrived > 0) return reset();
  half_close();
  closed_ = true;
}

void SimPeer::reset() {
  if (closed_) return;
  closed_ = true;
  to_proxy_.fin_sent = true;
  ring_.schedule({.time_ns = ring_.clock_ + ring_.latency(),
                  .kind = SimRing::EventKind::kResetProxy,
                  .peer = this});
}

void SimPeer::set_window(size_t bytes) {
  CHECK(bytes > 0);
  window_ = bytes;
  ring_.service(socket_);
}

void SimPeer::pause() { paused_ = true; }

void SimPeer::resume() {
  paused_ = false;
  read_arrived();
}

void SimPeer::read_arrived() {
  if (to_peer_.arrived > 0) {
    const std::string bytes = to_peer_.bytes.substr(to_peer_.head, to_peer_.arrived);
    to_peer_.take(bytes.size());
    bytes_received_ += bytes.size();
    if (on_data) {
      on_data(*this, bytes);
    } else {
      received_ += bytes;
    }
    ring_.service(socket_);
  }
  if (to_peer_.fin_arrived && to_peer_.arrived == 0 && !std::exchange(end_told_, true) && on_end)
    on_end(*this);
}

// --- The network's events ---

uint64_t SimRing::latency() {
  const uint64_t spread = sim_.latency_ns_max - sim_.latency_ns_min;
  return sim_.latency_ns_min + (spread == 0 ? 0 : random_.below(static_cast<uint32_t>(spread)));
}

void SimRing::travel(SimPipe& pipe, SimPeer& peer, EventKind kind, size_t bytes) {
  pipe.last_event_ns = std::max(pipe.last_event_ns, clock_ + latency());
  schedule({.time_ns = pipe.last_event_ns, .kind = kind, .peer = &peer, .value = bytes});
}

void SimRing::arrive_at_proxy(SimPeer& peer, size_t bytes) {
  if (peer.proxy_reset_) return;
  if (peer.proxy_closed_) {
    schedule({.time_ns = clock_ + latency(), .kind = EventKind::kResetPeer, .peer = &peer});
    return;
  }
  peer.to_proxy_.arrived += bytes;
  service(peer.socket_);
}

void SimRing::arrive_at_peer(SimPeer& peer, size_t bytes) {
  peer.to_peer_.arrived += bytes;
  if (peer.closed_) {  // Nobody there: answered by a reset.
    peer.to_peer_.take(peer.to_peer_.arrived);
    schedule({.time_ns = clock_ + latency(), .kind = EventKind::kResetProxy, .peer = &peer});
    return;
  }
  if (!peer.paused_) peer.read_arrived();
}

void SimRing::fin_at_peer(SimPeer& peer) {
  peer.to_peer_.fin_arrived = true;
  if (!peer.closed_ && !peer.paused_) peer.read_arrived();
}

void SimRing::reset_proxy(SimPeer& peer) {
  if (peer.proxy_closed_ || peer.proxy_reset_) return;
  peer.proxy_reset_ = true;
  SimPipe& pipe = peer.to_proxy_;
  pipe.bytes.resize(pipe.head + pipe.arrived);
  if (peer.socket_ >= 0) return service(peer.socket_);
  if (!random_.chance(50)) return;  // Accepted all the same, and found reset then.
  for (SimSocket& socket : sockets_) std::erase(socket.backlog, &peer);
}

void SimRing::reset_peer(SimPeer& peer) {
  if (peer.reset_seen_) return;
  peer.reset_seen_ = true;
  if (std::exchange(peer.closed_, true)) return;
  if (peer.on_reset) peer.on_reset(peer);
}

bool SimRing::lost_to_reset(SimPeer& peer) {
  if (sim_.faults.reset_per_10000 == 0 || random_.below(10'000) >= sim_.faults.reset_per_10000)
    return false;
  reset_proxy(peer);
  schedule({.time_ns = clock_ + latency(), .kind = EventKind::kResetPeer, .peer = &peer});
  return true;
}

SimPeer& SimRing::new_peer() {
  peers_.push_back(std::unique_ptr<SimPeer>(new SimPeer(*this, peers_.size())));
  return *peers_.back();
}

SimPeer& SimRing::dial(const SocketAddress& address, const SocketAddress& from) {
  SimPeer& peer = new_peer();
  peer.address_ = from;
  const uint64_t arrival = latency();
  peer.to_proxy_.last_event_ns = clock_ + arrival;
  after(arrival, [this, &peer, key = key_of(address)] {
    const auto listener = listeners_.find(key);
    if (listener == listeners_.end()) return reset_peer(peer);
    peer.connected_ = true;
    sockets_[listener->second].backlog.push_back(&peer);
    service(listener->second);
    if (peer.on_connected) peer.on_connected(peer);
  });
  return peer;
}

void SimRing::serve(const SocketAddress& address, OnConnection on_connection) {
  servers_[key_of(address)] = Server{std::move(on_connection), false};
}

void SimRing::stop_serving(const SocketAddress& address) { servers_.erase(key_of(address)); }

void SimRing::lose_connects(const SocketAddress& address) { servers_[key_of(address)].lost = true; }

void SimRing::exhaust_ports(const SocketAddress& address) {
  servers_[key_of(address)].no_port = true;
}

void SimRing::after(uint64_t delay_ns, std::function<void()> call) {
  const size_t number = next_serial_;
  calls_.emplace(number, std::move(call));
  schedule({.time_ns = clock_ + delay_ns, .kind = EventKind::kCall, .value = number});
}

}  // namespace ringway::io
