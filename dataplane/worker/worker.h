// One worker: one ring, one snapshot pointer, one stats block, no locks on the request path.
//
// Thread rule: everything runs on the worker's thread, except the functions under "any thread", which put a command in the inbox and wake
// the ring. Commands run between loop turns. End: drain() → finished() → destroy on the same thread.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "dataplane/proxy/context.h"
#include "dataplane/proxy/udp_relay.h"
#include "dataplane/proxy/upstream_pool.h"
#include "dataplane/worker/acceptor.h"

namespace ringway::worker {

struct WorkerOptions {
  uint32_t index = 0;
  uint32_t workers = 1;                              // In the process: limits are shared out.
  uint64_t seed = 1;
  uint32_t connections_max = 50'000;                 // Of this worker, over all listeners.
  observe::AccessLogFormat access_log = observe::AccessLogFormat::kOff;
  uint32_t access_log_bytes_max = 1 << 20;
  uint32_t grpc_methods_max = 0;                     // GrpcMethodStats::set_limit()
  int64_t (*wall_clock)() = nullptr;                 // nullptr: base/clock.h
  proxy::SnapshotPins::Retire retire;                // Called on the worker; hands the snapshot to the control thread.
};

// A listening descriptor for one address of one listener; the worker owns it.
struct ListenerSocket {
  std::string listener;
  std::string address;
  int fd;
};

class Worker {
 public:
  Worker(io::Ring& ring, WorkerOptions options);
  ~Worker();   // CHECKs finished().

  // ---- any thread ----
  // Serves `snapshot` from the next turn on, with these sockets in addition to those it has. Acceptors whose listener or address is gone stop.
  void publish(std::shared_ptr<const config::Snapshot> snapshot, std::vector<ListenerSocket> sockets);
  // Answers say Connection: close, idle connections end; at `stop_accepting_ns` the listening sockets close; at `deadline_ns` what is left is cut.
  // Some seconds before it WebSockets are sent a Close frame (1001).
  void drain(uint64_t stop_accepting_ns, uint64_t deadline_ns);
  // Calls `done` on the worker's thread with a copy of its counters.
  void copy_stats(std::function<void(observe::WorkerStats)> done);

  // ---- the worker's thread ----
  void turn();                                       // One loop turn: wait, completions, timers, commands, flush.
  bool finished() const { return finished_; }
  observe::AccessLog& access_log() { return access_log_; }   // take() is for the control thread.
  const observe::WorkerStats& stats() const { return stats_; }
  proxy::Context& context() { return context_; }
  uint32_t connections() const;

 private:
  using Command = std::function<void()>;
  void send(Command command);
  void run_inbox();
  void apply(std::shared_ptr<const config::Snapshot> snapshot, const std::vector<ListenerSocket>& sockets);
  void begin_drain(uint64_t stop_accepting_ns, uint64_t deadline_ns);
  void continue_drain();
  void sweep();
  void fill_ring_stats(observe::WorkerStats& stats) const;

  io::Ring& ring_;
  WorkerOptions options_;
  io::TimerWheel timers_;
  observe::WorkerStats stats_;
  observe::AccessLog access_log_;
  upstream::WorkerLoad load_;
  Random random_;
  proxy::SnapshotPins snapshots_;
  proxy::Context context_;
  proxy::UpstreamPool pool_;
  std::vector<std::unique_ptr<Acceptor>> acceptors_;
  std::vector<std::unique_ptr<proxy::UdpRelay>> datagrams_;
  uint64_t next_sweep_ns_ = 0;
  bool draining_ = false;
  bool accepting_stopped_ = false;
  bool finished_ = false;
  uint64_t stop_accepting_ns_ = 0;
  uint64_t drain_deadline_ns_ = 0;
  uint64_t tunnels_close_ns_ = 0;
  bool tunnels_closing_ = false;

  std::mutex inbox_mutex_;
  std::vector<Command> inbox_;
  std::atomic<bool> inbox_filled_{false};
};

}  // namespace ringway::worker
