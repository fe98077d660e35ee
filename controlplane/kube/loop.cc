#include "controlplane/kube/loop.h"

#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

#include "base/check.h"
#include "base/clock.h"

namespace ringway::kube {
namespace {

int descriptor(int fd, const char* what) {
  if (fd < 0) throw std::system_error(errno, std::generic_category(), what);
  return fd;
}

}  // namespace

Loop::Loop()
    : epoll_fd_(descriptor(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1")),
      wake_fd_(descriptor(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")) {
  epoll_event event{.events = EPOLLIN, .data = {.fd = wake_fd_}};
  CHECK(::epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, wake_fd_, &event) == 0);
  thread_ = std::thread([this] {
    ::pthread_setname_np(::pthread_self(), "kube");
    // Writing to a connection that the peer closed is an error code, not the end of the process.
    sigset_t pipe;
    ::sigemptyset(&pipe);
    ::sigaddset(&pipe, SIGPIPE);
    ::pthread_sigmask(SIG_BLOCK, &pipe, nullptr);
    run();
  });
}

Loop::~Loop() {
  stop();
  ::close(wake_fd_);
  ::close(epoll_fd_);
}

bool Loop::post(Task task) {
  {
    const std::lock_guard lock(mutex_);
    if (stopped_) return false;
    posted_.push_back(std::move(task));
    if (posted_.size() > 1) return true;  // Whoever posted the first one woke it.
  }
  const uint64_t one = 1;
  (void)!::write(wake_fd_, &one, sizeof one);  // EAGAIN: it is awake for certain.
  return true;
}

void Loop::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  const uint64_t one = 1;
  (void)!::write(wake_fd_, &one, sizeof one);
  if (thread_.joinable()) {
    CHECK(!on_thread());
    thread_.join();
  }
}

Loop::TimerId Loop::after(std::chrono::milliseconds delay, Task task) {
  const uint64_t wait_ns = static_cast<uint64_t>(std::max<int64_t>(delay.count(), 0)) * kNsPerMs;
  const uint64_t deadline = monotonic_ns() + wait_ns;
  const TimerId id = ++last_timer_;
  timers_.emplace(deadline, Timer{id, std::move(task)});
  deadlines_.emplace(id, deadline);
  return id;
}

void Loop::cancel(TimerId& timer) {
  const TimerId id = std::exchange(timer, 0);
  const auto known = deadlines_.find(id);
  if (known == deadlines_.end()) return;
  const auto [begin, end] = timers_.equal_range(known->second);
  const auto at =
      std::find_if(begin, end, [&](const auto& entry) { return entry.second.id == id; });
  CHECK(at != end);
  timers_.erase(at);
  deadlines_.erase(known);
}

void Loop::watch(int fd, uint32_t epoll_events, Ready ready) {
  epoll_event event{.events = epoll_events, .data = {.fd = fd}};
  const bool known = descriptors_.contains(fd);
  descriptors_[fd] = std::move(ready);
  if (known && ::epoll_ctl(epoll_fd_, EPOLL_CTL_MOD, fd, &event) == 0) return;
  // A descriptor that was closed left the epoll set by itself; its number may be in use again.
  const int added = ::epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, fd, &event);
  CHECK(added == 0 || errno == EEXIST);
}

void Loop::unwatch(int fd) {
  descriptors_.erase(fd);
  ::epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, fd, nullptr);
}

int Loop::wait_ms() const {
  if (timers_.empty()) return -1;
  const uint64_t now = monotonic_ns();
  const uint64_t deadline = timers_.begin()->first;
  if (deadline <= now) return 0;
  return static_cast<int>(std::min<uint64_t>((deadline - now + kNsPerMs - 1) / kNsPerMs, 60'000));
}

void Loop::run_posted() {
  std::vector<Task> tasks;
  {
    const std::lock_guard lock(mutex_);
    tasks.swap(posted_);
  }
  for (Task& task : tasks) {
    task();
    task = nullptr;
  }
}

void Loop::run_timers() {
  const uint64_t now = monotonic_ns();
  // Those that a timer sets wait for the next turn, so that none can starve the descriptors.
  const TimerId newest = last_timer_;
  for (auto at = timers_.begin(); at != timers_.end() && at->first <= now; at = timers_.begin()) {
    if (at->second.id > newest) break;
    Task task = std::move(at->second.task);
    deadlines_.erase(at->second.id);
    timers_.erase(at);
    task();
  }
}

void Loop::run() {
  std::array<epoll_event, 64> events;
  while (true) {
    const int count =
        ::epoll_wait(epoll_fd_, events.data(), static_cast<int>(events.size()), wait_ms());
    CHECK(count >= 0 || errno == EINTR);
    for (int i = 0; i < count; ++i) {
      const int fd = events[static_cast<size_t>(i)].data.fd;
      if (fd == wake_fd_) {
        uint64_t value = 0;
        (void)!::read(wake_fd_, &value, sizeof value);
        continue;
      }
      const auto at = descriptors_.find(fd);
      if (at == descriptors_.end()) continue;  // Given up by an event before it.
      const Ready ready = at->second;          // It may unwatch itself.
      ready(events[static_cast<size_t>(i)].events);
    }
    run_posted();
    run_timers();
    const std::lock_guard lock(mutex_);
    if (stopped_ && posted_.empty()) return;
  }
}

}  // namespace ringway::kube
