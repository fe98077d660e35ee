// Carries what the workers' access logs hold to stdout or a file, by the control thread's ring.
//
// Thread rule: the control thread's.
// Invariants: (1) at most one write is in flight; while it is, nothing is taken from the workers,
// so that a sink which does not keep up fills the workers' bounded buffers and they drop lines
// (WorkerStats::access_log_dropped): a blocked pipe holds up nothing else; (2) lines leave whole
// and in order of each worker.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <vector>

#include "dataplane/io/ring.h"
#include "dataplane/io/timer_wheel.h"
#include "dataplane/observe/access_log.h"

namespace ringway::observe {

struct AccessLogWriterOptions {
  std::string path = "stdout";         // Or a file, made with mode 0640 and appended to.
  uint64_t interval_ns = 100'000'000;  // How often the workers' logs are looked at.
};

struct AccessLogWriterStats {
  uint64_t bytes_written = 0;
  uint64_t lines_dropped = 0;  // Taken from a worker, then lost: the sink answered with an error,
                               // or did not take them before stop()'s deadline.
  uint64_t errors = 0;         // Writes and opens that failed.
  int last_error = 0;          // errno; 0: the last write went well.
};

class AccessLogWriter {
 public:
  // `logs` outlive the writer.
  AccessLogWriter(io::Ring& ring, io::TimerWheel& wheel, std::vector<AccessLog*> logs,
                  AccessLogWriterOptions options);
  ~AccessLogWriter();  // CHECKs stopped().
  AccessLogWriter(const AccessLogWriter&) = delete;
  AccessLogWriter& operator=(const AccessLogWriter&) = delete;

  // Opens the sink. Error: one line, with the path.
  std::expected<void, std::string> start();
  // Opens the file anew under its path (log rotation, SIGUSR1); the old one goes on when that
  // fails. Nothing for stdout.
  void reopen();
  // Writes what the logs still hold, at the latest until `deadline_ns`; drive ring and wheel until
  // stopped().
  void stop(uint64_t deadline_ns);
  bool stopped() const { return state_ == State::kStopped; }
  const AccessLogWriterStats& stats() const { return stats_; }

 private:
  enum class State : uint8_t { kStopped, kRunning, kFlushing, kClosing };

  std::expected<int, std::string> open_sink() const;
  void on_timer();
  void on_stop_timer();
  void on_write(io::Completion&& completion);
  void on_close(io::Completion&& completion);
  void write_more();  // REQUIRES: nothing in flight.
  void use_reopened();
  void drop_unwritten();
  void close_sink();

  io::Ring& ring_;
  io::TimerWheel& wheel_;
  std::vector<AccessLog*> logs_;
  AccessLogWriterOptions options_;
  AccessLogWriterStats stats_;
  State state_ = State::kStopped;
  io::Socket sink_;
  int reopened_ = -1;  // Waits for the write in flight.
  std::string unwritten_;
  size_t written_ = 0;  // Of unwritten_.
  io::WriteOp write_;
  io::Op close_;
  io::Timer timer_;
  io::Timer stop_timer_;
};

}  // namespace ringway::observe
