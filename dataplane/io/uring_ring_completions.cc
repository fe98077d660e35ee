// What UringRing makes of the kernel's completions.
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "dataplane/io/accept_errors.h"
#include "dataplane/io/uring_ring.h"

namespace ringway::io {

void UringRing::run(const Ready& ready) {
  switch (ready.user_data & kTagMask) {
    case kTagIgnored:
      return;
    case kTagWake:
      return on_wake(ready.flags);
    case kTagAccept:
      return on_accept(*reinterpret_cast<AcceptLane*>(ready.user_data & ~kTagMask), ready.result);
    case kTagOp:
      break;
    default:
      check_failed(__FILE__, __LINE__, "a known tag");
  }
  Op& op = *reinterpret_cast<Op*>(ready.user_data);
  CHECK(op.in_flight);
  if (op.kind == OpKind::kRecv) return on_recv(op, ready.result, ready.flags);
  if (op.kind == OpKind::kDatagrams)
    return on_datagram(static_cast<DatagramOp&>(op), ready.result, ready.flags);
  if (op.kind == OpKind::kClose && uint32_t(op.socket.index) >= queue_.accept_slots()) {
    free_slots_.push_back(static_cast<uint32_t>(op.socket.index));
  }
  finish(op, {.result = ready.result});
}

// What a receive's completion means (the buffer, if any, is taken in every case):
//   F_MORE                            in the kernel still: hand on
//   ENOBUFS, not cancelled            park
//   ECANCELED, by recall()            arm again, for one buffer
//   bytes of a multishot, no F_MORE   the kernel ended it (its queue was full), or it was for one
//                                     buffer: hand on, arm again unless cancelled before or
//                                     meanwhile
//   the same, cancelled               hand on, then end with ECANCELED
//   anything else                     the end
void UringRing::on_recv(Op& op, int32_t result, uint32_t flags) {
  Slice slice;
  if (flags & IORING_CQE_F_BUFFER) {
    slice = lent_of(op).pool->lend(flags >> IORING_CQE_BUFFER_SHIFT,
                                   static_cast<uint32_t>(std::max(result, 0)));
    if (result <= 0) slice.reset();
  }
  if (flags & IORING_CQE_F_MORE) {
    if (result > 0) progress(op, {.result = result, .data = std::move(slice)});
    return;
  }
  const bool recalled = op.mode & kRecalled;
  if (op.mode & kArmed) lent_[0].armed.remove(op);
  op.mode &= kModeMask;
  if (result == -ENOBUFS || result == -EAGAIN || result == -EINTR) {
    if (op.cancelling) return finish(op, {.result = -ECANCELED});
    return result == -ENOBUFS ? park(op) : submit_recv(op);
  }
  if (result == -ECANCELED && recalled && !op.cancelling) return submit_recv(op);
  if (result <= 0 || recv_mode_of(op) != RecvMode::kMultishot) {
    return finish(op, {.result = result, .data = std::move(slice)});
  }
  // Its owner first: who has enough cancels it, before there is another buffer of it.
  progress(op, {.result = result, .data = std::move(slice)});
  if (op.cancelling) return finish(op, {.result = -ECANCELED});
  submit_recv(op);
}

void UringRing::on_accept(AcceptLane& lane, int32_t result) {
  AcceptSet& set = *lane.set;
  AcceptOp& op = *set.op;
  lane.live = false;
  --set.live;
  const bool failed = result < 0 && !accept_goes_on(-result);
  if (failed && !op.cancelling && set.ending == 0) {
    set.ending = result;
    for (AcceptLane& other : set.lanes) {
      if (other.live) submit_cancel(reinterpret_cast<uint64_t>(&other) | kTagAccept);
    }
  }
  if (!failed && !op.cancelling && set.ending == 0) {
    op.peer = lane.peer;
    submit_accept(lane);
  } else if (result >= 0) {
    op.peer = lane.peer;  // Overtook the end.
  }
  if (result >= 0) {
    ops_[result] = 0;
    progress(op, {.result = result});
  }
  if (set.live > 0 || (!op.cancelling && set.ending == 0)) return;
  const int32_t ending = set.ending != 0 ? set.ending : -ECANCELED;
  std::erase_if(accepts_, [&](const auto& other) { return other.get() == &set; });
  finish(op, {.result = ending});
}

void UringRing::on_wake(uint32_t flags) {
  uint64_t value;
  const ssize_t ignored = ::read(event_, &value, sizeof value);
  static_cast<void>(ignored);
  if ((flags & IORING_CQE_F_MORE) == 0) arm_wake();
}

void UringRing::finish(Op& op, Completion&& completion) {
  CHECK(op.in_flight && ops_[op.socket.index] > 0);
  --ops_[op.socket.index];
  --in_flight_;
  ++ran_;
  ++stats_.completions;
  op.in_flight = false;
  op.complete(op, std::move(completion));
}

void UringRing::progress(Op& op, Completion&& completion) {
  ++ran_;
  ++stats_.completions;
  completion.more = true;
  op.complete(op, std::move(completion));
  CHECK(op.in_flight);
}

}  // namespace ringway::io
