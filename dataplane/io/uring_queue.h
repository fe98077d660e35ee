// One io_uring with exactly what the data plane uses switched on and everything else forbidden:
// set-up, submission and waiting. What the entries mean is UringRing's business.
//
// Thread rule: one thread creates, drives and destroys it (IORING_SETUP_SINGLE_ISSUER).
// Needs Linux 6.1 (DEFER_TASKRUN); only flags that liburing 2.3 knows are ever set.
#pragma once

#include <liburing.h>
#include <sys/socket.h>

#include <cstdint>
#include <expected>
#include <string>
#include <vector>

#include "base/check.h"

namespace ringway::io {

// Why io_uring cannot be had: the step that failed and its errno.
struct UringFault {
  std::string step;
  int error = 0;
  std::string text() const;  // "io_uring_setup: Operation not permitted"
};

class UringQueue {
 public:
  struct Options {
    uint32_t entries = 1024;
    uint32_t completion_entries = 8192;
    uint32_t accept_slots =
        1024;  // Registered-file slots the kernel gives to accepted connections: [0, accept_slots).
    uint32_t own_slots = 1024;  // Slots given by us: [accept_slots, accept_slots + own_slots).
  };

  UringQueue() = default;
  ~UringQueue();
  UringQueue(const UringQueue&) = delete;
  UringQueue& operator=(const UringQueue&) = delete;

  // Sets the ring up, disabled. Slots are cut down to what RLIMIT_NOFILE admits: see accept_slots()
  // and own_slots().
  std::expected<void, UringFault> create(const Options& options);
  // Registers a provided-buffer ring. REQUIRES: create() and not yet enable(); entries a power of
  // two <= 32768.
  std::expected<io_uring_buf_ring*, UringFault> add_buffer_ring(uint16_t group, uint32_t entries);
  // Forbids every opcode and registration that is not in use (IORING_REGISTER_RESTRICTIONS) and
  // starts the ring.
  std::expected<void, UringFault> enable();

  // Never null: a full submission queue is submitted first.
  io_uring_sqe& next_sqe();
  // Room for the message header that the entry points to. The kernel has its own copy once the
  // entry is submitted (IORING_FEAT_SUBMIT_STABLE, Linux 5.5), so it may be written again as soon
  // as the entry may.
  msghdr& header_of(const io_uring_sqe& sqe) {
    const auto index = static_cast<size_t>(&sqe - ring_.sq.sqes);
    CHECK(index < headers_.size());
    return headers_[index];
  }
  // Submits, and waits for one completion until the deadline (CLOCK_MONOTONIC; kNever, or a past
  // one to poll).
  void submit_and_wait(uint64_t deadline_ns);
  // Calls f(const io_uring_cqe&) for each completion that is there and gives their places back to
  // the kernel.
  template <typename F>
  void take_completions(F&& f) {
    unsigned head;
    unsigned count = 0;
    io_uring_cqe* cqe;
    io_uring_for_each_cqe(&ring_, head, cqe) {
      f(static_cast<const io_uring_cqe&>(*cqe));
      ++count;
    }
    io_uring_cq_advance(&ring_, count);
  }
  bool overflowed() const { return io_uring_cq_has_overflow(&ring_); }

  // Puts an open file into a registered slot; -1 empties it. Error: errno.
  std::expected<void, int> set_slot(uint32_t slot, int fd);
  uint32_t accept_slots() const { return accept_slots_; }
  uint32_t own_slots() const { return own_slots_; }

 private:
  std::expected<void, UringFault> check_opcodes();
  std::expected<void, UringFault> create_slots(uint32_t accept_slots, uint32_t own_slots);

  struct BufferRing {
    void* memory = nullptr;
    size_t bytes = 0;
  };
  io_uring ring_{};
  std::vector<msghdr> headers_;  // One for each place of the submission queue.
  bool created_ = false;
  uint32_t accept_slots_ = 0;
  uint32_t own_slots_ = 0;
  BufferRing buffer_rings_[2];
  int buffer_ring_count_ = 0;
};

// Tries on a small ring all that UringRing needs: the set-up, every opcode, a NOP, a
// provided-buffer ring.
std::expected<void, UringFault> probe_uring();
// True when the error of a probe means that this machine or container has no io_uring for us.
bool uring_is_absent(int error);

}  // namespace ringway::io
