// The calls that EpollRing tries when a socket is believed ready.
#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "dataplane/io/accept_errors.h"
#include "dataplane/io/epoll_ring.h"

namespace ringway::io {
namespace {

constexpr int kAcceptsPerTurn = 16;
constexpr int kReceivesPerTurn = 4;
constexpr uint32_t kPipeBytes =
    4096;  // PIPE_BUF: what a pipe that polls writable takes without blocking.

}  // namespace

void EpollRing::attempt(Op& op) {
  if (op.cancelling) return finish(op, {.result = -ECANCELED});
  switch (op.kind) {
    case OpKind::kAccept:
      return attempt_accept(static_cast<AcceptOp&>(op));
    case OpKind::kConnect:
      return attempt_connect(static_cast<ConnectOp&>(op));
    case OpKind::kRecv:
      return attempt_recv(op);
    case OpKind::kSend:
      return attempt_send(static_cast<SendOp&>(op));
    case OpKind::kWrite:
      return attempt_write(static_cast<WriteOp&>(op));
    case OpKind::kClose:
      return attempt_close(op);
    case OpKind::kDatagrams:
      return attempt_datagrams(static_cast<DatagramOp&>(op));
    case OpKind::kSendDatagram:
      return attempt_send_datagram(static_cast<DatagramSendOp&>(op));
    case OpKind::kShutdown: {
      const int result = ::shutdown(op.socket.index, op.mode & kModeMask);
      return finish(op, {.result = result == 0 ? 0 : -errno});
    }
    case OpKind::kNone:
      break;
  }
  check_failed(__FILE__, __LINE__, "an op kind");
}

void EpollRing::attempt_accept(AcceptOp& op) {
  for (int i = 0; i < kAcceptsPerTurn; ++i) {
    op.peer = SocketAddress{};
    op.peer.length = sizeof op.peer.local;
    const int fd =
        accept4(op.socket.index, &op.peer.generic, &op.peer.length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
      const int error = errno;
      if (error == EAGAIN) {
        file(op.socket).readable = false;
        return wait_readable(op);
      }
      if (accept_goes_on(error)) continue;
      return finish(op, {.result = -error});
    }
    open_file(fd, FileKind::kSocket);
    if (!watch(Socket{fd})) {  // ENOMEM, or ENOSPC at fs.epoll.max_user_watches.
      files_[fd] = File{};
      ::close(fd);
      return finish(op, {.result = -ENOMEM});
    }
    progress(op, {.result = fd});
    if (op.cancelling) return finish(op, {.result = -ECANCELED});
  }
  queue(op);
}

void EpollRing::attempt_connect(ConnectOp& op) {
  const int fd = op.socket.index;
  if ((op.mode & kModeMask) == kConnectBegun) {
    int error = 0;
    socklen_t length = sizeof error;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0) error = errno;
    return finish(op, {.result = -error});
  }
  const bool done = ::connect(fd, &op.target.generic, op.target.length) == 0;
  const int error = done ? 0 : errno;
  if (error != 0 && error != EINPROGRESS && error != EINTR) return finish(op, {.result = -error});
  File& target = file(op.socket);
  if (!target.watched && !watch(op.socket)) return finish(op, {.result = -ENOMEM});
  if (done) return finish(op, {.result = 0});
  op.mode = kConnectBegun;
  target.readable = target.writable = false;
  wait_writable(op);
}

void EpollRing::attempt_recv(Op& op) {
  const RecvMode mode = recv_mode_of(op);
  BufferPool& pool = mode == RecvMode::kBulk ? *bulk_ : *small_;
  for (int i = 0; i < kReceivesPerTurn; ++i) {
    Slice slice = pool.try_take();
    if (slice.buffer() == nullptr) {
      ++stats_.buffers_exhausted;
      set_place(op, kParked);
      parked_[pool_of(op)].push(op);
      return;
    }
    File& target = file(op.socket);
    const std::span<std::byte> room = slice.tail();
    const ssize_t bytes = ::recv(op.socket.index, room.data(), room.size(), MSG_DONTWAIT);
    if (bytes < 0) {
      const int error = errno;
      if (error == EINTR) continue;
      if (error != EAGAIN) return finish(op, {.result = -error});
      target.readable = false;
      return wait_readable(op);
    }
    if (bytes == 0) return finish(op, {.result = 0});
    // A short read has emptied the socket (epoll(7), question 9), unless an end or an error stands
    // behind the bytes.
    const bool emptied = static_cast<size_t>(bytes) < room.size() && !target.hung_up;
    if (emptied) target.readable = false;
    slice.extend(static_cast<uint32_t>(bytes));
    Completion completion{.result = static_cast<int32_t>(bytes), .data = std::move(slice)};
    if (mode != RecvMode::kMultishot) return finish(op, std::move(completion));
    progress(op, std::move(completion));
    if (op.cancelling) return finish(op, {.result = -ECANCELED});
    if (emptied) return wait_readable(op);
  }
  queue(op);
}

void EpollRing::attempt_send(SendOp& op) {
  msghdr message{};
  message.msg_iov = op.vectors.data();
  message.msg_iovlen = op.vectors.size();
  ssize_t bytes;
  do {
    bytes = ::sendmsg(op.socket.index, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  } while (bytes < 0 && errno == EINTR);
  if (bytes < 0 && errno == EAGAIN) {
    file(op.socket).writable = false;
    return wait_writable(op);
  }
  if (bytes < 0) return finish(op, {.result = -errno});
  finish(op, {.result = static_cast<int32_t>(bytes)});
}

void EpollRing::attempt_write(WriteOp& op) {
  uint32_t length = op.length;
  File& target = file(op.socket);
  if (target.kind != FileKind::kFile) {
    pollfd ready{.fd = op.socket.index, .events = POLLOUT};
    if (::poll(&ready, 1, 0) == 0) {
      target.writable = false;
      return wait_writable(op);
    }
    length = std::min(length, kPipeBytes);
  }
  ssize_t bytes;
  do {
    bytes = target.kind == FileKind::kSocket
                ? ::send(op.socket.index, op.bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT)
                : ::write(op.socket.index, op.bytes, length);
  } while (bytes < 0 && errno == EINTR);
  if (bytes < 0 && errno == EAGAIN && target.watched) {
    target.writable = false;
    return wait_writable(op);
  }
  finish(op, {.result = static_cast<int32_t>(bytes < 0 ? -errno : bytes)});
}

void EpollRing::attempt_close(Op& op) {
  const int fd = op.socket.index;
  if (files_[fd].adopted && files_[fd].watched) epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, nullptr);
  const int result = ::close(fd) == 0 || errno == EINTR ? 0 : -errno;
  files_[fd] = File{.ops = 1};  // finish() takes it off; then the number is free for its next life.
  finish(op, {.result = result});
}

}  // namespace ringway::io
