#include "dataplane/io/uring_queue.h"

#include <sched.h>
#include <sys/resource.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "base/check.h"
#include "base/clock.h"

namespace ringway::io {
namespace {

// The opcodes in use; all others are refused by the kernel once the ring is enabled.
constexpr auto kOpcodes = std::to_array<uint8_t>(
    {IORING_OP_NOP, IORING_OP_ACCEPT, IORING_OP_CONNECT, IORING_OP_RECV, IORING_OP_SEND,
     IORING_OP_SENDMSG, IORING_OP_RECVMSG, IORING_OP_SHUTDOWN, IORING_OP_CLOSE, IORING_OP_WRITE,
     IORING_OP_POLL_ADD, IORING_OP_ASYNC_CANCEL});
// Registrations after the start: opened sockets get slots, and the ring's own descriptor is
// released at the end.
constexpr uint8_t kUnregisterRingFds = 21;  // IORING_UNREGISTER_RING_FDS
constexpr auto kRegistrations =
    std::to_array<uint8_t>({IORING_REGISTER_FILES_UPDATE, kUnregisterRingFds});
constexpr uint8_t kSqeFlags = IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT;

std::unexpected<UringFault> fault(const char* step, int result) {
  return std::unexpected(UringFault{step, -result});
}

}  // namespace

std::string UringFault::text() const { return step + ": " + std::strerror(error); }

UringQueue::~UringQueue() {
  if (created_) io_uring_queue_exit(&ring_);
  for (int i = 0; i < buffer_ring_count_; ++i)
    munmap(buffer_rings_[i].memory, buffer_rings_[i].bytes);
}

std::expected<void, UringFault> UringQueue::create(const Options& options) {
  io_uring_params params{};
  params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE |
                 IORING_SETUP_SUBMIT_ALL | IORING_SETUP_R_DISABLED;
  params.cq_entries = options.completion_entries;
  if (int result = io_uring_queue_init_params(options.entries, &ring_, &params); result < 0) {
    return fault("io_uring_setup", result);
  }
  created_ = true;
  headers_.resize(params.sq_entries);
  // EXT_ARG: a deadline in the wait itself. NODROP: an overflowing completion queue loses nothing.
  for (uint32_t feature : {IORING_FEAT_EXT_ARG, IORING_FEAT_NODROP, IORING_FEAT_SUBMIT_STABLE}) {
    if ((ring_.features & feature) == 0) return fault("io_uring_setup (features)", -EINVAL);
  }
  if (auto checked = check_opcodes(); !checked) return checked;
  return create_slots(options.accept_slots, options.own_slots);
}

std::expected<void, UringFault> UringQueue::check_opcodes() {
  io_uring_probe* probe = io_uring_get_probe_ring(&ring_);
  if (probe == nullptr) return fault("io_uring_register (probe)", -EINVAL);
  const bool complete = std::ranges::all_of(
      kOpcodes, [&](int opcode) { return io_uring_opcode_supported(probe, opcode) != 0; });
  io_uring_free_probe(probe);
  if (!complete) return fault("io_uring opcodes", -EINVAL);
  return {};
}

std::expected<void, UringFault> UringQueue::create_slots(uint32_t accept_slots,
                                                         uint32_t own_slots) {
  // A table larger than RLIMIT_NOFILE is refused with EMFILE (io_uring_register(2)): both parts shrink alike.
  rlimit limit{};
  const uint64_t wanted = uint64_t{accept_slots} + own_slots;
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && wanted > limit.rlim_cur) {
    accept_slots = std::max<uint32_t>(static_cast<uint32_t>(accept_slots * limit.rlim_cur / wanted), 1);
    own_slots = std::max<uint32_t>(static_cast<uint32_t>(limit.rlim_cur) - accept_slots, 1);
  }
  const int result = io_uring_register_files_sparse(&ring_, accept_slots + own_slots);
  if (result < 0) return fault("io_uring_register (files)", result);
  if (const int ranged = io_uring_register_file_alloc_range(&ring_, 0, accept_slots); ranged < 0) {
    return fault("io_uring_register (file range)", ranged);
  }
  accept_slots_ = accept_slots;
  own_slots_ = own_slots;
  return {};
}

