#include "dataplane/io/uring_ring.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>

#include "base/clock.h"
#include "dataplane/io/bind_source.h"

namespace ringway::io {
namespace {

constexpr uint32_t kCompletionsPerEntry = 8;
constexpr uint32_t kPlentyPercent = 75;  // Of a pool that is free: it is not scarce any more.
constexpr uint32_t kScarcePercent = 6;   // Of a pool's limit that is in use: it is scarce.

uint64_t user_data_of(const Op& op) { return reinterpret_cast<uint64_t>(&op); }

void check_done(const std::expected<void, UringFault>& done) {
  if (!done) check_failed(__FILE__, __LINE__, done.error().text().c_str());
}

}  // namespace

UringRing::UringRing(const RingOptions& options) : options_(options), ops_(nullptr, std::free) {
  check_done(queue_.create({.entries = options.entries,
                            .completion_entries = options.entries * kCompletionsPerEntry,
                            .accept_slots = options.sockets_max,
                            .own_slots = options.sockets_max}));
  accepted_max_ = queue_.accept_slots();
  const uint32_t slots = queue_.accept_slots() + queue_.own_slots();
  ops_.reset(
      static_cast<uint16_t*>(std::calloc(slots, sizeof(uint16_t))));  // Pages as they are used.
  CHECK(ops_ != nullptr);
  lend(0, small_, options.small);
  lend(1, bulk_, options.bulk);
  output_ = std::make_unique<BufferPool>(options.output);
  check_done(queue_.enable());
  event_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  CHECK(event_ >= 0);
  arm_wake();
  now_ns_ = monotonic_ns();
}

UringRing::~UringRing() {
  CHECK(in_flight_ == 0);
  for (Lent& lent : lent_) lent.pool->set_give_back(nullptr, nullptr);
  ::close(event_);
}

void UringRing::lend(uint16_t group, std::unique_ptr<BufferPool>& pool,
                     const BufferPoolOptions& options) {
  // As many places as the pool may ever have: growing only adds buffers.
  pool = std::make_unique<BufferPool>(options);
  auto ring = queue_.add_buffer_ring(group, options.buffers_max);
  if (!ring) check_failed(__FILE__, __LINE__, ring.error().text().c_str());
  lent_[group].pool = pool.get();
  lent_[group].ring = *ring;
  lent_[group].scarce_above =
      static_cast<uint32_t>(uint64_t{options.buffers_max} * kScarcePercent / 100);
  lent_[group].mask = io_uring_buf_ring_mask(options.buffers_max);
  pool->set_give_back(&UringRing::on_give_back, &lent_[group]);
}

void UringRing::on_give_back(void* context, Buffer& buffer) {
  Lent& lent = *static_cast<Lent*>(context);
  io_uring_buf_ring_add(lent.ring, buffer.data, buffer.capacity, static_cast<uint16_t>(buffer.id),
                        lent.mask, 0);
  io_uring_buf_ring_advance(lent.ring, 1);
}

std::expected<Socket, int> UringRing::take_slot(int fd) {
  if (free_slots_.empty()) {
    if (next_slot_ == queue_.own_slots()) return std::unexpected(ENFILE);
    free_slots_.push_back(queue_.accept_slots() + next_slot_++);
  }
  const uint32_t slot = free_slots_.back();
  if (auto set = queue_.set_slot(slot, fd); !set) return std::unexpected(set.error());
  free_slots_.pop_back();
  ops_[slot] = 0;
  return Socket{static_cast<int32_t>(slot)};
}

std::expected<Socket, int> UringRing::adopt(int fd) {
  // To io_uring O_NONBLOCK means: answer EAGAIN instead of waiting. Shared by all holders of the
  // same open file.
  const int flags = fcntl(fd, F_GETFL);
  if (flags < 0) return std::unexpected(errno);
  if ((flags & O_NONBLOCK) != 0 && fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) != 0)
    return std::unexpected(errno);
  auto socket = take_slot(fd);
  if (socket) ::close(fd);
  return socket;
}

std::expected<Socket, int> UringRing::open_stream(int family, const StreamOptions& options) {
  const int fd = ::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return std::unexpected(errno);
  const int on = 1;
  if (family != AF_UNIX && options.no_delay)
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (options.keep_alive) setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  if (const int error = options.source == nullptr ? 0 : bind_source(fd, *options.source)) {
    ::close(fd);
    return std::unexpected(error);
  }
  auto socket = take_slot(fd);
  ::close(fd);
  return socket;
}

