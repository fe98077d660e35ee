#include "dataplane/control/worker_threads.h"

#include "dataplane/observe/metrics.h"
#include "dataplane/process/crash.h"
#include "dataplane/process/limits.h"

namespace ringway::control {

WorkerThreads::WorkerThreads(WorkerThreadsOptions options, Post post)
    : options_(std::move(options)), post_(std::move(post)) {
  CHECK(options_.workers > 0);
}

WorkerThreads::~WorkerThreads() {
  CHECK(finished());
  for (const auto& thread : threads_) CHECK(!thread->thread.joinable());
}

void WorkerThreads::start() {
  CHECK(threads_.empty());
  running_.store(options_.workers, std::memory_order_release);
  for (uint32_t i = 0; i < options_.workers; ++i) threads_.push_back(std::make_unique<Thread>());
  for (uint32_t i = 0; i < options_.workers; ++i) threads_[i]->thread = std::thread([this, i] { run(i); });
  for (uint32_t seen = 0; seen < options_.workers;) {
    started_.wait(seen, std::memory_order_acquire);
    seen = started_.load(std::memory_order_acquire);
  }
}

void WorkerThreads::run(uint32_t index) {
  process::install_crash_stack();
  if (options_.pin) {
    const std::vector<uint32_t> cpus = process::allowed_cpus();
    if (!cpus.empty()) process::pin_to_cpu(cpus[index % cpus.size()]);
  }
  const std::unique_ptr<io::Ring> ring = io::make_ring(options_.backend, options_.ring);
  worker::WorkerOptions options;
  options.index = index;
  options.workers = options_.workers;
  options.seed = options_.seed + index * 0x9E3779B97F4A7C15u;
  options.access_log = options_.access_log;
  options.grpc_methods_max = options_.grpc_methods_max;
  options.connections_max = options_.connections_max;
  // A snapshot is freed by the control thread: 10,000 routes take milliseconds that no request should wait for.
  options.retire = [this](std::shared_ptr<const config::Snapshot> snapshot) {
    post_([snapshot = std::move(snapshot)] {});
  };
  worker::Worker worker(*ring, std::move(options));
  threads_[index]->worker = &worker;
  started_.fetch_add(1, std::memory_order_release);
  started_.notify_all();
  while (!worker.finished()) worker.turn();
  running_.fetch_sub(1, std::memory_order_release);
  post_([] {});   // Wakes the control thread, which waits for the last of us.
  may_end_.wait(false, std::memory_order_acquire);
}

void WorkerThreads::publish(std::shared_ptr<const config::Snapshot> snapshot,
                            std::vector<std::vector<worker::ListenerSocket>> sockets) {
  CHECK(sockets.size() == threads_.size());
  for (size_t i = 0; i < threads_.size(); ++i) threads_[i]->worker->publish(snapshot, std::move(sockets[i]));
}

void WorkerThreads::drain(uint64_t stop_accepting_ns, uint64_t deadline_ns) {
  for (const auto& thread : threads_) thread->worker->drain(stop_accepting_ns, deadline_ns);
}

void WorkerThreads::sum_stats(std::function<void(observe::WorkerStats)> done) {
  struct Sum {
    observe::WorkerStats stats;
    uint32_t missing;
    std::function<void(observe::WorkerStats)> done;
  };
  auto sum = std::make_shared<Sum>(Sum{{}, count(), std::move(done)});
  for (const auto& thread : threads_) {
    thread->worker->copy_stats([this, sum](observe::WorkerStats copy) {
      post_([sum, copy = std::move(copy)] {
        observe::add_stats(sum->stats, copy);
        if (--sum->missing == 0) sum->done(std::move(sum->stats));
      });
    });
  }
}

std::vector<observe::AccessLog*> WorkerThreads::access_logs() {
  std::vector<observe::AccessLog*> logs;
  for (const auto& thread : threads_) logs.push_back(&thread->worker->access_log());
  return logs;
}

void WorkerThreads::join() {
  CHECK(finished());
  may_end_.store(true, std::memory_order_release);
  may_end_.notify_all();
  for (const auto& thread : threads_) thread->thread.join();
}

}  // namespace ringway::control
