// The controller's metrics, gathered when they are asked for. Label values are resource types,
// problem reasons and node ids of connected (authenticated) proxies: bounded by proxies_max.
#pragma once

#include <prometheus/collectable.h>

#include <atomic>
#include <cstdint>
#include <utility>
#include <vector>

#include "controlplane/serve/nginx_metrics.h"
#include "controlplane/serve/server.h"
#include "controlplane/snapshot/store.h"

namespace ringway::serve {

// Counted by the pipeline; read by scrapes.
struct PipelineStats {
  std::atomic<bool> first_batch_done = false;
  std::atomic<bool> api_silent = false;  // The API server has not answered for long.
  std::atomic<uint64_t> batches = 0;
  std::atomic<uint64_t> published = 0;  // Batches that changed the configuration.
  std::atomic<uint64_t> translate_ns_total = 0;
  std::atomic<uint64_t> translate_ns_last = 0;
  std::atomic<uint64_t> problems_errors = 0;  // As they stand.
  std::atomic<uint64_t> problems_warnings = 0;
  std::atomic<uint64_t> removals_held = 0;  // By the removal guard.
  std::atomic<int64_t> changed_at_s = 0;    // Since the epoch; 0 = never.
};

class ControllerMetrics final : public prometheus::Collectable {
 public:
  ControllerMetrics(const DiscoveryServer& server, const snapshot::Store& store,
                    const PipelineStats& stats, NginxMetricsOptions nginx)
      : server_(server), store_(store), stats_(stats), nginx_(std::move(nginx), store) {}
  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  const DiscoveryServer& server_;
  const snapshot::Store& store_;
  const PipelineStats& stats_;
  NginxMetrics nginx_;
};

}  // namespace ringway::serve
