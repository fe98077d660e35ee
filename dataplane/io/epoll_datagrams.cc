// Datagrams on epoll: recvmsg(2) until there are no more, at most so many a turn.
#include <cerrno>

#include "dataplane/io/bind_source.h"
#include "dataplane/io/datagram.h"
#include "dataplane/io/epoll_ring.h"

namespace ringway::io {
namespace {

constexpr int kDatagramsPerTurn = 32;

}  // namespace

std::expected<int, int> open_connected_datagram(const SocketAddress& peer,
                                                const SocketAddress* source, int flags) {
  const int fd = ::socket(peer.family(), SOCK_DGRAM | flags, 0);
  if (fd < 0) return std::unexpected(errno);
  // Without it datagrams come one by one: no reason to fail.
  const int on = 1;
  ::setsockopt(fd, IPPROTO_UDP, UDP_GRO, &on, sizeof on);
  int error = source == nullptr ? 0 : bind_source(fd, *source);
  // Sends nothing, so it does not wait.
  if (error == 0 && ::connect(fd, &peer.generic, peer.length) == 0) return fd;
  if (error == 0) error = errno;
  ::close(fd);
  return std::unexpected(error);
}

std::expected<Socket, int> EpollRing::open_datagram(const SocketAddress& peer,
                                                    const SocketAddress* source) {
  const auto fd = open_connected_datagram(peer, source, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (!fd) return std::unexpected(fd.error());
  open_file(*fd, FileKind::kSocket);
  if (watch(Socket{*fd})) return Socket{*fd};
  const int error = errno;
  files_[*fd] = File{};
  ::close(*fd);
  return std::unexpected(error);
}

void EpollRing::recv_datagrams(DatagramOp& op, Socket socket) {
  start(op, OpKind::kDatagrams, socket);
  op.mode = static_cast<uint8_t>(RecvMode::kBulk);
  if (file(socket).readable) {
    queue(op);
  } else {
    wait_readable(op);
  }
}

void EpollRing::send_datagram(DatagramSendOp& op, Socket socket, std::span<iovec> vectors) {
  CHECK(!vectors.empty());
  start(op, OpKind::kSendDatagram, socket);
  op.vectors = vectors;
  queue(op);
}

void EpollRing::attempt_datagrams(DatagramOp& op) {
  for (int i = 0; i < kDatagramsPerTurn; ++i) {
    Slice slice = bulk_->try_take();
    if (slice.buffer() == nullptr) {
      if (bulk_->total() < kDatagramBuffers) bulk_->grow();
      ++stats_.buffers_exhausted;
      set_place(op, kParked);
      parked_[pool_of(op)].push(op);
      return;
    }
    const std::span<std::byte> room = slice.tail();
    iovec vector{room.data(), room.size()};
    alignas(cmsghdr) char control[kDatagramControlBytes];
    op.peer = SocketAddress{};
    msghdr message{};
    message.msg_name = &op.peer.local;
    message.msg_namelen = sizeof op.peer.local;
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    const ssize_t bytes = ::recvmsg(op.socket.index, &message, MSG_DONTWAIT);
    if (bytes < 0) {
      const int error = errno;
      if (error == EINTR) continue;
      if (error != EAGAIN) return finish(op, {.result = -error});
      file(op.socket).readable = false;
      return wait_readable(op);
    }
    op.peer.length = message.msg_namelen;
    read_datagram_control(op, control, message.msg_controllen, static_cast<size_t>(bytes));
    op.truncated = (message.msg_flags & MSG_TRUNC) != 0;
    slice.extend(static_cast<uint32_t>(bytes));
    progress(op, {.result = static_cast<int32_t>(bytes), .data = std::move(slice)});
    if (op.cancelling) return finish(op, {.result = -ECANCELED});
  }
  queue(op);
}

void EpollRing::attempt_send_datagram(DatagramSendOp& op) {
  prepare_datagram(op);
  ssize_t bytes;
  do {
    bytes = ::sendmsg(op.socket.index, &op.message, MSG_NOSIGNAL | MSG_DONTWAIT);
  } while (bytes < 0 && errno == EINTR);
  finish(op, {.result = static_cast<int32_t>(bytes < 0 ? -errno : bytes)});
}

}  // namespace ringway::io
