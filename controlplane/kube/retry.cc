#include "controlplane/kube/retry.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/clock.h"

namespace ringway::kube {
namespace {

// A server that flaps wakes everybody so often at most.
constexpr uint64_t kWakeEveryNs = kNsPerSecond;
// Those that are woken come within so long, and not more than one in a millisecond: there may be
// thousands of named objects, and a server that has just come back has more to do.
constexpr uint32_t kSpreadMs = 50;

uint64_t in_ns(Retry::Wait wait) {
  return static_cast<uint64_t>(std::max<int64_t>(wait.count(), 0)) * kNsPerMs;
}

}  // namespace

Retries::~Retries() { CHECK(waiting_.empty()); }

void Retries::wake(Random& random) {
  const uint64_t now_ns = monotonic_ns();
  through_ns_ = now_ns;
  if (woken_ns_ != 0 && now_ns - woken_ns_ < kWakeEveryNs) return;
  woken_ns_ = now_ns;
  const uint32_t spread = kSpreadMs + static_cast<uint32_t>(waiting_.size());
  for (Retry* const waiting : waiting_) waiting->hurry(Retry::Wait(random.below(spread)));
}

void Retry::after_failure(Task task, Least least) {
  cancel();
  const uint64_t now_ns = monotonic_ns();
  // Somebody got through while this try was under way: it tells nothing of the server as it is now.
  if (failing_ && all_.through_ns_ > asked_ns_) backoff_.reset();
  failing_ = true;
  asked_ns_ = now_ns;
  not_before_ns_ = now_ns + in_ns(least.not_before);
  all_.waiting_.insert(this);
  arm(std::move(task), not_before_ns_ + in_ns(least.more) + in_ns(backoff_.next()));
}

void Retry::after_pause(Task task, Wait more) {
  cancel();
  arm(std::move(task), monotonic_ns() + in_ns(more) + in_ns(backoff_.next()));
}

void Retry::arm(Task task, uint64_t due_ns) {
  task_ = std::move(task);
  due_ns_ = due_ns;
  const uint64_t now_ns = monotonic_ns();
  const uint64_t wait_ns = due_ns > now_ns ? due_ns - now_ns : 0;
  timer_ = loop_.after(Wait((wait_ns + kNsPerMs - 1) / kNsPerMs), [this] {
    timer_ = 0;
    all_.waiting_.erase(this);
    const Task next = std::exchange(task_, nullptr);
    next();  // May end this object.
  });
}

void Retry::cancel() {
  loop_.cancel(timer_);
  all_.waiting_.erase(this);
  task_ = nullptr;
}

void Retry::hurry(Wait wait) {
  const uint64_t due_ns = std::max(monotonic_ns() + in_ns(wait), not_before_ns_);
  if (due_ns >= due_ns_) return;
  backoff_.reset();
  loop_.cancel(timer_);
  arm(std::exchange(task_, nullptr), due_ns);
}

void Retry::got_through() {
  if (!std::exchange(failing_, false)) return;
  all_.wake(random_);
}

}  // namespace ringway::kube
