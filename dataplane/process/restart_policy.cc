#include "dataplane/process/restart_policy.h"

#include <algorithm>

namespace ringway::process {

std::optional<uint32_t> RestartPolicy::on_death(uint64_t now_ms) {
  deaths_ms_.push_back(now_ms);
  while (!deaths_ms_.empty() && now_ms - deaths_ms_.front() > options_.deaths_window_ms)
    deaths_ms_.pop_front();
  if (!ever_ready_ && deaths_ms_.size() >= options_.deaths_max) return std::nullopt;
  if (deaths_ms_.size() > options_.deaths_max)
    deaths_ms_.pop_front();  // Bounded: older ones decide nothing.

  const bool quick = now_ms - started_ms_ < options_.quick_death_ms;
  quick_deaths_ = quick ? quick_deaths_ + 1 : 1;
  if (quick_deaths_ <= options_.free_restarts) return 0;
  const uint32_t doublings = std::min(quick_deaths_ - options_.free_restarts - 1, 20u);
  return static_cast<uint32_t>(
      std::min<uint64_t>(uint64_t{options_.delay_min_ms} << doublings, options_.delay_max_ms));
}

}  // namespace ringway::process
