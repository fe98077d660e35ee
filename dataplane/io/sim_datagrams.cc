// Datagrams of a SimRing: each travels by itself, may be lost, and overtakes others.
#include <arpa/inet.h>
#include <unistd.h>

#include <cerrno>

#include "dataplane/io/sim_ring.h"

namespace ringway::io {
namespace {

constexpr size_t kInboxMax = 512;  // As a socket's receive buffer: what does not fit is lost.

}  // namespace

std::expected<Socket, int> SimRing::open_datagram(const SocketAddress& peer,
                                                  const SocketAddress* source) {
  if (random_.chance(sim_.faults.open_exhausted)) return std::unexpected(EMFILE);
  const int32_t index = take_socket(SocketKind::kDatagram);
  if (index < 0) return std::unexpected(EMFILE);
  SocketAddress own;
  own.v4.sin_family = AF_INET;
  own.v4.sin_addr.s_addr = htonl(0x0AFF0000 + ++datagram_ports_ / 50'000);
  own.length = sizeof own.v4;
  if (source != nullptr) own = *source;  // sin_port is at the same place in both families.
  own.v4.sin_port = htons(static_cast<uint16_t>(10'000 + datagram_ports_ % 50'000));
  sockets_[index].address = own;
  sockets_[index].remote = peer;
  datagram_sockets_[key_of(own)] = index;
  return Socket{index};
}

void SimRing::recv_datagrams(DatagramOp& op, Socket source) {
  start(op, OpKind::kDatagrams, source);
  op.mode = static_cast<uint8_t>(RecvMode::kBulk);
  CHECK(socket(source).kind == SocketKind::kDatagram);
  CHECK(std::exchange(socket(source).reader, &op) == nullptr);
}

void SimRing::serve_datagrams(const SocketAddress& address, OnDatagram on_datagram) {
  datagram_peers_[key_of(address)] = std::move(on_datagram);
}

void SimRing::stop_serving_datagrams(const SocketAddress& address) {
  datagram_peers_.erase(key_of(address));
}

void SimRing::datagram_to_proxy(const SocketAddress& from, const SocketAddress& to,
                                std::string_view bytes) {
  if (random_.chance(sim_.faults.datagram_lost)) return;
  after(latency(), [this, from, to, text = std::string(bytes)] {
    const auto found = datagram_sockets_.find(key_of(to));
    if (found == datagram_sockets_.end()) return;
    SimSocket& target = sockets_[found->second];
    if (target.remote.length != 0 && !(target.remote == from)) return;  // Connected to another.
    if (target.inbox.size() >= kInboxMax) return;
    target.inbox.push_back({from, text});
    service(found->second);
  });
}

// Puts datagrams behind the first one of the same sender, as UDP_GRO does.
void SimRing::join_followers(SimSocket& source, DatagramOp& op, Slice& slice) {
  const size_t segment = slice.size();
  if (op.truncated || segment == 0) return;
  for (uint32_t count = 1; count < kSegmentsMax && !source.inbox.empty(); ++count) {
    const SimDatagram& next = source.inbox.front();
    const size_t size = next.bytes.size();
    const bool fits = size > 0 && size <= segment && size <= slice.tail().size();
    if (!fits || !(next.from == op.peer) || !random_.chance(50)) return;
    std::memcpy(slice.tail().data(), next.bytes.data(), size);
    slice.extend(static_cast<uint32_t>(size));
    op.segment_bytes = static_cast<uint32_t>(segment);
    source.inbox.pop_front();
    if (size < segment) return;
  }
}

bool SimRing::effect_datagrams(DatagramOp& op, Pending& pending) {
  SimSocket& source = socket(op.socket);
  if (source.refused) {
    source.refused = false;
    capture(op, pending, {.result = -ECONNREFUSED});
    return true;
  }
  if (source.inbox.empty()) return false;
  Slice slice = random_.chance(sim_.faults.buffers_exhausted) ? Slice() : bulk_->try_take();
  if (slice.buffer() == nullptr) {
    if (op.cancelling) return false;
    park(op, pending);
    return true;
  }
  const SimDatagram datagram = std::move(source.inbox.front());
  source.inbox.pop_front();
  size_t bytes = std::min(datagram.bytes.size(), slice.tail().size());
  std::memcpy(slice.tail().data(), datagram.bytes.data(), bytes);
  slice.extend(static_cast<uint32_t>(bytes));
  op.peer = datagram.from;
  op.local = source.address;
  op.truncated = bytes < datagram.bytes.size();
  op.segment_bytes = 0;
  join_followers(source, op, slice);
  bytes = slice.size();
  capture(op, pending,
          {.result = static_cast<int32_t>(bytes), .more = true, .data = std::move(slice)});
  return true;
}

void SimRing::effect_send_datagram(DatagramSendOp& op, Pending& pending) {
  SimSocket& source = socket(op.socket);
  if (source.refused && random_.chance(50)) {  // The kernel tells whoever asks first.
    source.refused = false;
    return capture(op, pending, {.result = -ECONNREFUSED});
  }
  std::string bytes;
  for (const iovec& vector : op.vectors)
    bytes.append(static_cast<const char*>(vector.iov_base), vector.iov_len);
  const auto size = static_cast<int32_t>(bytes.size());
  if (op.segment_bytes != 0) {
    CHECK(bytes.size() <= size_t{op.segment_bytes} * kSegmentsMax);
    if (random_.chance(sim_.faults.segments_refused))
      return capture(op, pending, {.result = -EINVAL});
  }
  const SocketAddress to = op.to.length != 0 ? op.to : source.remote;
  const size_t step = op.segment_bytes == 0 ? std::max<size_t>(bytes.size(), 1) : op.segment_bytes;
  size_t at = 0;
  do {
    travel(source, to, bytes.substr(at, step));
    at += step;
  } while (at < bytes.size());
  capture(op, pending, {.result = size});
}

void SimRing::travel(const SimSocket& source, const SocketAddress& to, std::string bytes) {
  if (random_.chance(sim_.faults.datagram_lost)) return;
  const SocketAddress from = source.address;
  const bool connected = source.remote.length != 0;
  after(latency(), [this, to, from, connected, text = std::move(bytes)] {
    const auto peer = datagram_peers_.find(key_of(to));
    if (peer != datagram_peers_.end()) return peer->second(from, text);
    const auto sender = datagram_sockets_.find(key_of(from));
    if (!connected || sender == datagram_sockets_.end()) return;
    sockets_[sender->second].refused = true;  // An ICMP answer: told by the next receive or send.
    service(sender->second);
  });
}

}  // namespace ringway::io
