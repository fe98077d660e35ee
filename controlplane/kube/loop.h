// The thread on which this room runs: functions that other threads post, timers, and descriptors by
// epoll. Nothing that runs on it blocks.
//
// Thread rule: post(), stop() and on_thread() from any thread; the rest on the loop's own.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <vector>

namespace ringway::kube {

class Loop {
 public:
  using Task = std::function<void()>;
  using Ready = std::function<void(uint32_t epoll_events)>;
  using TimerId = uint64_t;  // Never 0, which stands for "none".

  Loop();  // Starts the thread. Throws std::system_error when descriptors run out.
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // false: the loop was stopped; the task will not run.
  bool post(Task task);
  // Runs what was posted before, then ends the thread. Timers that are not due are dropped.
  // REQUIRES: not on the loop's thread.
  void stop();
  bool on_thread() const { return std::this_thread::get_id() == thread_.get_id(); }

  // One shot. Order of equal deadlines is that of the calls.
  TimerId after(std::chrono::milliseconds delay, Task task);
  void cancel(TimerId& timer);  // Sets it to 0. 0 and those that ran are no error.

  // Calls `ready` while `fd` is (level triggered); replaces what was watched of this fd.
  void watch(int fd, uint32_t epoll_events, Ready ready);
  void unwatch(int fd);

 private:
  struct Timer {
    TimerId id;
    Task task;
  };
  void run();
  void run_posted();
  void run_timers();
  int wait_ms() const;

  const int epoll_fd_;
  const int wake_fd_;
  std::mutex mutex_;
  std::vector<Task> posted_;  // Guarded by mutex_.
  bool stopped_ = false;      // Guarded by mutex_.

  std::multimap<uint64_t, Timer> timers_;  // By deadline, CLOCK_MONOTONIC ns.
  std::unordered_map<TimerId, uint64_t> deadlines_;
  TimerId last_timer_ = 0;
  std::unordered_map<int, Ready> descriptors_;
  std::thread thread_;  // Last: it uses all of the above.
};

}  // namespace ringway::kube
