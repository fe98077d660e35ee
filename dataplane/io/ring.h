// The one seam to the kernel: completion-based socket operations. UringRing (io_uring), EpollRing
// (readiness made into completions) and SimRing (a seeded simulation) give the same completions;
// ring_suite_test.cc is the proof.
//
// Thread rule: one thread creates, drives and destroys a ring; only wake() may be called from
// others. Order: completions of one op come in order; sends of one socket must be issued one at a
// time by the owner. Closing: a socket is closed only when no other op on it is in flight
// (CHECKed). cancel() or shutdown() first.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "dataplane/io/buffer_pool.h"
#include "dataplane/io/op.h"

namespace ringway::io {

enum class Backend : uint8_t { kUring, kEpoll, kSim };
std::string_view backend_name(
    Backend backend);  // "io_uring", "epoll", "sim": as in the metric, the log and /readyz?verbose.

enum class RecvMode : uint8_t {
  kMultishot,  // Small pool; completes again and again until EOF (result 0), an error, or cancel().
  kOnce,       // Small pool; one completion.
  kBulk,  // Bulk pool (large buffers); one completion. For bodies, and whenever back-pressure has
          // bitten.
};

enum class ShutdownHow : int { kRead = SHUT_RD, kWrite = SHUT_WR, kBoth = SHUT_RDWR };

struct StreamOptions {
  bool no_delay = true;     // TCP_NODELAY; ignored for Unix sockets.
  bool keep_alive = false;  // SO_KEEPALIVE with the system's times.
  // The address that it connects from, another host's too (bind_source.h); nullptr: as the kernel
  // chooses. Of the socket's family, IPv4 or IPv6. For the call only.
  const SocketAddress* source = nullptr;
};

struct RingOptions {
  uint32_t entries = 1024;       // Submission queue; the completion queue is 8 times that.
  uint32_t sockets_max = 65536;  // Registered-file slots (UringRing) or sockets (SimRing).
  // Small at first, so that what is used stays in the cache; more when slow peers hold buffers. Limits: powers of two.
  BufferPoolOptions small{4096, 256, 16384};
  BufferPoolOptions bulk{65536, 16, 1024};
  BufferPoolOptions output{4096, 64, 65536};
  uint32_t rearm_percent =
      25;  // Share of a drained pool that must be free before parked receives are armed again.
};

struct RingStats {
  uint64_t turns = 0;
  uint64_t completions = 0;
  uint64_t submissions = 0;
  uint64_t buffers_exhausted = 0;  // Times a receive found its pool empty and was parked.
  uint64_t completion_overflows = 0;
};

class Ring {
 public:
  virtual ~Ring() = default;  // CHECKs that nothing is in flight. Pools die after every slice.
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;

  virtual Backend backend() const = 0;

  // Takes over an open descriptor (a listener, a pipe, a socket of the supervisor). On failure the
  // descriptor stays the caller's; the error is an errno.
  virtual std::expected<Socket, int> adopt(int fd) = 0;
  // A non-connected stream socket of `family` (AF_INET, AF_INET6, AF_UNIX). Error: errno (EMFILE,
  // ENFILE, ENOBUFS, ...; EPERM, EADDRNOTAVAIL of a source). Without a free port of the source the
  // connect ends with -EADDRNOTAVAIL.
  virtual std::expected<Socket, int> open_stream(int family, const StreamOptions& options) = 0;

  // Each submission REQUIRES !op.in_flight and a bound op. A submission never fails and never
  // completes in line: errors arrive as completions. Accept gives one connection per completion and
  // stays armed (`more`) until cancelled or a fatal error. EMFILE, ENFILE, ENOBUFS and ENOMEM end
  // the op (more == false): the owner pauses and accepts again later. A connection that died in the
  // queue (ECONNABORTED and the network errors of accept(2)) is skipped by the ring.
  virtual void accept(AcceptOp& op, Socket listener) = 0;
  virtual void connect(ConnectOp& op, Socket socket, const SocketAddress& target) = 0;
  // Result 0 is end of stream. A receive that finds its pool empty is parked by the ring and goes
  // on when buffers come back; the owner never sees ENOBUFS.
  virtual void recv(Op& op, Socket socket, RecvMode mode) = 0;
  // Sends what the vectors hold, without SIGPIPE; may be short. 1 <= vectors.size() <= IOV_MAX. The
  // array is the owner's until completion.
  virtual void send(SendOp& op, Socket socket, std::span<iovec> vectors) = 0;
  virtual void shutdown(Op& op, Socket socket, ShutdownHow how) = 0;
  virtual void close(Op& op, Socket socket) = 0;
  virtual void write(WriteOp& op, Socket file, const void* bytes,
                     uint32_t length) = 0;  // At the file's position; may be short.

