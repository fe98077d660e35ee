// The ring where io_uring is forbidden: edge-triggered readiness made into completions.
//
// Thread rule: as Ring. Every submission goes into a queue; turn() looks once at epoll and then
// tries the calls of that queue, so that nothing completes in line and no socket gets more than a
// bounded number of completions a turn. Invariants: (1) an op in flight is either in the run queue,
// in a parked list, or waits in its socket's reader or writer place; (2) `readable` and `writable`
// are false only after the kernel said so, and an edge sets them again; (3) an index is the
// descriptor itself: edges are noted before any completion runs, so none reaches a reused number.
#pragma once

#include <array>
#include <vector>

#include "dataplane/io/op_list.h"
#include "dataplane/io/ring.h"

namespace ringway::io {

class EpollRing final : public Ring {
 public:
  explicit EpollRing(const RingOptions& options);
  ~EpollRing() override;

  Backend backend() const override { return Backend::kEpoll; }
  std::expected<Socket, int> adopt(int fd) override;
  std::expected<Socket, int> open_stream(int family, const StreamOptions& options) override;
  void accept(AcceptOp& op, Socket listener) override;
  void connect(ConnectOp& op, Socket socket, const SocketAddress& target) override;
  void recv(Op& op, Socket socket, RecvMode mode) override;
  void send(SendOp& op, Socket socket, std::span<iovec> vectors) override;
  void shutdown(Op& op, Socket socket, ShutdownHow how) override;
  void close(Op& op, Socket socket) override;
  void write(WriteOp& op, Socket file, const void* bytes, uint32_t length) override;
  std::expected<Socket, int> open_datagram(const SocketAddress& peer,
                                           const SocketAddress* source) override;
  void recv_datagrams(DatagramOp& op, Socket socket) override;
  void send_datagram(DatagramSendOp& op, Socket socket, std::span<iovec> vectors) override;
  void cancel(Op& op) override;
  void wake() override;
  uint32_t turn(uint64_t deadline_ns) override;

 private:
  enum class FileKind : uint8_t { kClosed, kSocket, kPipe, kFile };

  struct File {
    FileKind kind = FileKind::kClosed;
    bool watched = false;  // Known to epoll.
    bool adopted = false;  // Others may hold the same open file: closing the number does not end
                           // epoll's watch.
    bool readable = true;  // Until the kernel answers EAGAIN.
    bool writable = true;
    bool hung_up =
        false;  // EOF or an error is behind the bytes: a short read is not the end of reading.
    uint16_t ops = 0;
    Op* reader = nullptr;  // Waits for an edge.
    Op* writer = nullptr;
  };

  // Where an op in flight is: the high half of Op::mode. Beside it: the receive mode, the shutdown
  // direction, or that a connect has begun.
  static constexpr uint8_t kModeMask = 0x0f;
  static constexpr uint8_t kPlaceMask = 0xf0;
  static constexpr uint8_t kQueued = 0x10;
  static constexpr uint8_t kParked = 0x20;
  static constexpr uint8_t kWaitsToRead = 0x30;
  static constexpr uint8_t kWaitsToWrite = 0x40;

  static constexpr uint8_t kConnectBegun = 1;

  static uint8_t place_of(const Op& op) { return op.mode & kPlaceMask; }
  static void set_place(Op& op, uint8_t place) {
    op.mode = static_cast<uint8_t>((op.mode & kModeMask) | place);
  }
  static RecvMode recv_mode_of(const Op& op) { return static_cast<RecvMode>(op.mode & kModeMask); }
  static int pool_of(const Op& op) { return recv_mode_of(op) == RecvMode::kBulk ? 1 : 0; }

  File& file(Socket socket);
  void start(Op& op, OpKind kind, Socket socket);
  void queue(Op& op);
  bool watch(Socket socket);  // Puts it under epoll; false with errno.
  File& open_file(int fd, FileKind kind);
  void wait_readable(Op& op);
  void wait_writable(Op& op);
  void note_edges(uint64_t deadline_ns);
  void rearm_parked();
  void finish(Op& op, Completion&& completion);
  void progress(Op& op, Completion&& completion);  // A completion with `more`.

  void attempt(Op& op);
  void attempt_accept(AcceptOp& op);
  void attempt_connect(ConnectOp& op);
  void attempt_recv(Op& op);
  void attempt_send(SendOp& op);
  void attempt_write(WriteOp& op);
  void attempt_datagrams(DatagramOp& op);
  void attempt_send_datagram(DatagramSendOp& op);
  void attempt_close(Op& op);

  RingOptions options_;
  int epoll_ = -1;
  int event_ = -1;
  std::vector<File> files_;
  OpList run_;
  std::array<OpList, 2> parked_;  // Small, bulk.
  uint32_t ran_ = 0;              // Completions of this turn.
  bool nanosecond_wait_ = true;   // epoll_pwait2(2), Linux 5.11; a seccomp profile may not know it.
};

}  // namespace ringway::io