void UringRing::start(Op& op, OpKind kind, Socket socket) {
  CHECK(!op.in_flight && op.complete != nullptr);
  CHECK(socket.valid() && uint32_t(socket.index) < queue_.accept_slots() + queue_.own_slots());
  ++ops_[socket.index];
  ++in_flight_;
  ++stats_.submissions;
  op.in_flight = true;
  op.cancelling = false;
  op.kind = kind;
  op.mode = 0;
  op.socket = socket;
}

io_uring_sqe& UringRing::sqe_for(uint64_t user_data) {
  io_uring_sqe& sqe = queue_.next_sqe();
  sqe.user_data = user_data;  // The prep functions of liburing 2.3 leave it alone.
  return sqe;
}

void UringRing::accept(AcceptOp& op, Socket listener) {
  start(op, OpKind::kAccept, listener);
  auto& set = *accepts_.emplace_back(std::make_unique<AcceptSet>());
  set.op = &op;
  for (AcceptLane& lane : set.lanes) {
    lane.set = &set;
    submit_accept(lane);
  }
}

void UringRing::submit_accept(AcceptLane& lane) {
  lane.live = true;
  ++lane.set->live;
  lane.peer = SocketAddress{};
  lane.peer.length = sizeof lane.peer.local;
  io_uring_sqe& sqe = sqe_for(reinterpret_cast<uint64_t>(&lane) | kTagAccept);
  io_uring_prep_accept(&sqe, lane.set->op->socket.index, &lane.peer.generic, &lane.peer.length, 0);
  sqe.file_index =
      IORING_FILE_INDEX_ALLOC;  // liburing 2.3's accept_direct would make it 0: a plain descriptor.
  sqe.flags |= IOSQE_FIXED_FILE;
}

void UringRing::connect(ConnectOp& op, Socket socket, const SocketAddress& target) {
  start(op, OpKind::kConnect, socket);
  op.target = target;
  io_uring_sqe& sqe = sqe_for(user_data_of(op));
  io_uring_prep_connect(&sqe, socket.index, &op.target.generic, op.target.length);
  sqe.flags |= IOSQE_FIXED_FILE;
}

void UringRing::recv(Op& op, Socket socket, RecvMode mode) {
  start(op, OpKind::kRecv, socket);
  op.mode = static_cast<uint8_t>(mode);
  submit_recv(op);
}

void UringRing::submit_recv(Op& op) {
  if (op.kind == OpKind::kDatagrams) return submit_datagrams(static_cast<DatagramOp&>(op));
  io_uring_sqe& sqe = sqe_for(user_data_of(op));
  if (recv_mode_of(op) == RecvMode::kMultishot && multishot_fits(lent_[0])) {
    op.mode |= kArmed;
    lent_[0].armed.push(op);
    io_uring_prep_recv_multishot(&sqe, op.socket.index, nullptr, 0, 0);
  } else {
    io_uring_prep_recv(&sqe, op.socket.index, nullptr, 0, 0);  // As long as the buffer chosen.
  }
  sqe.flags |= IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT;
  sqe.buf_group = recv_mode_of(op) == RecvMode::kBulk ? 1 : 0;
}

void UringRing::send(SendOp& op, Socket socket, std::span<iovec> vectors) {
  CHECK(!vectors.empty() && vectors.size() <= IOV_MAX);
  start(op, OpKind::kSend, socket);
  io_uring_sqe& sqe = sqe_for(user_data_of(op));
  constexpr int kFlags =
      MSG_NOSIGNAL | MSG_WAITALL;  // WAITALL: the kernel itself goes on after a short send.
  if (vectors.size() == 1) {
    io_uring_prep_send(&sqe, socket.index, vectors[0].iov_base, vectors[0].iov_len, kFlags);
  } else {
    msghdr& message = queue_.header_of(sqe);
    message = {};
    message.msg_iov = vectors.data();
    message.msg_iovlen = vectors.size();
    io_uring_prep_sendmsg(&sqe, socket.index, &message, kFlags);
  }
  sqe.flags |= IOSQE_FIXED_FILE;
}

void UringRing::shutdown(Op& op, Socket socket, ShutdownHow how) {
  start(op, OpKind::kShutdown, socket);
  io_uring_sqe& sqe = sqe_for(user_data_of(op));
  io_uring_prep_shutdown(&sqe, socket.index, static_cast<int>(how));
  sqe.flags |= IOSQE_FIXED_FILE;
}

void UringRing::close(Op& op, Socket socket) {
  CHECK(socket.valid() && ops_[socket.index] == 0);
  start(op, OpKind::kClose, socket);
  io_uring_sqe& sqe = sqe_for(user_data_of(op));
  io_uring_prep_close_direct(&sqe, static_cast<unsigned>(socket.index));
}

