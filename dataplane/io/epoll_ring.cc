#include "dataplane/io/epoll_ring.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>

#include "base/clock.h"
#include "dataplane/io/bind_source.h"

namespace ringway::io {
namespace {

constexpr int kEventsMax = 512;

}  // namespace

EpollRing::EpollRing(const RingOptions& options) : options_(options) {
  small_ = std::make_unique<BufferPool>(options.small);
  bulk_ = std::make_unique<BufferPool>(options.bulk);
  output_ = std::make_unique<BufferPool>(options.output);
  epoll_ = epoll_create1(EPOLL_CLOEXEC);
  CHECK(epoll_ >= 0);
  event_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  CHECK(event_ >= 0);
  epoll_event event{.events = EPOLLIN | EPOLLET, .data = {.fd = event_}};
  CHECK(epoll_ctl(epoll_, EPOLL_CTL_ADD, event_, &event) == 0);
  now_ns_ = monotonic_ns();
}

EpollRing::~EpollRing() {
  CHECK(in_flight_ == 0);
  for (size_t fd = 0; fd < files_.size(); ++fd) {
    if (files_[fd].kind != FileKind::kClosed) ::close(static_cast<int>(fd));
  }
  ::close(event_);
  ::close(epoll_);
}

EpollRing::File& EpollRing::file(Socket socket) {
  CHECK(socket.valid() && static_cast<size_t>(socket.index) < files_.size());
  File& file = files_[socket.index];
  CHECK(file.kind != FileKind::kClosed);
  return file;
}

EpollRing::File& EpollRing::open_file(int fd, FileKind kind) {
  if (static_cast<size_t>(fd) >= files_.size())
    files_.resize(std::max<size_t>(fd + 1, files_.size() * 2));
  files_[fd] = File{.kind = kind};
  return files_[fd];
}

bool EpollRing::watch(Socket socket) {
  epoll_event event{.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                    .data = {.fd = socket.index}};
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, socket.index, &event) != 0) return false;
  file(socket).watched = true;
  return true;
}

std::expected<Socket, int> EpollRing::adopt(int fd) {
  struct stat status;
  if (fstat(fd, &status) != 0) return std::unexpected(errno);
  const bool is_socket = S_ISSOCK(status.st_mode);
  if (is_socket) {
    // Only accept(2) has no MSG_DONTWAIT; the flag is shared by everyone who holds the same open
    // file.
    const int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) return std::unexpected(errno);
  }
  open_file(fd, is_socket ? FileKind::kSocket : FileKind::kPipe).adopted = true;
  const Socket socket{fd};
  if (!watch(socket)) {
    const int error = errno;
    files_[fd] = File{};
    if (error != EPERM) return std::unexpected(error);
    open_file(fd, FileKind::kFile);  // Regular files and some devices: always ready.
  }
  return socket;
}

std::expected<Socket, int> EpollRing::open_stream(int family, const StreamOptions& options) {
  const int fd = ::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return std::unexpected(errno);
  const int on = 1;
  if (family != AF_UNIX && options.no_delay)
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (options.keep_alive) setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  if (const int error = options.source == nullptr ? 0 : bind_source(fd, *options.source)) {
    ::close(fd);
    return std::unexpected(error);
  }
  open_file(
      fd,
      FileKind::kSocket);  // Under epoll when it connects: before, epoll would report a hang-up.
  return Socket{fd};
}

void EpollRing::start(Op& op, OpKind kind, Socket socket) {
  CHECK(!op.in_flight && op.complete != nullptr);
  File& target = file(socket);
  ++target.ops;
  ++in_flight_;
  ++stats_.submissions;
  op.in_flight = true;
  op.cancelling = false;
  op.kind = kind;
  op.mode = 0;
  op.socket = socket;
}

void EpollRing::queue(Op& op) {
  set_place(op, kQueued);
  run_.push(op);
}

void EpollRing::accept(AcceptOp& op, Socket listener) {
  start(op, OpKind::kAccept, listener);
  queue(op);
}

void EpollRing::connect(ConnectOp& op, Socket socket, const SocketAddress& target) {
  start(op, OpKind::kConnect, socket);
  op.target = target;
  queue(op);
}

void EpollRing::recv(Op& op, Socket socket, RecvMode mode) {
  start(op, OpKind::kRecv, socket);
  op.mode = static_cast<uint8_t>(mode);
  if (file(socket).readable) {
    queue(op);
  } else {
    wait_readable(op);
  }
}

void EpollRing::send(SendOp& op, Socket socket, std::span<iovec> vectors) {
  CHECK(!vectors.empty() && vectors.size() <= IOV_MAX);
  start(op, OpKind::kSend, socket);
  op.vectors = vectors;
  if (file(socket).writable) {
    queue(op);
  } else {
    wait_writable(op);
  }
}

void EpollRing::shutdown(Op& op, Socket socket, ShutdownHow how) {
  start(op, OpKind::kShutdown, socket);
  op.mode = static_cast<uint8_t>(how);
  queue(op);
}

