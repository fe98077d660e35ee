#include "dataplane/io/sim_ring.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <utility>

#include "base/clock.h"

namespace ringway::io {
namespace {

constexpr uint64_t kEffectDelayNs = 20'000;
constexpr uint64_t kTurnNs = 1'000;
constexpr uint64_t kBatchNs = 100'000;
constexpr uint32_t kStuckTurnsMax = 1000;

bool event_later(uint64_t time_a, uint64_t serial_a, uint64_t time_b, uint64_t serial_b) {
  return time_a != time_b ? time_a > time_b : serial_a > serial_b;
}

// Of the bytes a send refers to, so that a change between submission and completion shows.
uint64_t fingerprint_of(std::span<const iovec> vectors) {
  uint64_t hash = 0x9E3779B97F4A7C15u;
  for (const iovec& vector : vectors) {
    const auto* bytes = static_cast<const unsigned char*>(vector.iov_base);
    size_t left = vector.iov_len;
    for (; left >= 8; left -= 8, bytes += 8) {
      uint64_t word;
      std::memcpy(&word, bytes, 8);
      hash = (hash ^ word) * 0xff51afd7ed558ccdu;
      hash ^= hash >> 32;
    }
    for (; left > 0; --left, ++bytes) hash = (hash ^ *bytes) * 0x100000001b3u;
  }
  return hash;
}

BufferPoolOptions scribbling(BufferPoolOptions options) {
  options.scribble = true;
  return options;
}

}  // namespace

SimRing::SimRing(const RingOptions& options, const SimOptions& sim)
    : options_(options), sim_(sim), random_(sim.seed) {
  CHECK(sim.latency_ns_min <= sim.latency_ns_max &&
        sim.latency_ns_max - sim.latency_ns_min < UINT32_MAX);
  small_ = std::make_unique<BufferPool>(scribbling(options.small));
  bulk_ = std::make_unique<BufferPool>(scribbling(options.bulk));
  output_ = std::make_unique<BufferPool>(scribbling(options.output));
  now_ns_ = clock_ = sim.start_ns;
}

SimRing::~SimRing() {
  CHECK(in_flight_ == 0);
  for (const SimSocket& socket : sockets_) {
    if (socket.fd >= 0) ::close(socket.fd);
  }
}

SimRing::AddressKey SimRing::key_of(const SocketAddress& address) {
  return {reinterpret_cast<const char*>(&address.local), address.length};
}

int32_t SimRing::take_socket(SocketKind kind) {
  if (free_sockets_.empty()) {
    if (sockets_.size() >= options_.sockets_max) return -1;
    free_sockets_.push_back(static_cast<int32_t>(sockets_.size()));
    sockets_.emplace_back();
  }
  const int32_t index =
      free_sockets_.back();  // The last one freed: a stale index hits a stranger soon.
  free_sockets_.pop_back();
  sockets_[index] = SimSocket{};
  sockets_[index].kind = kind;
  ++sockets_open_;
  return index;
}

SimRing::SimSocket& SimRing::socket(Socket socket) {
  CHECK(socket.valid() && static_cast<size_t>(socket.index) < sockets_.size());
  CHECK(sockets_[socket.index].kind != SocketKind::kFree);
  return sockets_[socket.index];
}

Socket SimRing::listen(const SocketAddress& address) {
  CHECK(!listeners_.contains(key_of(address)));
  const int32_t index = take_socket(SocketKind::kListener);
  CHECK(index >= 0);
  sockets_[index].address = address;
  listeners_[key_of(address)] = index;
  return Socket{index};
}

std::expected<Socket, int> SimRing::adopt(int fd) {
  int listening = 0;
  socklen_t length = sizeof listening;
  if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length) == 0 && listening != 0) {
    SocketAddress address;
    address.length = sizeof address.local;
    if (getsockname(fd, &address.generic, &address.length) != 0) return std::unexpected(errno);
    const Socket socket = listen(address);
    sockets_[socket.index].fd = fd;
    return socket;
  }
  int type = 0;
  length = sizeof type;
  if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0 && type == SOCK_DGRAM) {
    SocketAddress address;
    address.length = sizeof address.local;
    if (getsockname(fd, &address.generic, &address.length) != 0) return std::unexpected(errno);
    const int32_t bound = take_socket(SocketKind::kDatagram);
    if (bound < 0) return std::unexpected(ENFILE);
    sockets_[bound].address = address;
    sockets_[bound].fd = fd;
    datagram_sockets_[key_of(address)] = bound;
    return Socket{bound};
  }
  const int32_t index = take_socket(SocketKind::kFile);
  if (index < 0) return std::unexpected(ENFILE);
  sockets_[index].fd = fd;
  return Socket{index};
}

