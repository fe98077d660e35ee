#include "controlplane/admission/metrics.h"

#include <prometheus/metric_family.h>

#include <string>
#include <utility>

namespace ringway::admission {
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
  const std::string own = "ringway_controller_admission_";
  add(out, own + "reviews_total", "Reviews of Ingresses by verdict; error: no verdict was given.",
      MetricType::Counter, static_cast<double>(stats_.allowed))
      .label = {{"verdict", "allowed"}};
  for (const auto& [verdict, count] :
       {std::pair<const char*, uint64_t>{"refused", stats_.refused}, {"error", stats_.failed}}) {
    prometheus::ClientMetric& metric = out.back().metric.emplace_back();
    metric.label = {{"verdict", verdict}};
    metric.counter.value = static_cast<double>(count);
  }
  add(out, own + "seconds_total", "Time from the whole review to its answer.", MetricType::Counter,
      static_cast<double>(stats_.roundtrip_ns_total) / 1e9);

  // ingress-nginx: gauges of the latest review. Its configuration file is the route tables of the
  // hosts here; its two about rendering that file have no counterpart.
  const std::string nginx = "nginx_ingress_controller_admission_";
  const auto gauge = [&](const char* name, const char* help, double value) {
    add(out, nginx + name, help, MetricType::Gauge, value);
  };
  gauge("config_size", "Bytes of the routes that were made for the review.",
        static_cast<double>(stats_.output_bytes_last));
  gauge("roundtrip_duration", "Seconds from the whole review to its answer.",
        static_cast<double>(stats_.roundtrip_ns_last) / 1e9);
  gauge("tested_ingresses", "Ingresses that were translated for the review.",
        static_cast<double>(stats_.tested_ingresses_last));
  gauge("tested_duration", "Seconds of that.", static_cast<double>(stats_.tested_ns_last) / 1e9);
  return out;
}

}  // namespace ringway::admission
