// What the operations of a SimRing do when their moment comes.
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/clock.h"
#include "dataplane/io/sim_ring.h"

namespace ringway::io {
namespace {

constexpr uint64_t kConnectTimeoutNs =
    127 * kNsPerSecond;  // Six retries of the SYN: tcp_syn_retries in tcp(7).
constexpr uint64_t kParkedLookNs = 20'000;
constexpr uint32_t kLateNs = 20'000'000;
constexpr uint32_t kSplitBytesMax = 16;

RecvMode recv_mode_of(const Op& op) { return static_cast<RecvMode>(op.mode); }

}  // namespace

bool SimRing::could_complete(Op& op) {
  const SimSocket& target = sockets_[op.socket.index];
  const SimPeer* peer = target.peer;
  switch (op.kind) {
    case OpKind::kAccept:
      return !target.backlog.empty();
    case OpKind::kConnect:
      return pending_.at(&op).begun && clock_ >= pending_.at(&op).answer_ns;
    case OpKind::kRecv:
      return peer == nullptr || target.read_ended || peer->to_proxy_.arrived > 0 ||
             peer->to_proxy_.fin_arrived || peer->proxy_reset_;
    case OpKind::kSend:
      return peer == nullptr || target.write_ended || peer->proxy_reset_ ||
             peer->to_peer_.held() < peer->window_;
    case OpKind::kDatagrams:
      return !target.inbox.empty() || target.refused;
    default:
      return true;
  }
}

void SimRing::effect(Op& op, Pending& pending) {
  pending.scheduled = false;
  if (pending.captured || pending.parked) return;
  const bool overtakes =
      op.cancelling && could_complete(op) && random_.chance(sim_.faults.cancel_race);
  if (op.cancelling && !overtakes) return capture(op, pending, {.result = -ECANCELED});
  bool done = true;
  switch (op.kind) {
    case OpKind::kAccept:
      done = effect_accept(static_cast<AcceptOp&>(op), pending);
      break;
    case OpKind::kConnect:
      done = effect_connect(static_cast<ConnectOp&>(op), pending);
      break;
    case OpKind::kRecv:
      done = effect_recv(op, pending);
      break;
    case OpKind::kSend:
      done = effect_send(static_cast<SendOp&>(op), pending);
      break;
    case OpKind::kDatagrams:
      done = effect_datagrams(static_cast<DatagramOp&>(op), pending);
      break;
    default:
      effect_now(op, pending);
  }
  if (!done && op.cancelling) capture(op, pending, {.result = -ECANCELED});
}

void SimRing::effect_now(Op& op, Pending& pending) {
  switch (op.kind) {
    case OpKind::kWrite:
      return effect_write(static_cast<WriteOp&>(op), pending);
    case OpKind::kShutdown:
      return effect_shutdown(op, pending);
    case OpKind::kClose:
      return effect_close(op, pending);
    case OpKind::kSendDatagram:
      return effect_send_datagram(static_cast<DatagramSendOp&>(op), pending);
    default:
      check_failed(__FILE__, __LINE__, "an op that never waits");
  }
}

void SimRing::capture(Op& op, Pending& pending, Completion&& completion) {
  pending.captured = true;
  pending.completion = std::move(completion);
  if (random_.chance(sim_.faults.late)) {
    schedule({.time_ns = clock_ + random_.below(kLateNs),
              .kind = EventKind::kDeliver,
              .op = &op,
              .op_serial = pending.serial});
  } else {
    batch_.emplace_back(&op, pending.serial);
  }
}

void SimRing::park(Op& op, Pending& pending) {
  ++stats_.buffers_exhausted;
  pending.parked = true;
  parked_[recv_mode_of(op) == RecvMode::kBulk ? 1 : 0].push_back(&op);
  // A turn must come in which it is looked at again, even if nothing else happens.
  after(kParkedLookNs, [this] { wake(); });
}

bool SimRing::effect_accept(AcceptOp& op, Pending& pending) {
  SimSocket& listener = socket(op.socket);
  if (listener.backlog.empty()) return false;
  if (random_.chance(sim_.faults.accept_exhausted)) {
    capture(op, pending, {.result = -EMFILE});
    return true;
  }
  const int32_t index = take_socket(SocketKind::kStream);
  if (index < 0) {
    capture(op, pending, {.result = -ENFILE});
    return true;
  }
  SimSocket& listener_now = socket(op.socket);  // take_socket() may have moved the table.
  SimPeer& peer = *listener_now.backlog.front();
  listener_now.backlog.erase(listener_now.backlog.begin());
  peer.socket_ = index;
  sockets_[index].peer = &peer;
  op.peer = peer.address_;
  capture(op, pending, {.result = index, .more = true});
  return true;
}

bool SimRing::effect_connect(ConnectOp& op, Pending& pending) {
  if (socket(op.socket).peer != nullptr) {
    capture(op, pending, {.result = -EISCONN});
    return true;
  }
  const auto server = servers_.find(key_of(op.target));
  if (!pending.begun) {
    const bool lost = (server != servers_.end() && server->second.lost) ||
                      random_.chance(sim_.faults.connect_lost);
    const bool refused = random_.chance(sim_.faults.connect_refused);
    pending.begun = true;
    const bool no_port = server != servers_.end() && server->second.no_port;
    pending.answer = no_port ? -EADDRNOTAVAIL : lost ? -ETIMEDOUT : refused ? -ECONNREFUSED : 0;
    const uint64_t delay = lost ? kConnectTimeoutNs : latency() + latency();
    pending.answer_ns = clock_ + delay;
    schedule_effect(op, delay);
    return true;
  }
  if (clock_ < pending.answer_ns) return false;
  if (pending.answer == 0 && (server == servers_.end() || server->second.lost))
    pending.answer = -ECONNREFUSED;
  const int32_t answer = pending.answer;
  if (answer == 0) {
    SimPeer& peer = new_peer();
    peer.address_ = op.target;
    peer.source_ = socket(op.socket).address;
    peer.connected_ = true;
    peer.socket_ = op.socket.index;
    socket(op.socket).peer = &peer;
    server->second.on_connection(peer);
    if (peer.on_connected) peer.on_connected(peer);
  }
  capture(op, pending, {.result = answer});
  return true;
}

bool SimRing::effect_recv(Op& op, Pending& pending) {
  SimSocket& source = socket(op.socket);
  if (source.kind != SocketKind::kStream || source.peer == nullptr) {
    capture(op, pending, {.result = -ENOTCONN});
    return true;
  }
  SimPeer& peer = *source.peer;
  SimPipe& pipe = peer.to_proxy_;
  lost_to_reset(peer);
  const RecvMode mode = recv_mode_of(op);
  if (pipe.arrived > 0 && !source.read_ended) {
    BufferPool& pool = mode == RecvMode::kBulk ? *bulk_ : *small_;
    Slice slice = random_.chance(sim_.faults.buffers_exhausted) ? Slice() : pool.try_take();
    if (slice.buffer() == nullptr) {
      if (op.cancelling) return false;
      park(op, pending);
      return true;
    }
    size_t bytes = std::min(pipe.arrived, slice.tail().size());
    if (random_.chance(sim_.faults.split_receive))
      bytes = std::min<size_t>(bytes, 1 + random_.below(kSplitBytesMax));
    std::memcpy(slice.tail().data(), pipe.bytes.data() + pipe.head, bytes);
    slice.extend(static_cast<uint32_t>(bytes));
    pipe.take(bytes);
    capture(op, pending,
            {.result = static_cast<int32_t>(bytes),
             .more = mode == RecvMode::kMultishot,
             .data = std::move(slice)});
    return true;
  }
  if (peer.proxy_reset_ && !std::exchange(peer.proxy_reset_told_, true)) {
    capture(op, pending, {.result = -ECONNRESET});
    return true;
  }
  if (!peer.proxy_reset_ && !pipe.fin_arrived && !source.read_ended) return false;
  capture(op, pending, {.result = 0});
  return true;
}

bool SimRing::effect_send(SendOp& op, Pending& pending) {
  SimSocket& target = socket(op.socket);
  if (target.peer == nullptr) {
    capture(op, pending, {.result = target.kind == SocketKind::kStream ? -ENOTCONN : -EINVAL});
    return true;
  }
  SimPeer& peer = *target.peer;
  lost_to_reset(peer);
  if (peer.proxy_reset_ || target.write_ended) {
    const bool first = peer.proxy_reset_ && !std::exchange(peer.proxy_reset_told_, true);
    capture(op, pending, {.result = first ? -ECONNRESET : -EPIPE});
    return true;
  }
  size_t wanted = 0;
  for (const iovec& vector : op.vectors) wanted += vector.iov_len;
  SimPipe& pipe = peer.to_peer_;
  const size_t room = peer.window_ > pipe.held() ? peer.window_ - pipe.held() : 0;
  if (room == 0) return false;
  size_t bytes = std::min(wanted, room);
  if (bytes > 1 && random_.chance(sim_.faults.short_send)) {
    bytes = 1 + random_.below(static_cast<uint32_t>(std::min<size_t>(bytes, UINT32_MAX)));
  }
  size_t left = bytes;
  for (const iovec& vector : op.vectors) {
    const size_t part = std::min(left, vector.iov_len);
    pipe.bytes.append(static_cast<const char*>(vector.iov_base), part);
    left -= part;
  }
  if (bytes > 0) travel(pipe, peer, EventKind::kToPeer, bytes);
  capture(op, pending, {.result = static_cast<int32_t>(bytes)});
  return true;
}

void SimRing::effect_write(WriteOp& op, Pending& pending) {
  SimSocket& target = socket(op.socket);
  uint32_t bytes = op.length;
  if (bytes > 1 && random_.chance(sim_.faults.short_send)) bytes = 1 + random_.below(bytes);
  target.written.append(static_cast<const char*>(op.bytes), bytes);
  capture(op, pending, {.result = static_cast<int32_t>(bytes)});
}

void SimRing::effect_shutdown(Op& op, Pending& pending) {
  SimSocket& target = socket(op.socket);
  if (target.peer == nullptr || target.peer->proxy_reset_)
    return capture(op, pending, {.result = -ENOTCONN});
  const int how = op.mode;
  if (how != SHUT_WR) target.read_ended = true;
  if (how != SHUT_RD && !std::exchange(target.write_ended, true)) {
    target.peer->to_peer_.fin_sent = true;
    travel(target.peer->to_peer_, *target.peer, EventKind::kFinToPeer, 0);
  }
  service(op.socket.index);
  capture(op, pending, {.result = 0});
}

void SimRing::effect_close(Op& op, Pending& pending) {
  SimSocket& target = socket(op.socket);
  if (target.kind == SocketKind::kDatagram) datagram_sockets_.erase(key_of(target.address));
  if (target.kind == SocketKind::kListener) {
    listeners_.erase(key_of(target.address));
    for (SimPeer* waiting : target.backlog) {
      schedule({.time_ns = clock_ + latency(), .kind = EventKind::kResetPeer, .peer = waiting});
    }
    target.backlog.clear();
  }
  if (target.fd >= 0) ::close(std::exchange(target.fd, -1));
  if (SimPeer* peer = target.peer; peer != nullptr) {
    peer->proxy_closed_ = true;
    peer->socket_ = -1;
    // Closing on unread bytes resets (RFC 2525, 2.17; tcp_close() of Linux).
    if (peer->to_proxy_.held() > 0 && !peer->proxy_reset_) {
      schedule({.time_ns = clock_ + latency(), .kind = EventKind::kResetPeer, .peer = peer});
    } else if (!target.write_ended && !peer->proxy_reset_) {
      peer->to_peer_.fin_sent = true;
      travel(peer->to_peer_, *peer, EventKind::kFinToPeer, 0);
    }
  }
  capture(op, pending, {.result = 0});
}

}  // namespace ringway::io
