// When a dead data process is followed by the next one, and when no longer. Pure: time is an
// argument. The rules: supervisor.h.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>

#include "dataplane/process/supervisor.h"

namespace ringway::process {

class RestartPolicy {
 public:
  explicit RestartPolicy(const SupervisorOptions& options) : options_(options) {}

  void on_start(uint64_t now_ms) { started_ms_ = now_ms; }
  // A process that got so far is followed at once when it dies: a delay would make one bad request
  // an outage.
  void on_ready() {
    ever_ready_ = true;
    quick_deaths_ = 0;
  }
  // How long to wait before the next start; nullopt: give up.
  std::optional<uint32_t> on_death(uint64_t now_ms);
  bool ever_ready() const { return ever_ready_; }

 private:
  const SupervisorOptions& options_;
  uint64_t started_ms_ = 0;
  bool ever_ready_ = false;
  uint32_t quick_deaths_ = 0;  // In a row.
  std::deque<uint64_t> deaths_ms_;
};

}  // namespace ringway::process
