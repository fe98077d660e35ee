#include "dataplane/io/timer_wheel.h"

#include <algorithm>
#include <bit>

namespace ringway::io {
namespace {

constexpr int kSlotBits = 8;
constexpr uint64_t kReach = uint64_t{1} << 32;  // Ticks that the levels span: 497 days.

}  // namespace

void Timer::cancel() {
  if (!armed()) return;
  TimerWheel::unlink(*this);
  --wheel_->armed_;
}

TimerWheel::TimerWheel(uint64_t now_ns) : tick_(now_ns / kTickNs) {
  for (auto& level : wheel_) {
    for (List& list : level) list.head.next_ = list.head.previous_ = &list.head;
  }
  due_.head.next_ = due_.head.previous_ = &due_.head;
}

TimerWheel::~TimerWheel() {
  CHECK(armed_ == 0);
  for (auto& level : wheel_) {
    for (List& list : level) list.head.next_ = list.head.previous_ = nullptr;
  }
  due_.head.next_ = due_.head.previous_ = nullptr;
}

void TimerWheel::unlink(Timer& timer) {
  timer.previous_->next_ = timer.next_;
  timer.next_->previous_ = timer.previous_;
  timer.next_ = timer.previous_ = nullptr;
}

void TimerWheel::link(List& list, Timer& timer) {
  timer.previous_ = list.head.previous_;
  timer.next_ = &list.head;
  list.head.previous_->next_ = &timer;
  list.head.previous_ = &timer;
}

void TimerWheel::arm(Timer& timer, uint64_t deadline_ns) {
  CHECK(timer.fire_ != nullptr);
  timer.cancel();
  timer.wheel_ = this;
  timer.deadline_tick_ = deadline_ns / kTickNs + (deadline_ns % kTickNs != 0 ? 1 : 0);
  ++armed_;
  if (timer.deadline_tick_ <= tick_) {
    link(due_, timer);
  } else {
    place(timer);
  }
}

void TimerWheel::place(Timer& timer) {
  // Beyond the reach a timer waits at its end and is placed again from there.
  const uint64_t distance = std::min(timer.deadline_tick_ - tick_, kReach - 1);
  const uint64_t tick = tick_ + distance;
  int level = 0;
  while (level + 1 < kLevels && distance >= uint64_t{1} << (kSlotBits * (level + 1))) ++level;
  const int slot = static_cast<int>((tick >> (kSlotBits * level)) & (kSlots - 1));
  link(wheel_[level][slot], timer);
  occupied_[level][slot / 64] |= uint64_t{1} << (slot % 64);
}

void TimerWheel::cascade(int level, int slot) {
  Timer& head = wheel_[level][slot].head;
  while (head.next_ != &head) {
    Timer& timer = *head.next_;
    unlink(timer);
    place(timer);
  }
}

// The timers that were in the list when it began; what the functions arm comes later.
void TimerWheel::fire(List& list) {
  Timer& head = list.head;
  if (head.next_ == &head) return;
  List batch;
  batch.head.next_ = head.next_;
  batch.head.previous_ = head.previous_;
  batch.head.next_->previous_ = batch.head.previous_->next_ = &batch.head;
  head.next_ = head.previous_ = &head;
  while (batch.head.next_ != &batch.head) {
    Timer& timer = *batch.head.next_;
    unlink(timer);
    --armed_;
    timer.fire_(timer.owner_);
  }
  batch.head.next_ = batch.head.previous_ = nullptr;
}

void TimerWheel::advance(uint64_t now_ns) {
  fire(due_);
  const uint64_t now = now_ns / kTickNs;
  while (tick_ < now) {
    const uint64_t next = next_tick();
    if (next > now) {
      tick_ = now;
      return;
    }
    tick_ = next;
    for (int level = kLevels - 1; level >= 1; --level) {
      const uint64_t unit = uint64_t{1} << (kSlotBits * level);
      if (tick_ % unit != 0) continue;
      cascade(level, static_cast<int>((tick_ / unit) & (kSlots - 1)));
    }
    fire(wheel_[0][tick_ & (kSlots - 1)]);
  }
}

uint64_t TimerWheel::next_tick() const {
  if (armed_ == 0) return kNever;
  uint64_t best = kNever;
  for (int level = 0; level < kLevels; ++level) {
    const uint64_t current = tick_ >> (kSlotBits * level);
    // Slots in the order in which they come: the one after the current one first, the current one
    // last.
    for (int distance = 1; distance <= kSlots;) {
      const int slot = static_cast<int>((current + distance) & (kSlots - 1));
      uint64_t& word = occupied_[level][slot / 64];
      const uint64_t rest = word >> (slot % 64);
      if (rest == 0) {
        distance += 64 - slot % 64;
        continue;
      }
      const int skip = std::countr_zero(rest);
      distance += skip;
      if (distance > kSlots) break;
      const List& list = wheel_[level][slot + skip];
      if (list.head.next_ != &list.head) {
        best = std::min(best, (current + distance) << (kSlotBits * level));
        break;
      }
      word &= ~(uint64_t{1} << (slot + skip) % 64);
      ++distance;
    }
  }
  return best;
}

uint64_t TimerWheel::next_deadline_ns() const {
  if (due_.head.next_ != &due_.head) return 0;
  const uint64_t tick = next_tick();
  return tick == kNever ? kNever : tick * kTickNs;
}

}  // namespace ringway::io
