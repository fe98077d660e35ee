// The control thread of the data process: everything that is not a request. Takes configuration from the controller or from what was kept,
// compiles it, has listeners bound, publishes snapshots to the workers; checks endpoints' health, answers the admin endpoint, writes
// the access log, and leads the drain.
//
// Thread rule: made and run on one thread. request_stop() and request_reopen() may be called from signal handlers.
// Life: start() → run() until the drain is through → stopped, with an exit code.
#pragma once

#include <atomic>
#include <expected>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "base/random.h"
#include "dataplane/config/discovery/discovery_client.h"
#include "dataplane/config/discovery/state_store.h"
#include "dataplane/config/health_targets.h"
#include "dataplane/config/snapshot_builder.h"
#include "dataplane/control/inbox.h"
#include "dataplane/control/worker_threads.h"
#include "dataplane/observe/access_log_writer.h"
#include "dataplane/observe/admin_server.h"
#include "dataplane/observe/metrics.h"
#include "dataplane/process/flags.h"
#include "dataplane/process/listener_sockets.h"
#include "dataplane/upstream/health_checker.h"

namespace ringway::control {

class Control final : public config::TransactionSink {
 public:
  // `ring`: the control thread's own. `choice`: what the workers run on too.
  Control(const process::ProxyOptions& options, const io::RingChoice& choice, io::Ring& ring,
          process::ListenerSockets& sockets, uint32_t restarts);
  ~Control() override;

  // Starts workers, the kept configuration, admin endpoint and discovery. Error: one line; the process should exit.
  std::expected<void, std::string> start();
  // Turns until a requested stop is through.
  void run();
  int exit_code() const { return exit_code_; }   // After run(): 1 when the very first configuration could not be served.

  void request_stop();      // First: drain. Second: now. Async-signal-safe.
  void request_reopen();    // Access log. Async-signal-safe.

 private:
  enum class State : uint8_t { kServing, kDraining, kStopping, kStopped };

  // config::TransactionSink
  std::expected<void, config::Rejection> apply(config::Transaction&& transaction) override;
  void on_accepted(const config::ResourceSet& set) override;

  void take_kept_configuration();
  std::expected<void, config::Rejection> bind_new_addresses(const config::Transaction& transaction);
  void unbind_unused_addresses(const config::Snapshot& snapshot);
  void drop_new_sockets();
  void publish(const config::SnapshotPointer& snapshot);
  void become_ready();
  void trim_memory();
  void give_up(const std::string& reason);
  std::expected<void, std::string> start_admin();
  void retry_admin();

  void handle_signals();
  void begin_drain();
  void continue_stop();

  // control_admin.cc
  void add_handlers();
  bool ready() const;
  observe::AdminResponse readiness(bool verbose) const;
  void metrics(observe::AdminReply reply);
  observe::AdminResponse configuration() const;
  observe::AdminResponse endpoints() const;
  observe::MetricsInput metrics_input();

  const process::ProxyOptions& options_;
  io::RingChoice choice_;
  io::Ring& ring_;
  process::ListenerSockets& sockets_;
  uint32_t restarts_;
  io::TimerWheel wheel_;
  Random random_;
  Inbox inbox_;
  State state_ = State::kServing;
  uint64_t stop_deadline_ns_ = 0;
  std::atomic<uint32_t> stop_requests_{0};
  uint32_t stop_requests_seen_ = 0;
  std::atomic<bool> reopen_requested_{false};

  upstream::EndpointRegistry endpoint_registry_;
  config::MetricsSlots metrics_slots_;
  config::SnapshotBuilder builder_;
  WorkerThreads workers_;
  upstream::HealthChecker health_;
  std::unique_ptr<config::StateStore> store_;
  std::unique_ptr<config::DiscoveryClient> discovery_;
  std::unique_ptr<observe::AccessLogWriter> access_log_;
  observe::AdminServer admin_;
  observe::RequestSeries request_series_;
  observe::GrpcMethodStats grpc_methods_;       // Those that have series.
  config::ResourceSet kept_;                    // Until discovery_ has taken it.

  using ListenerAddress = std::pair<std::string, std::string>;
  std::set<ListenerAddress> bound_;
  std::map<ListenerAddress, std::vector<int>> new_sockets_;   // Bound for the transaction under way; a descriptor per worker.
  io::Timer trim_timer_;
  io::Timer admin_timer_;
  int exit_code_ = 0;
  bool told_ready_ = false;
  config::SnapshotPointer checked_;             // What the health checker knows.
  uint64_t applied_ns_ = 0;                     // Of the last snapshot; 0: none.
  uint64_t rejected_before_ = 0;                // Transactions, when the last one was accepted.
};

}  // namespace ringway::control
