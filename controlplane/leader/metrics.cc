#include "controlplane/leader/metrics.h"

#include <prometheus/metric_family.h>

#include <string>
#include <utility>

#include "base/clock.h"

namespace ringway::leader {
namespace {

using prometheus::MetricType;

prometheus::ClientMetric& add(std::vector<prometheus::MetricFamily>& out, std::string name,
                              const char* help, MetricType type, double value) {
  prometheus::MetricFamily& family = out.emplace_back();
  family.name = std::move(name);
  family.help = help;
  family.type = type;
  prometheus::ClientMetric& metric = family.metric.emplace_back();
  (type == MetricType::Counter ? metric.counter.value : metric.gauge.value) = value;
  return metric;
}

}  // namespace

std::vector<prometheus::MetricFamily> Metrics::Collect() const {
  std::vector<prometheus::MetricFamily> out;
  // As ingress-nginx (internal/ingress/metric/collectors/controller.go): `name` is the Lease's.
  add(out, "nginx_ingress_controller_leader_election_status",
      "1: this controller is the leader; 0: it is not.", MetricType::Gauge,
      elector_.is_leader(monotonic_ns()) ? 1 : 0)
      .label = {{"name", elector_.options().name}};
  add(out, "ringway_controller_leader_transitions_total",
      "Times that this controller became the leader.", MetricType::Counter,
      static_cast<double>(elector_.transitions()));
  add(out, "ringway_controller_lease_writes_total", "Tries to write the Lease.",
      MetricType::Counter, static_cast<double>(elector_.writes()));
  return out;
}

}  // namespace ringway::leader