std::expected<Socket, int> SimRing::open_stream(int family, const StreamOptions& options) {
  if (random_.chance(sim_.faults.open_exhausted)) return std::unexpected(EMFILE);
  const int32_t index = take_socket(SocketKind::kStream);
  if (index < 0) return std::unexpected(EMFILE);
  if (options.source != nullptr) {
    CHECK(options.source->family() == family);
    sockets_[index].address = *options.source;
  }
  return Socket{index};
}

void SimRing::start(Op& op, OpKind kind, Socket target) {
  CHECK(!op.in_flight && op.complete != nullptr);
  ++socket(target).ops;
  ++in_flight_;
  ++stats_.submissions;
  op.in_flight = true;
  op.cancelling = false;
  op.kind = kind;
  op.mode = 0;
  op.socket = target;
  Pending& pending = pending_[&op];
  pending = Pending{};
  pending.serial = next_serial_++;
  schedule_effect(op, 1'000 + random_.below(kEffectDelayNs));
}

void SimRing::accept(AcceptOp& op, Socket listener) {
  start(op, OpKind::kAccept, listener);
  CHECK(std::exchange(socket(listener).reader, &op) == nullptr);
}

void SimRing::connect(ConnectOp& op, Socket target, const SocketAddress& address) {
  start(op, OpKind::kConnect, target);
  op.target = address;
  CHECK(std::exchange(socket(target).writer, &op) == nullptr);
}

void SimRing::recv(Op& op, Socket source, RecvMode mode) {
  start(op, OpKind::kRecv, source);
  op.mode = static_cast<uint8_t>(mode);
  CHECK(std::exchange(socket(source).reader, &op) == nullptr);
}

void SimRing::send(SendOp& op, Socket target, std::span<iovec> vectors) {
  CHECK(!vectors.empty() && vectors.size() <= IOV_MAX);
  start(op, OpKind::kSend, target);
  op.vectors = vectors;
  pending_[&op].fingerprint = fingerprint_of(vectors);
  CHECK(std::exchange(socket(target).writer, &op) == nullptr);
}

void SimRing::send_datagram(DatagramSendOp& op, Socket target, std::span<iovec> vectors) {
  CHECK(!vectors.empty() && socket(target).kind == SocketKind::kDatagram);
  start(op, OpKind::kSendDatagram, target);
  op.vectors = vectors;
  pending_[&op].fingerprint = fingerprint_of(vectors);
}

void SimRing::shutdown(Op& op, Socket target, ShutdownHow how) {
  start(op, OpKind::kShutdown, target);
  op.mode = static_cast<uint8_t>(how);
}

void SimRing::close(Op& op, Socket target) {
  CHECK(socket(target).ops == 0);
  start(op, OpKind::kClose, target);
}

void SimRing::write(WriteOp& op, Socket file, const void* bytes, uint32_t length) {
  CHECK(length > 0);
  start(op, OpKind::kWrite, file);
  op.bytes = bytes;
  op.length = length;
}

void SimRing::cancel(Op& op) {
  if (!op.in_flight || op.cancelling) return;
  if (op.kind == OpKind::kClose || op.kind == OpKind::kShutdown) return;
  op.cancelling = true;
  Pending& pending = pending_.at(&op);
  if (std::exchange(pending.parked, false)) {
    for (auto& parked : parked_) std::erase(parked, &op);
  }
  schedule_effect(op, 1'000 + random_.below(kEffectDelayNs));
}

void SimRing::wake() { woken_.store(true, std::memory_order_release); }

void SimRing::schedule(Event event) {
  event.serial = next_serial_++;
  events_.push_back(event);
  std::push_heap(events_.begin(), events_.end(), [](const Event& a, const Event& b) {
    return event_later(a.time_ns, a.serial, b.time_ns, b.serial);
  });
}

void SimRing::schedule_effect(Op& op, uint64_t delay_ns) {
  Pending& pending = pending_.at(&op);
  pending.scheduled = true;
  schedule({.time_ns = clock_ + delay_ns,
            .kind = EventKind::kEffect,
            .op = &op,
            .op_serial = pending.serial});
}

void SimRing::service(int32_t index) {
  if (index < 0) return;
  for (Op* op : {sockets_[index].reader, sockets_[index].writer}) {
    if (op == nullptr) continue;
    const Pending& pending = pending_.at(op);
    if (pending.scheduled || pending.captured || pending.parked || !could_complete(*op)) continue;
    schedule_effect(*op, 1'000 + random_.below(kEffectDelayNs));
  }
}

void SimRing::run_event(const Event& event) {
  switch (event.kind) {
    case EventKind::kEffect: {
      const auto found = pending_.find(event.op);
      if (found != pending_.end() && found->second.serial == event.op_serial)
        effect(*event.op, found->second);
      return;
    }
    case EventKind::kDeliver:
      batch_.emplace_back(event.op, event.op_serial);
      return;
    case EventKind::kCall: {
      auto call = std::move(calls_.at(event.value));
      calls_.erase(event.value);
      return call();
    }
    case EventKind::kToProxy:
      return arrive_at_proxy(*event.peer, event.value);
    case EventKind::kToPeer:
      return arrive_at_peer(*event.peer, event.value);
    case EventKind::kFinToProxy:
      event.peer->to_proxy_.fin_arrived = true;
      return service(event.peer->socket_);
    case EventKind::kFinToPeer:
      return fin_at_peer(*event.peer);
    case EventKind::kResetProxy:
      return reset_proxy(*event.peer);
    case EventKind::kResetPeer:
      return reset_peer(*event.peer);
  }
}

void SimRing::rearm_parked() {
  for (int i = 0; i < 2; ++i) {
    const BufferPool& pool = i == 0 ? *small_ : *bulk_;
    if (parked_[i].empty() || !pool.free_percent(options_.rearm_percent)) continue;
    uint32_t free = pool.total() - pool.in_use();
    while (free-- > 0 && !parked_[i].empty()) {
      Op& op = *parked_[i].front();
      parked_[i].pop_front();
      pending_.at(&op).parked = false;
      schedule_effect(op, 1'000 + random_.below(kEffectDelayNs));
    }
  }
}

uint32_t SimRing::turn(uint64_t deadline_ns) {
  ++stats_.turns;
  ran_ = 0;
  rearm_parked();
  uint64_t until = std::max(deadline_ns, now_ns_ + kTurnNs);
  const auto later = [](const Event& a, const Event& b) {
    return event_later(a.time_ns, a.serial, b.time_ns, b.serial);
  };
  bool woken = woken_.exchange(false, std::memory_order_acquire);
  bool ended_by_batch = false;
  while (!woken && !events_.empty() && events_.front().time_ns <= until) {
    if (!batch_.empty() && !ended_by_batch) {
      // As a kernel does that is asked late: what comes in a moment is taken along.
      ended_by_batch = true;
      until = std::min(until, clock_ + (random_.chance(50) ? random_.below(kBatchNs) : 0));
      continue;
    }
    std::pop_heap(events_.begin(), events_.end(), later);
    const Event event = events_.back();
    events_.pop_back();
    clock_ = std::max(clock_, event.time_ns);
    run_event(event);
    woken = woken_.exchange(false, std::memory_order_acquire);
  }
  if (batch_.empty() && !woken && until != kNever) clock_ = std::max(clock_, until);
  now_ns_ = clock_;
  const bool nothing = batch_.empty() && !woken && deadline_ns == kNever && events_.empty();
  stuck_turns_ = nothing ? stuck_turns_ + 1 : 0;
  CHECK(stuck_turns_ < kStuckTurnsMax);

  std::vector<std::pair<Op*, uint64_t>> batch = std::exchange(batch_, {});
  for (size_t i = batch.size(); i > 1; --i)
    std::swap(batch[i - 1], batch[random_.below(static_cast<uint32_t>(i))]);
  for (const auto& [op, serial] : batch) deliver(*op, serial);
  return ran_;
}

void SimRing::note(const Op& op, const Completion& completion) {
  ++ran_;
  ++stats_.completions;
  for (uint64_t value : {now_ns_, uint64_t(op.kind), uint64_t(uint32_t(op.socket.index)),
                         uint64_t(uint32_t(completion.result)), uint64_t(completion.more)}) {
    trace_hash_ = (trace_hash_ ^ value) * 0x100000001b3u;
  }
  if (!sim_.keep_trace) return;
  trace_ += std::to_string(now_ns_) + " kind " + std::to_string(int(op.kind)) + " socket " +
            std::to_string(op.socket.index) + " result " + std::to_string(completion.result) +
            (completion.more ? " more\n" : "\n");
}

void SimRing::deliver(Op& op, uint64_t serial) {
  const auto found = pending_.find(&op);
  CHECK(found != pending_.end() && found->second.serial == serial && found->second.captured);
  CHECK(op.in_flight);
  if (op.kind == OpKind::kSend || op.kind == OpKind::kSendDatagram) {
    CHECK(fingerprint_of(static_cast<SendOp&>(op).vectors) == found->second.fingerprint);
  }
  Completion completion = std::move(found->second.completion);
  found->second.captured = false;
  note(op, completion);
  if (completion.more) {
    op.complete(op, std::move(completion));
    CHECK(op.in_flight);
    if (op.cancelling) {
      schedule_effect(op, 1'000 + random_.below(kEffectDelayNs));
    } else {
      service(op.socket.index);
    }
    return;
  }
  pending_.erase(found);
  SimSocket& target = sockets_[op.socket.index];
  --target.ops;
  --in_flight_;
  if (target.reader == &op) target.reader = nullptr;
  if (target.writer == &op) target.writer = nullptr;
  if (op.kind == OpKind::kClose) {
    target = SimSocket{};
    free_sockets_.push_back(op.socket.index);
    --sockets_open_;
  }
  op.in_flight = false;
  op.complete(op, std::move(completion));
}

}  // namespace ringway::io