void UringRing::write(WriteOp& op, Socket file, const void* bytes, uint32_t length) {
  CHECK(length > 0);
  start(op, OpKind::kWrite, file);
  op.bytes = bytes;
  op.length = length;
  io_uring_sqe& sqe = sqe_for(user_data_of(op));
  constexpr uint64_t kAtPosition = ~uint64_t{0};
  io_uring_prep_write(&sqe, file.index, bytes, length, kAtPosition);
  sqe.flags |= IOSQE_FIXED_FILE;
}

void UringRing::submit_cancel(uint64_t user_data) {
  io_uring_sqe& sqe = sqe_for(kTagIgnored);
  io_uring_prep_cancel64(&sqe, user_data, 0);
}

void UringRing::cancel(Op& op) {
  if (!op.in_flight || op.cancelling) return;
  if (op.kind == OpKind::kClose || op.kind == OpKind::kShutdown) return;  // They never wait.
  op.cancelling = true;
  if (op.kind == OpKind::kAccept) {
    for (auto& set : accepts_) {
      if (set->op != &op) continue;
      for (AcceptLane& lane : set->lanes) {
        if (lane.live) submit_cancel(reinterpret_cast<uint64_t>(&lane) | kTagAccept);
      }
    }
  } else if (op.mode & kParked) {
    unpark(op);
    ready_.push_back({user_data_of(op), -ECANCELED, 0});
  } else {
    submit_cancel(user_data_of(op));
  }
}

void UringRing::wake() {
  const int saved = errno;
  const uint64_t one = 1;
  const ssize_t ignored = ::write(event_, &one, sizeof one);
  static_cast<void>(ignored);  // EAGAIN: the counter is full, so a wake is due anyway.
  errno = saved;
}

void UringRing::arm_wake() {
  io_uring_sqe& sqe = sqe_for(kTagWake);
  io_uring_prep_poll_multishot(&sqe, event_, POLLIN);
}

UringRing::Lent& UringRing::lent_of(const Op& op) {
  return lent_[recv_mode_of(op) == RecvMode::kBulk ? 1 : 0];
}

void UringRing::park(Op& op) {
  Lent& lent = lent_of(op);
  op.mode |= kParked;
  lent.parked.push(op);
  ++stats_.buffers_exhausted;
}

void UringRing::unpark(Op& op) {
  lent_of(op).parked.remove(op);
  op.mode &= kModeMask;
}

bool UringRing::multishot_fits(Lent& lent) {
  if (lent.scarce) [[unlikely]] {
    lent.scarce =
        lent.pool->in_use() > lent.scarce_above / 2 || !lent.pool->free_percent(kPlentyPercent);
  }
  return !lent.scarce;
}

// Much of what was received lies here. A multishot receive fills buffers with all that its peer has
// to send, wanted or not: before its owner can cancel it the kernel takes 32 and more, before Linux
// 6.8 whatever the socket holds. So they are called back and go on one buffer at a time, and the
// pool grows by what is asked for.
void UringRing::recall(Lent& lent) {
  if (lent.scarce) return;
  lent.scarce = true;
  for (Op* op = lent.armed.head; op != nullptr; op = op->next) {
    if (op->cancelling) continue;
    op->mode |= kRecalled;
    submit_cancel(user_data_of(*op));
  }
}

void UringRing::rearm_parked() {
  for (Lent& lent : lent_) {
    if (lent.pool->in_use() > lent.scarce_above) [[unlikely]]
      recall(lent);
    if (lent.parked.count == 0) continue;
    if (!lent.pool->free_percent(options_.rearm_percent)) {
      recall(lent);
      if (!lent.pool->grow()) continue;
    }
    uint32_t free = lent.pool->total() - lent.pool->in_use();
    while (free-- > 0 && lent.parked.count > 0) {
      Op& op = *lent.parked.head;
      unpark(op);
      submit_recv(op);
    }
  }
}

uint32_t UringRing::turn(uint64_t deadline_ns) {
  ++stats_.turns;
  ran_ = 0;
  rearm_parked();
  queue_.submit_and_wait(ready_.empty() ? deadline_ns : 0);
  now_ns_ = monotonic_ns();
  if (queue_.overflowed()) ++stats_.completion_overflows;
  queue_.take_completions(
      [this](const io_uring_cqe& cqe) { ready_.push_back({cqe.user_data, cqe.res, cqe.flags}); });
  const size_t count = ready_.size();  // Cancelled while these run: the next turn's.
  for (size_t i = 0; i < count; ++i) run(Ready{ready_[i]});
  ready_.erase(ready_.begin(), ready_.begin() + static_cast<ptrdiff_t>(count));
  return ran_;
}

}  // namespace ringway::io
