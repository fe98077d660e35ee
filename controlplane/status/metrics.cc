#include "controlplane/status/metrics.h"

#include <prometheus/metric_family.h>

#include <string>

namespace ringway::status {

std::vector<prometheus::MetricFamily> Metrics::Collect() const {
  std::vector<prometheus::MetricFamily> out;
  const auto count = [&](const char* name, const char* help, uint64_t value) {
    prometheus::MetricFamily& family = out.emplace_back();
    family.name = std::string("ringway_controller_") + name;
    family.help = help;
    family.type = prometheus::MetricType::Counter;
    family.metric.emplace_back().counter.value = static_cast<double>(value);
  };
  count("status_writes_total", "Tries to write the status of an Ingress.", stats_.status_writes);
  count("status_write_failures_total", "Of those, the ones that failed.", stats_.status_failures);
  count("events_total", "Tries to write an Event.", stats_.events);
  return out;
}

}  // namespace ringway::status
