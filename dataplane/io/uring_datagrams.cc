// Datagrams on io_uring: one multishot recvmsg, whose buffers begin with the sender's address and
// the control messages (io_uring_prep_recvmsg_multishot.3).
#include <cerrno>

#include "dataplane/io/datagram.h"
#include "dataplane/io/uring_ring.h"

namespace ringway::io {

std::expected<Socket, int> UringRing::open_datagram(const SocketAddress& peer,
                                                    const SocketAddress* source) {
  const auto fd = open_connected_datagram(peer, source, SOCK_CLOEXEC);
  if (!fd) return std::unexpected(fd.error());
  auto socket = take_slot(*fd);
  ::close(*fd);
  return socket;
}

void UringRing::recv_datagrams(DatagramOp& op, Socket socket) {
  start(op, OpKind::kDatagrams, socket);
  op.mode = static_cast<uint8_t>(RecvMode::kBulk);
  op.layout = {};
  op.layout.msg_namelen = kDatagramNameBytes;
  op.layout.msg_controllen = kDatagramControlBytes;
  submit_recv(op);
}

void UringRing::submit_datagrams(DatagramOp& op) {
  io_uring_sqe& sqe = sqe_for(reinterpret_cast<uint64_t>(static_cast<Op*>(&op)));
  io_uring_prep_recvmsg_multishot(&sqe, op.socket.index, &op.layout, 0);
  sqe.flags |= IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT;
  sqe.buf_group = 1;
}

void UringRing::send_datagram(DatagramSendOp& op, Socket socket, std::span<iovec> vectors) {
  CHECK(!vectors.empty());
  start(op, OpKind::kSendDatagram, socket);
  op.vectors = vectors;
  io_uring_sqe& sqe = sqe_for(reinterpret_cast<uint64_t>(static_cast<Op*>(&op)));
  constexpr int kFlags = MSG_NOSIGNAL | MSG_DONTWAIT;
  if (vectors.size() == 1 && is_plain(op)) {
    // Without a message header that the kernel would have to read.
    io_uring_prep_send(&sqe, socket.index, vectors[0].iov_base, vectors[0].iov_len, kFlags);
  } else {
    prepare_datagram(op);
    io_uring_prep_sendmsg(&sqe, socket.index, &op.message, kFlags);
  }
  sqe.flags |= IOSQE_FIXED_FILE;
}

// Takes the datagram out of its buffer. False: what came is none.
bool UringRing::read_datagram(DatagramOp& op, Slice&& slice, Completion& out) {
  constexpr size_t kHead =
      sizeof(io_uring_recvmsg_out) + kDatagramNameBytes + kDatagramControlBytes;
  if (slice.size() < kHead) return false;
  io_uring_recvmsg_out head;
  std::memcpy(&head, slice.data(), sizeof head);
  op.peer = SocketAddress{};
  op.peer.length = static_cast<socklen_t>(std::min<size_t>(head.namelen, sizeof(sockaddr_in6)));
  std::byte* name = const_cast<std::byte*>(slice.data()) + sizeof head;
  std::memcpy(&op.peer.local, name, op.peer.length);
  read_datagram_control(op, name + kDatagramNameBytes,
                        std::min<size_t>(head.controllen, kDatagramControlBytes),
                        slice.size() - kHead);
  op.truncated = (head.flags & MSG_TRUNC) != 0;
  slice.remove_prefix(kHead);
  out.result = static_cast<int32_t>(slice.size());
  out.data = std::move(slice);
  return true;
}

// As on_recv(), but that an empty datagram is no end.
void UringRing::on_datagram(DatagramOp& op, int32_t result, uint32_t flags) {
  Slice slice;
  if (flags & IORING_CQE_F_BUFFER) {
    slice = lent_of(op).pool->lend(flags >> IORING_CQE_BUFFER_SHIFT,
                                   static_cast<uint32_t>(std::max(result, 0)));
    if (result <= 0) slice.reset();
  }
  if (result < 0) {
    if (flags & IORING_CQE_F_MORE) return;
    if (op.cancelling) return finish(op, {.result = -ECANCELED});
    if (result == -ENOBUFS) {
      if (bulk_->total() < kDatagramBuffers) bulk_->grow();
      return park(op);
    }
    if (result == -EAGAIN || result == -EINTR) return submit_recv(op);
    return finish(op, {.result = result});
  }
  Completion completion;
  const bool whole = read_datagram(op, std::move(slice), completion);
  const bool ended = (flags & IORING_CQE_F_MORE) == 0;
  const bool cancelled = ended && op.cancelling;
  if (ended && !cancelled) submit_recv(op);
  if (whole) progress(op, std::move(completion));
  if (cancelled) finish(op, {.result = -ECANCELED});
}

}  // namespace ringway::io
