#include "tests/bench/flat_ring.h"

#include <arpa/inet.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#if __has_include(<valgrind/callgrind.h>)
#include <valgrind/callgrind.h>
#else
#define CALLGRIND_TOGGLE_COLLECT
#endif

extern "C" uint64_t malloc_count_now(void);

namespace ringway::bench {
namespace {

bool counting = false;
uint64_t allocations = 0, allocations_before = 0;

// The ring's own work, in the middle of what is counted.
class Uncounted {
 public:
  Uncounted() : was_(counting) {
    if (was_) count_off();
  }
  ~Uncounted() {
    if (was_) count_on();
  }
  Uncounted(const Uncounted&) = delete;
  Uncounted& operator=(const Uncounted&) = delete;

 private:
  bool was_;
};

}  // namespace

void count_on() {
  counting = true;
  allocations_before = malloc_count_now();
  CALLGRIND_TOGGLE_COLLECT;
}

void count_off() {
  CALLGRIND_TOGGLE_COLLECT;
  allocations += malloc_count_now() - allocations_before;
  counting = false;
}

uint64_t counted_allocations() { return allocations; }

FlatRing::FlatRing(const io::RingOptions& options, Trace trace) : trace_(std::move(trace)) {
  small_ = std::make_unique<io::BufferPool>(options.small);
  bulk_ = std::make_unique<io::BufferPool>(options.bulk);
  output_ = std::make_unique<io::BufferPool>(options.output);
  now_ns_ = 1'000'000'000;
}

FlatRing::~FlatRing() { CHECK(in_flight_ == 0); }

io::Socket FlatRing::take(Kind kind) {
  const auto free = std::ranges::find(places_, Kind::kFree, &Place::kind);
  const auto index = static_cast<int32_t>(free - places_.begin());
  if (free == places_.end()) {
    places_.emplace_back(kind);
  } else {
    *free = Place(kind);
  }
  return {index};
}

std::expected<io::Socket, int> FlatRing::adopt(int fd) {
  const Uncounted own;
  ::close(fd);
  return take(Kind::kListener);
}

std::expected<io::Socket, int> FlatRing::open_stream(int, const io::StreamOptions&) {
  const Uncounted own;
  return take(Kind::kServer);
}

void FlatRing::start(io::Op& op, io::OpKind kind, io::Socket socket) {
  const Uncounted own;
  CHECK(!op.in_flight && op.complete != nullptr);
  op.in_flight = true;
  op.kind = kind;
  op.socket = socket;
  ++in_flight_;
  ++stats_.submissions;
  queue_.push_back(&op);
}

void FlatRing::accept(io::AcceptOp& op, io::Socket listener) {
  start(op, io::OpKind::kAccept, listener);
}

void FlatRing::connect(io::ConnectOp& op, io::Socket socket, const io::SocketAddress& target) {
  op.target = target;
  start(op, io::OpKind::kConnect, socket);
}

void FlatRing::recv(io::Op& op, io::Socket socket, io::RecvMode mode) {
  op.mode = static_cast<uint8_t>(mode);
  start(op, io::OpKind::kRecv, socket);
}

void FlatRing::send(io::SendOp& op, io::Socket socket, std::span<iovec> vectors) {
  op.vectors = vectors;
  start(op, io::OpKind::kSend, socket);
}

void FlatRing::shutdown(io::Op& op, io::Socket socket, io::ShutdownHow) {
  start(op, io::OpKind::kShutdown, socket);
}

void FlatRing::close(io::Op& op, io::Socket socket) { start(op, io::OpKind::kClose, socket); }

void FlatRing::write(io::WriteOp& op, io::Socket file, const void* bytes, uint32_t length) {
  op.bytes = bytes;
  op.length = length;
  start(op, io::OpKind::kWrite, file);
}

void FlatRing::cancel(io::Op& op) {
  const Uncounted own;
  if (op.in_flight && std::ranges::find(cancels_, &op) == cancels_.end()) cancels_.push_back(&op);
}

void FlatRing::finish(io::Op& op, int32_t result, io::Slice data, bool more) {
  if (!more) {
    op.in_flight = false;
    --in_flight_;
  }
  ++ran_;
  ++stats_.completions;
  count_on();
  op.complete(op, {.result = result, .more = more, .data = std::move(data)});
  count_off();
}

uint32_t FlatRing::turn(uint64_t) {
  const Uncounted own;
  ran_ = 0;
  now_ns_ += step_ns_;
  std::swap(queue_, batch_);
  queue_.clear();
  for (io::Op* op : batch_) run(*op);
  for (io::Op* op : std::exchange(cancels_, {})) {
    if (!op->in_flight || (op->kind != io::OpKind::kRecv && op->kind != io::OpKind::kAccept))
      continue;
    if (op == accept_) accept_ = nullptr;
    if (op->kind == io::OpKind::kRecv) places_[op->socket.index].receive = nullptr;
    finish(*op, -ECANCELED);
  }
  accept_clients();
  for (size_t i = 0; i < places_.size(); ++i) deliver(i);
  ++stats_.turns;
  return ran_;
}

void FlatRing::run(io::Op& op) {
  Place& place = places_[op.socket.index];
  switch (op.kind) {
    case io::OpKind::kAccept:
      accept_ = static_cast<io::AcceptOp*>(&op);
      return;
    case io::OpKind::kRecv:
      place.receive = &op;
      return;
    case io::OpKind::kSend:
      return finish(op, take_sent(static_cast<io::SendOp&>(op)));
    case io::OpKind::kWrite:
      return finish(op, static_cast<int32_t>(static_cast<io::WriteOp&>(op).length));
    case io::OpKind::kShutdown:
      place.ended = true;
      return finish(op, 0);
    case io::OpKind::kClose:
      CHECK(place.receive == nullptr);
      place.kind = Kind::kFree;
      return finish(op, 0);
    default:
      return finish(op, 0);
  }
}

void FlatRing::accept_clients() {
  for (; accept_ != nullptr && clients_ < trace_.connections; ++clients_) {
    const io::Socket socket = take(Kind::kClient);
    io::SocketAddress& peer = accept_->peer;
    peer = {};
    peer.v4.sin_family = AF_INET;
    peer.v4.sin_addr.s_addr = htonl(0x0A010001 + clients_);
    peer.v4.sin_port = htons(40000);
    peer.length = sizeof(sockaddr_in);
    finish(*accept_, socket.index, {}, true);
  }
}

// What the peer has sent, one buffer a turn.
void FlatRing::deliver(size_t index) {
  if (places_[index].kind == Kind::kClient) ask_again(places_[index]);
  Place& place = places_[index];
  if (place.receive == nullptr || (place.input.empty() && !place.ended)) return;
  io::Op& op = *place.receive;
  const auto mode = static_cast<io::RecvMode>(op.mode);
  const bool more = mode == io::RecvMode::kMultishot && !place.input.empty();
  if (!more) place.receive = nullptr;
  if (place.input.empty()) return finish(op, 0);
  io::Slice data = (mode == io::RecvMode::kBulk ? *bulk_ : *small_).take();
  const auto bytes = static_cast<uint32_t>(std::min(place.input.size(), data.tail().size()));
  std::memcpy(data.tail().data(), place.input.data(), bytes);
  data.extend(bytes);
  place.input.remove_prefix(bytes);
  finish(op, static_cast<int32_t>(bytes), std::move(data), more);
}

int32_t FlatRing::take_sent(io::SendOp& op) {
  Place& place = places_[op.socket.index];
  int32_t total = 0;
  for (const iovec& part : op.vectors) {
    place.reader.feed({static_cast<const char*>(part.iov_base), part.iov_len});
    total += static_cast<int32_t>(part.iov_len);
  }
  CHECK(!place.reader.malformed());
  while (place.reader.message().complete) on_message(place);
  return total;
}

void FlatRing::on_message(Place& place) {
  if (place.kind == Kind::kServer) {
    place.input = trace_.response;
  } else {
    CHECK(place.reader.message().start_line.find(" 200 ") != std::string::npos);
    place.waits = false;
    ++answers_;
  }
  place.reader.next();
}

void FlatRing::ask_again(Place& place) {
  if (place.waits || place.ended || asked_ >= wanted_) return;
  ++asked_;
  place.waits = true;
  place.input = trace_.request;
}

}  // namespace ringway::bench
