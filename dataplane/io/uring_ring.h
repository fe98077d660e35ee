// The ring on io_uring: registered files, multishot receives into provided buffers, one enter per
// turn.
//
// Thread rule: as Ring (IORING_SETUP_SINGLE_ISSUER).
// Invariants: (1) the low three bits of user_data say whose completion it is, the rest is an
// address; (2) completions are copied out of the kernel's queue before the first of them runs; (3)
// an op in flight is in the kernel, in ready_, or parked for buffers; (4) while a pool is scarce no
// multishot receive is armed on it. Sockets are registered slots:
// [0, accept_slots) are given out by the kernel to accepted connections, those behind are ours, for
// what open_stream() and adopt() bring. They have no descriptor, so RLIMIT_NOFILE does not count
// them.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "dataplane/io/op_list.h"
#include "dataplane/io/ring.h"
#include "dataplane/io/uring_queue.h"

namespace ringway::io {

class UringRing final : public Ring {
 public:
  explicit UringRing(const RingOptions& options);
  ~UringRing() override;

  Backend backend() const override { return Backend::kUring; }
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
  // Whose completion: the low bits of user_data.
  static constexpr uint64_t kTagMask = 7;
  static constexpr uint64_t kTagOp = 0;
  static constexpr uint64_t kTagIgnored =
      1;  // Cancellations: what they did shows in the op itself.
  static constexpr uint64_t kTagWake = 2;
  static constexpr uint64_t kTagAccept = 3;

  // Op::mode: the receive mode, and where the receive is.
  static constexpr uint8_t kModeMask = 0x0f;
  static constexpr uint8_t kParked = 0x10;
  static constexpr uint8_t kArmed = 0x20;     // As a multishot, in the list of them.
  static constexpr uint8_t kRecalled = 0x40;  // The same, and its cancellation is on the way.
  static RecvMode recv_mode_of(const Op& op) { return static_cast<RecvMode>(op.mode & kModeMask); }

  // Several one-shot accepts stand behind one AcceptOp, each with its own room for the peer's
  // address, which a multishot accept could not give and a registered socket cannot be asked for.
  static constexpr int kAcceptLanes = 4;
  struct AcceptSet;
  struct AcceptLane {
    AcceptSet* set = nullptr;
    bool live = false;
    SocketAddress peer;
  };
  struct AcceptSet {
    AcceptOp* op = nullptr;
    int live = 0;
    int32_t ending = 0;  // The result that ends the op once no lane is live.
    std::array<AcceptLane, kAcceptLanes> lanes;
  };
  struct Ready {
    uint64_t user_data;
    int32_t result;
    uint32_t flags;
  };
  struct Lent {  // A pool in the kernel's hands.
    BufferPool* pool = nullptr;
    io_uring_buf_ring* ring = nullptr;
    int mask = 0;
    uint32_t scarce_above = 0;  // Buffers in use.
    bool scarce = false;        // Receives take one buffer each, see recall().
    OpList parked;
    OpList armed;  // Multishot receives of streams in the kernel.
  };

  void lend(uint16_t group, std::unique_ptr<BufferPool>& pool, const BufferPoolOptions& options);
  static void on_give_back(void* lent, Buffer& buffer);
  std::expected<Socket, int> take_slot(int fd);
  void start(Op& op, OpKind kind, Socket socket);
  io_uring_sqe& sqe_for(uint64_t user_data);
  void submit_recv(Op& op);
  void submit_datagrams(DatagramOp& op);
  static bool read_datagram(DatagramOp& op, Slice&& slice, Completion& out);
  void submit_accept(AcceptLane& lane);
  void submit_cancel(uint64_t user_data);
  void arm_wake();
  void park(Op& op);
  void unpark(Op& op);
  void rearm_parked();
  bool multishot_fits(Lent& lent);
  void recall(Lent& lent);
  Lent& lent_of(const Op& op);

  void run(const Ready& ready);
  void on_recv(Op& op, int32_t result, uint32_t flags);
  void on_datagram(DatagramOp& op, int32_t result, uint32_t flags);
  void on_accept(AcceptLane& lane, int32_t result);
  void on_wake(uint32_t flags);
  void finish(Op& op, Completion&& completion);
  void progress(Op& op, Completion&& completion);

  RingOptions options_;
  UringQueue queue_;
  int event_ = -1;
  std::array<Lent, 2> lent_;  // By buffer group: small, bulk.
  std::vector<Ready> ready_;
  std::unique_ptr<uint16_t[], void (*)(void*)> ops_;  // In flight, by slot.
  std::vector<uint32_t> free_slots_;  // Ours that were used before; then comes next_slot_.
  uint32_t next_slot_ = 0;
  std::vector<std::unique_ptr<AcceptSet>> accepts_;
  uint32_t ran_ = 0;
};

}  // namespace ringway::io
