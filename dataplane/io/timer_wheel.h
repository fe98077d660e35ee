// Timeouts of one thread: a hierarchical wheel of 10 ms ticks with intrusive entries. Arming and
// cancelling are pointer writes. A timer fires at the first advance() at or after its deadline,
// never before it, at most one tick late of that advance.
//
// Thread rule: the ring's thread. A Timer is a member of its owner; its destructor cancels it.
#pragma once

#include <array>
#include <cstdint>

#include "base/check.h"
#include "base/clock.h"

namespace ringway::io {

class TimerWheel;

class Timer {
 public:
  using Fire = void (*)(void* owner);
  Timer() = default;
  ~Timer() { cancel(); }
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  template <auto Member, typename Owner>
  void bind(Owner& owner) {
    owner_ = &owner;
    fire_ = [](void* o) { (static_cast<Owner*>(o)->*Member)(); };
  }
  bool armed() const { return previous_ != nullptr; }
  void cancel();  // Nothing when not armed.

 private:
  friend class TimerWheel;
  Timer* next_ = nullptr;
  Timer* previous_ = nullptr;
  TimerWheel* wheel_ = nullptr;
  uint64_t deadline_tick_ = 0;
  void* owner_ = nullptr;
  Fire fire_ = nullptr;
};

class TimerWheel {
 public:
  static constexpr uint64_t kTickNs = 10 * kNsPerMs;

  explicit TimerWheel(uint64_t now_ns);
  ~TimerWheel();  // CHECKs that no timer is armed.

  // Arms or re-arms. REQUIRES: a bound timer. A deadline in the past fires at the next advance().
  void arm(Timer& timer, uint64_t deadline_ns);
  // Fires what is due; a firing function may arm and cancel any timer, its own included.
  void advance(uint64_t now_ns);
  // When advance() must be called next at the latest; kNever when nothing is armed. May be early (a
  // cascade), never late.
  uint64_t next_deadline_ns() const;
  uint32_t armed() const { return armed_; }

 private:
  friend class Timer;
  static constexpr int kLevels = 4;
  static constexpr int kSlots = 256;
  struct List {
    Timer head;
  };  // A ring through `head`.

  static void unlink(Timer& timer);
  static void link(List& list, Timer& timer);
  void place(Timer& timer);  // By its deadline, seen from tick_.
  void cascade(int level, int slot);
  void fire(List& list);
  uint64_t next_tick() const;  // The next tick with work, kNever without.

  std::array<std::array<List, kSlots>, kLevels> wheel_;
  List due_;  // Armed with a deadline that had passed.
  // Slots that may hold something; a bit is cleared when its slot is found empty.
  mutable std::array<std::array<uint64_t, kSlots / 64>, kLevels> occupied_{};
  uint64_t tick_ = 0;  // Everything up to this tick has fired.
  uint32_t armed_ = 0;
};

}  // namespace ringway::io
