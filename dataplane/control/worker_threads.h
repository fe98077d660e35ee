// The workers' threads: each makes its ring and its worker, turns until drained, and ends.
//
// Thread rule: the control thread's. Callbacks of workers arrive by `post`, which must bring them to the control thread.
#pragma once

#include <atomic>
#include <expected>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "dataplane/worker/worker.h"

namespace ringway::control {

struct WorkerThreadsOptions {
  uint32_t workers = 1;
  io::Backend backend = io::Backend::kEpoll;
  io::RingOptions ring;
  bool pin = false;                                  // Worker i to the i-th allowed CPU.
  uint64_t seed = 1;
  uint32_t connections_max = 50'000;                 // Of each worker.
  observe::AccessLogFormat access_log = observe::AccessLogFormat::kOff;
  uint32_t grpc_methods_max = 0;                     // Of each worker.
};

class WorkerThreads {
 public:
  using Post = std::function<void(std::function<void()>)>;   // Any thread.

  WorkerThreads(WorkerThreadsOptions options, Post post);
  ~WorkerThreads();   // CHECKs finished().

  void start();       // Returns when every worker is there.
  // `sockets[i]`: for worker i.
  void publish(std::shared_ptr<const config::Snapshot> snapshot, std::vector<std::vector<worker::ListenerSocket>> sockets);
  void drain(uint64_t stop_accepting_ns, uint64_t deadline_ns);
  // Calls `done` on the control thread with the sum over workers. When workers have ended meanwhile, theirs are missing.
  void sum_stats(std::function<void(observe::WorkerStats)> done);
  bool finished() const { return running_.load(std::memory_order_acquire) == 0; }
  uint32_t count() const { return static_cast<uint32_t>(threads_.size()); }
  std::vector<observe::AccessLog*> access_logs();
  void join();        // REQUIRES: finished().

 private:
  struct Thread {
    std::thread thread;
    worker::Worker* worker = nullptr;                // Alive from start() to join().
  };
  void run(uint32_t index);

  WorkerThreadsOptions options_;
  Post post_;
  std::vector<std::unique_ptr<Thread>> threads_;
  std::atomic<uint32_t> started_{0};
  std::atomic<uint32_t> running_{0};
  std::atomic<bool> may_end_{false};                 // The worker objects (their logs, their inboxes) live until join().
};

}  // namespace ringway::control