std::expected<io_uring_buf_ring*, UringFault> UringQueue::add_buffer_ring(uint16_t group,
                                                                          uint32_t entries) {
  CHECK(entries > 0 && (entries & (entries - 1)) == 0 && entries <= 32768);
  CHECK(buffer_ring_count_ < 2);
  BufferRing& ring = buffer_rings_[buffer_ring_count_];
  ring.bytes = entries * sizeof(io_uring_buf);
  ring.memory =
      mmap(nullptr, ring.bytes, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);
  if (ring.memory == MAP_FAILED) return fault("mmap (buffer ring)", -errno);
  ++buffer_ring_count_;
  io_uring_buf_reg registration{};
  registration.ring_addr = reinterpret_cast<uint64_t>(ring.memory);
  registration.ring_entries = entries;
  registration.bgid = group;
  if (int result = io_uring_register_buf_ring(&ring_, &registration, 0); result < 0) {
    return fault("io_uring_register (buffer ring)", result);
  }
  auto* head = static_cast<io_uring_buf_ring*>(ring.memory);
  io_uring_buf_ring_init(head);
  return head;
}

std::expected<void, UringFault> UringQueue::enable() {
  std::array<io_uring_restriction, kOpcodes.size() + kRegistrations.size() + 1> restrictions{};
  size_t count = 0;
  for (uint8_t opcode : kOpcodes) {
    restrictions[count].opcode = IORING_RESTRICTION_SQE_OP;
    restrictions[count++].sqe_op = opcode;
  }
  for (uint8_t registration : kRegistrations) {
    restrictions[count].opcode = IORING_RESTRICTION_REGISTER_OP;
    restrictions[count++].register_op = registration;
  }
  restrictions[count].opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED;
  restrictions[count++].sqe_flags = kSqeFlags;
  // The plain call: Debian's liburing 2.3 does not export its functions for these two.
  if (int result = io_uring_register(ring_.ring_fd, IORING_REGISTER_RESTRICTIONS,
                                     restrictions.data(), count);
      result < 0) {
    return fault("io_uring_register (restrictions)", result);
  }
  // Saves a table look-up per enter; a thread has room for 16 of them, so a failure is nothing to
  // speak of.
  static_cast<void>(io_uring_register_ring_fd(&ring_));
  if (int result = io_uring_register(ring_.ring_fd, IORING_REGISTER_ENABLE_RINGS, nullptr, 0);
      result < 0)
    return fault("io_uring_register (enable)", result);
  return {};
}

io_uring_sqe& UringQueue::next_sqe() {
  io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
  while (sqe == nullptr) {
    const int result = io_uring_submit(&ring_);
    if (result == -EAGAIN || result == -EBUSY)
      sched_yield();  // The kernel is short of memory for requests.
    CHECK(result >= 0 || result == -EAGAIN || result == -EBUSY || result == -EINTR);
    sqe = io_uring_get_sqe(&ring_);
  }
  return *sqe;
}

void UringQueue::submit_and_wait(uint64_t deadline_ns) {
  __kernel_timespec wait{};
  __kernel_timespec* wait_or_null = &wait;
  if (deadline_ns == kNever) {
    wait_or_null = nullptr;
  } else if (deadline_ns != 0) {
    const uint64_t now = monotonic_ns();
    const uint64_t rest = deadline_ns > now ? deadline_ns - now : 0;
    wait.tv_sec = static_cast<int64_t>(rest / kNsPerSecond);
    wait.tv_nsec = static_cast<long long>(rest % kNsPerSecond);
  }
  io_uring_cqe* cqe = nullptr;
  // Asking for one completion even to poll: only a call that waits runs the deferred work of the
  // kernel.
  const int result = io_uring_submit_and_wait_timeout(&ring_, &cqe, 1, wait_or_null, nullptr);
  CHECK(result >= 0 || result == -ETIME || result == -EINTR || result == -EAGAIN ||
        result == -EBUSY);
}

std::expected<void, int> UringQueue::set_slot(uint32_t slot, int fd) {
  const int result = io_uring_register_files_update(&ring_, slot, &fd, 1);
  if (result < 0) return std::unexpected(-result);
  return {};
}

std::expected<void, UringFault> probe_uring() {
  UringQueue queue;
  auto done =
      queue.create({.entries = 4, .completion_entries = 8, .accept_slots = 4, .own_slots = 4});
  if (!done) return done;
  if (auto ring = queue.add_buffer_ring(0, 4); !ring) return std::unexpected(ring.error());
  if (done = queue.enable(); !done) return done;
  io_uring_sqe& sqe = queue.next_sqe();
  io_uring_prep_nop(&sqe);
  sqe.user_data = 0;
  queue.submit_and_wait(monotonic_ns() + kNsPerSecond);
  int result = -ETIME;
  queue.take_completions([&](const io_uring_cqe& cqe) { result = cqe.res; });
  if (result < 0) return fault("io_uring_enter", result);
  return {};
}

bool uring_is_absent(int error) {
  return error == EPERM || error == ENOSYS || error == EACCES || error == ENOMEM || error == EINVAL;
}

}  // namespace ringway::io