void EpollRing::close(Op& op, Socket socket) {
  CHECK(file(socket).ops == 0);
  start(op, OpKind::kClose, socket);
  queue(op);
}

void EpollRing::write(WriteOp& op, Socket target, const void* bytes, uint32_t length) {
  CHECK(length > 0);
  start(op, OpKind::kWrite, target);
  op.bytes = bytes;
  op.length = length;
  queue(op);
}

void EpollRing::cancel(Op& op) {
  if (!op.in_flight || op.cancelling) return;
  if (op.kind == OpKind::kClose || op.kind == OpKind::kShutdown) return;  // They never wait.
  op.cancelling = true;
  switch (place_of(op)) {
    case kParked:
      parked_[pool_of(op)].remove(op);
      break;
    case kWaitsToRead:
      file(op.socket).reader = nullptr;
      break;
    case kWaitsToWrite:
      file(op.socket).writer = nullptr;
      break;
    default:
      return;  // In the run queue, or its completion function is running: seen there.
  }
  queue(op);
}

void EpollRing::wake() {
  const int saved = errno;
  const uint64_t one = 1;
  const ssize_t ignored = ::write(event_, &one, sizeof one);
  static_cast<void>(ignored);  // EAGAIN: the counter is full, so a wake is due anyway.
  errno = saved;
}

void EpollRing::wait_readable(Op& op) {
  File& target = file(op.socket);
  CHECK(target.reader == nullptr);
  target.reader = &op;
  set_place(op, kWaitsToRead);
}

void EpollRing::wait_writable(Op& op) {
  File& target = file(op.socket);
  CHECK(target.writer == nullptr);
  target.writer = &op;
  set_place(op, kWaitsToWrite);
}

void EpollRing::note_edges(uint64_t deadline_ns) {
  epoll_event events[kEventsMax];
  int count = 0;
  timespec wait{};
  if (deadline_ns != kNever && deadline_ns != 0) {
    const uint64_t now = monotonic_ns();
    const uint64_t rest = deadline_ns > now ? deadline_ns - now : 0;
    wait = {static_cast<time_t>(rest / kNsPerSecond), static_cast<long>(rest % kNsPerSecond)};
  }
  if (nanosecond_wait_) {
    count =
        epoll_pwait2(epoll_, events, kEventsMax, deadline_ns == kNever ? nullptr : &wait, nullptr);
    if (count < 0 && (errno == ENOSYS || errno == EPERM)) nanosecond_wait_ = false;
  }
  if (!nanosecond_wait_) {
    const uint64_t ms =
        uint64_t(wait.tv_sec) * 1000 + (uint64_t(wait.tv_nsec) + kNsPerMs - 1) / kNsPerMs;
    count =
        epoll_wait(epoll_, events, kEventsMax,
                   deadline_ns == kNever ? -1 : static_cast<int>(std::min<uint64_t>(ms, INT_MAX)));
  }
  CHECK(count >= 0 || errno == EINTR);
  for (int i = 0; i < count; ++i) {
    const int fd = events[i].data.fd;
    if (fd == event_) {
      uint64_t value;
      const ssize_t ignored = ::read(event_, &value, sizeof value);
      static_cast<void>(ignored);
      continue;
    }
    File& target = files_[fd];
    const uint32_t what = events[i].events;
    if (what & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) target.hung_up = true;
    if (what & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
      target.readable = true;
      if (target.reader != nullptr) queue(*std::exchange(target.reader, nullptr));
    }
    if (what & (EPOLLOUT | EPOLLHUP | EPOLLERR)) {
      target.writable = true;
      if (target.writer != nullptr) queue(*std::exchange(target.writer, nullptr));
    }
  }
}

void EpollRing::rearm_parked() {
  for (int i = 0; i < 2; ++i) {
    const BufferPool& pool = i == 0 ? *small_ : *bulk_;
    if (parked_[i].count == 0 || !pool.free_percent(options_.rearm_percent)) continue;
    uint32_t free = pool.total() - pool.in_use();
    while (free-- > 0 && parked_[i].count > 0) queue(parked_[i].pop());
  }
}

uint32_t EpollRing::turn(uint64_t deadline_ns) {
  ++stats_.turns;
  ran_ = 0;
  rearm_parked();
  note_edges(run_.count > 0 ? 0 : deadline_ns);
  now_ns_ = monotonic_ns();
  for (uint32_t rest = run_.count; rest > 0; --rest) {  // What they submit waits for the next turn.
    Op& op = run_.pop();
    set_place(op, 0);
    attempt(op);
  }
  return ran_;
}

void EpollRing::finish(Op& op, Completion&& completion) {
  CHECK(op.in_flight);
  --files_[op.socket.index].ops;
  --in_flight_;
  ++ran_;
  ++stats_.completions;
  op.in_flight = false;
  op.complete(op, std::move(completion));
}

void EpollRing::progress(Op& op, Completion&& completion) {
  ++ran_;
  ++stats_.completions;
  completion.more = true;
  op.complete(op, std::move(completion));
  CHECK(op.in_flight);
}

}  // namespace ringway::io
