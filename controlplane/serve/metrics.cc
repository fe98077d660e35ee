#include "controlplane/serve/metrics.h"

#include <prometheus/metric_family.h>

#include <string>
#include <string_view>
#include <utility>

#include "controlplane/serve/proxy_cursor.h"

namespace ringway::serve {
namespace {

using Labels = std::vector<prometheus::ClientMetric::Label>;

prometheus::MetricFamily& family(std::vector<prometheus::MetricFamily>& out, const char* name,
                                 const char* help, prometheus::MetricType type) {
  prometheus::MetricFamily& made = out.emplace_back();
  made.name = std::string("ringway_controller_") + name;
  made.help = help;
  made.type = type;
  return made;
}

void add(prometheus::MetricFamily& to, double value, Labels labels = {}) {
  prometheus::ClientMetric& metric = to.metric.emplace_back();
  metric.label = std::move(labels);
  (to.type == prometheus::MetricType::Counter ? metric.counter.value : metric.gauge.value) = value;
}

constexpr auto kCounter = prometheus::MetricType::Counter;
constexpr auto kGauge = prometheus::MetricType::Gauge;

void add_pipeline(std::vector<prometheus::MetricFamily>& out, const PipelineStats& stats,
                  const snapshot::Store& store) {
  add(family(out, "batches_total", "Batches of object changes translated.", kCounter),
      stats.batches);
  add(family(out, "configurations_total", "Batches that changed the configuration.", kCounter),
      stats.published);
  add(family(out, "translate_seconds_total", "Time spent translating.", kCounter),
      stats.translate_ns_total / 1e9);
  add(family(out, "translate_last_seconds", "Time of the last translation.", kGauge),
      stats.translate_ns_last / 1e9);
  add(family(out, "removals_held", "Resources whose mass removal is held back.", kGauge),
      stats.removals_held);
  add(family(out, "changed_timestamp_seconds", "When the configuration changed last.", kGauge),
      static_cast<double>(stats.changed_at_s));
  add(family(
          out, "api_silent",
          "1: the API server has not answered for 30 s, and proxies are sent to other controllers.",
          kGauge),
      stats.api_silent ? 1 : 0);
  auto& problems = family(out, "problems", "Problems of the objects as they stand.", kGauge);
  add(problems, stats.problems_errors, {{"severity", "error"}});
  add(problems, stats.problems_warnings, {{"severity", "warning"}});
  auto& resources = family(out, "resources", "Resources of the configuration.", kGauge);
  for (const auto& [type, count] : store.counts()) {
    add(resources, static_cast<double>(count), {{"type", std::string(type_name(type))}});
  }
}

void add_proxies(std::vector<prometheus::MetricFamily>& out, const DiscoveryServer& server) {
  const std::vector<ProxyStatus> proxies = server.proxies();
  const DiscoveryServer::Totals totals = server.totals();
  add(family(out, "proxies_connected", "Proxies with an open stream.", kGauge),
      static_cast<double>(proxies.size()));
  add(family(out, "connects_total", "Streams opened by proxies.", kCounter), totals.connects);
  add(family(out, "refused_total", "Streams ended for a wrong or forbidden message.", kCounter),
      totals.refused);
  add(family(out, "acks_total", "Transactions accepted by proxies.", kCounter), totals.acks);
  add(family(out, "nacks_total", "Transactions refused by proxies.", kCounter), totals.nacks);
  add(family(out, "transactions_total", "Transactions sent.", kCounter), totals.transactions);
  add(family(out, "sent_bytes_total", "Bytes of transactions sent.", kCounter), totals.bytes_sent);
  auto& in_sync =
      family(out, "proxy_in_sync", "1: the proxy runs the whole current configuration.", kGauge);
  auto& withheld = family(out, "proxy_withheld_resources",
                          "Resources this proxy refused and that are unchanged since.", kGauge);
  std::string_view last;
  for (const ProxyStatus& proxy : proxies) {
    if (proxy.node_id == last)
      continue;  // A half-open stream beside its successor: one series per node.
    last = proxy.node_id;
    add(in_sync, proxy.in_sync ? 1 : 0, {{"proxy", proxy.node_id}});
    add(withheld, proxy.withheld, {{"proxy", proxy.node_id}});
  }
}

}  // namespace

std::vector<prometheus::MetricFamily> ControllerMetrics::Collect() const {
  std::vector<prometheus::MetricFamily> out;
  out.reserve(32);  // add_proxies() holds two at once.
  add_pipeline(out, stats_, store_);
  add_proxies(out, server_);
  nginx_.collect(out);
  return out;
}

}  // namespace ringway::serve
