#include "controlplane/kube/metrics.h"

#include <prometheus/metric_family.h>

#include <string>

namespace ringway::kube {
namespace {

using prometheus::MetricType;

}  // namespace

std::vector<prometheus::MetricFamily> Metrics::Collect() const {
  const auto counters = source_.counters();
  std::vector<prometheus::MetricFamily> out;
  const auto family = [&](const char* name, const char* help, MetricType type) {
    prometheus::MetricFamily& added = out.emplace_back();
    added.name = std::string("ringway_controller_kube_") + name;
    added.help = help;
    added.type = type;
  };
  const auto sample = [&](const std::string& resource, uint64_t value, const char* reason = "") {
    prometheus::ClientMetric& metric = out.back().metric.emplace_back();
    metric.label = {{"resource", resource}};
    if (*reason != '\0') metric.label.push_back({"reason", reason});
    const auto number = static_cast<double>(value);
    (out.back().type == MetricType::Counter ? metric.counter.value : metric.gauge.value) = number;
  };
  const auto each = [&](const char* name, const char* help, MetricType type, auto value) {
    family(name, help, type);
    for (const auto& [resource, some] : counters) sample(resource, value(some));
  };
  using Counters = KubernetesSource::Counters;
  each("objects", "Objects known.", MetricType::Gauge, [](const Counters& c) { return c.objects; });
  each("named_objects", "Objects followed by their names.", MetricType::Gauge,
       [](const Counters& c) { return c.named; });
  each("unsynced", "Collections not listed yet, and named objects not answered for.",
       MetricType::Gauge, [](const Counters& c) { return c.unsynced; });
  each("lists_total", "Listings begun, comparisons included.", MetricType::Counter,
       [](const Counters& c) { return c.lists; });
  each("watches_total", "Watches begun that did not begin with a listing.", MetricType::Counter,
       [](const Counters& c) { return c.watches; });
  each("failures_total", "Requests refused or without an answer, and watches that broke.",
       MetricType::Counter, [](const Counters& c) { return c.failures; });
  each("comparisons_total", "Listings that were compared with what watches had told.",
       MetricType::Counter, [](const Counters& c) { return c.comparisons; });
  each("differences_total", "Objects that were not as the watch had told.", MetricType::Counter,
       [](const Counters& c) { return c.differences; });
  family(
      "relists_total",
      "Listings because a watch lost its place. expired: 410; silent: nothing came for too long; "
      "broken: it ended several times in a row.",
      MetricType::Counter);
  for (const auto& [resource, some] : counters) {
    sample(resource, some.relists_gone, "expired");
    sample(resource, some.relists_silent, "silent");
    sample(resource, some.relists_broken, "broken");
  }
  return out;
}

}  // namespace ringway::kube