  // A socket for datagrams that is connected to `peer`: nobody else's arrive, and a refusal (ICMP)
  // ends the receive, or a send, with -ECONNREFUSED. `source`: as StreamOptions::source. Bound ones
  // come by adopt(). Error: errno.
  virtual std::expected<Socket, int> open_datagram(const SocketAddress& peer,
                                                   const SocketAddress* source) = 0;
  // Stays armed (`more`) like a multishot receive, into the bulk pool. Result 0 with `more` is an
  // empty datagram, not an end. Where the kernel has put datagrams of one sender together (UDP_GRO)
  // they come in one completion. Up to 144 bytes of a buffer are for addresses.
  virtual void recv_datagrams(DatagramOp& op, Socket socket) = 0;
  // Never waits: -EAGAIN when the socket's send buffer is full, and the datagram is lost. Several may
  // be in flight on one socket. With segment_bytes the kernel may refuse what it would send one by
  // one (-EINVAL, -EMSGSIZE, -EIO: udp(7), UDP_SEGMENT); at most kSegmentsMax at once.
  static constexpr uint32_t kSegmentsMax = 64;
  virtual void send_datagram(DatagramSendOp& op, Socket socket, std::span<iovec> vectors) = 0;

  // Asks for the end of an op in flight; it completes once more (more == false) with -ECANCELED, or
  // with what overtook the request. Idempotent.
  virtual void cancel(Op& op) = 0;

  // Ends the current or next wait of turn(). Any thread; async-signal-safe; coalesces.
  virtual void wake() = 0;

  // One loop turn: submits, waits for a completion, a wake or `deadline_ns` (CLOCK_MONOTONIC;
  // kNever waits for ever; a past deadline polls), then runs the completions that are there.
  // Returns how many ran.
  virtual uint32_t turn(uint64_t deadline_ns) = 0;

  uint64_t now_ns() const { return now_ns_; }  // Read once per turn, after the wait.
  uint32_t in_flight() const { return in_flight_; }
  // How many accepted sockets may be open at once. An accept beyond it loses its connection, so whoever accepts stays below by what may be under
  // way (kAcceptsUnderWay per listener).
  uint32_t accepted_max() const { return accepted_max_; }
  static constexpr uint32_t kAcceptsUnderWay = 16;
  const RingStats& stats() const { return stats_; }
  BufferPool& small_pool() { return *small_; }
  BufferPool& bulk_pool() { return *bulk_; }
  BufferPool& output_pool() { return *output_; }

 protected:
  Ring() = default;
  std::unique_ptr<BufferPool> small_, bulk_, output_;
  uint64_t now_ns_ = 0;
  uint32_t in_flight_ = 0;
  uint32_t accepted_max_ = UINT32_MAX;
  RingStats stats_;
};

enum class BackendChoice : uint8_t { kAuto, kUring, kEpoll };

struct RingChoice {
  Backend backend;
  std::string reason;  // Why not io_uring, e.g. "io_uring_setup: Operation not permitted"; empty
                       // when it was had or not wanted.
};

// Probes io_uring once (setup with the flags in use, a NOP, the opcodes needed, a provided-buffer
// ring). EPERM, ENOSYS, EACCES, ENOMEM and EINVAL mean "absent" under kAuto; under kUring any
// failure is an error with one line of text that says what was missing.
std::expected<RingChoice, std::string> choose_backend(BackendChoice choice);
// Creates the ring on the calling thread. REQUIRES: a backend that choose_backend() gave.
std::unique_ptr<Ring> make_ring(Backend backend, const RingOptions& options);

}  // namespace ringway::io
