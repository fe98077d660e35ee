#include "controlplane/serve/nginx_metrics.h"

#include <algorithm>
#include <set>
#include <string_view>
#include <tuple>

namespace ringway::serve {
namespace {

using Labels = std::vector<prometheus::ClientMetric::Label>;

prometheus::MetricFamily gauge(const char* name, const char* help) {
  prometheus::MetricFamily made;
  made.name = std::string("nginx_ingress_controller_") + name;
  made.help = help;
  made.type = prometheus::MetricType::Gauge;
  return made;
}

void add(prometheus::MetricFamily& to, double value, Labels labels) {
  prometheus::ClientMetric& metric = to.metric.emplace_back();
  metric.label = std::move(labels);
  metric.gauge.value = value;
}

Labels controller_labels(const NginxMetricsOptions& options) {
  return {{"controller_class", options.controller_class},
          {"controller_namespace", options.controller_namespace},
          {"controller_pod", options.controller_pod}};
}

void move_if_filled(prometheus::MetricFamily family, std::vector<prometheus::MetricFamily>& out) {
  if (!family.metric.empty()) out.push_back(std::move(family));
}

}  // namespace

const CertificateFacts* NginxMetrics::facts_of(const snapshot::ResourcePtr& resource) const {
  const auto held = facts_.find(resource->name());
  if (held != facts_.end() && held->second.first == resource) return &held->second.second;
  auto facts = read_certificate(resource->certificate().chain_pem());
  if (!facts) return nullptr;
  return &facts_.insert_or_assign(resource->name(), std::pair(resource, *std::move(facts)))
              .first->second.second;
}

// Named by "<namespace>/<secret>". One without hosts is the default certificate, which
// ingress-nginx shows as its server "_".
void NginxMetrics::collect_certificates(std::vector<prometheus::MetricFamily>& out) const {
  auto expiry = gauge("ssl_expire_time_seconds",
                      "Number of seconds since 1970 to the SSL Certificate expire.");
  auto info =
      gauge("ssl_certificate_info", "Hold all labels associated to a certificate; the value is 1.");
  const auto certificates = store_
                                .against({},
                                         [](const snapshot::Key& key) {
                                           return key.type == v1::RESOURCE_TYPE_CERTIFICATE;
                                         })
                                .upserts;
  const std::lock_guard lock(mutex_);
  for (const snapshot::ResourcePtr& resource : certificates) {
    const CertificateFacts* facts = facts_of(resource);
    if (facts == nullptr) continue;
    const std::string& name = resource->name();
    const size_t slash = std::min(name.find('/'), name.size());
    std::vector<std::string> hosts(resource->certificate().hosts().begin(),
                                   resource->certificate().hosts().end());
    if (hosts.empty()) hosts.emplace_back("_");
    for (const std::string& host : hosts) {
      const Labels labels{{"namespace", name.substr(0, slash)},
                          {"class", options_.controller_class},
                          {"host", host},
                          {"secret_name", name.substr(std::min(slash + 1, name.size()))},
                          {"identifier", facts->identifier()}};
      add(expiry, static_cast<double>(facts->not_after_s), labels);
      Labels more = labels;
      more.insert(more.end(), {{"issuer_organization", facts->issuer_organization},
                               {"issuer_common_name", facts->issuer_common_name},
                               {"serial_number", facts->serial_number},
                               {"public_key_algorithm", facts->public_key_algorithm}});
      add(info, 1, std::move(more));
    }
  }
  std::erase_if(facts_, [&](const auto& entry) {
    return std::ranges::find(certificates, entry.second.first) == certificates.end();
  });
  move_if_filled(std::move(expiry), out);
  move_if_filled(std::move(info), out);
}

// A backend without a cluster has no Service (or not that port); a cluster none of whose endpoints
// is ready has no endpoint.
void NginxMetrics::collect_orphans(std::vector<prometheus::MetricFamily>& out) const {
  const auto resources = store_
                             .against({},
                                      [](const snapshot::Key& key) {
                                        return key.type == v1::RESOURCE_TYPE_ROUTE_TABLE ||
                                               key.type == v1::RESOURCE_TYPE_ENDPOINTS;
                                      })
                             .upserts;
  std::set<std::string_view> served;
  for (const snapshot::ResourcePtr& resource : resources) {
    if (!resource->has_endpoints()) continue;
    if (std::ranges::any_of(resource->endpoints().endpoints(), &v1::Endpoint::ready))
      served.insert(resource->name());
  }
  std::set<std::tuple<std::string_view, std::string_view, std::string_view>> found;
  for (const snapshot::ResourcePtr& resource : resources) {
    for (const v1::Route& route : resource->route_table().routes()) {
      for (const v1::WeightedCluster& backend : route.backend().clusters()) {
        if (served.contains(backend.cluster())) continue;
        found.emplace(route.metadata().namespace_(), route.metadata().ingress(),
                      backend.cluster().empty() ? "no-service" : "no-endpoint");
      }
    }
  }
  auto orphans = gauge("orphan_ingress",
                       "Gauge reporting status of ingress orphanity, 1 indicates orphaned ingress: "
                       "a backend without Service (no-service) or endpoints (no-endpoint).");
  for (const auto& [namespace_name, ingress, type] : found) {
    Labels labels = controller_labels(options_);
    labels.insert(labels.end(), {{"namespace", std::string(namespace_name)},
                                 {"ingress", std::string(ingress)},
                                 {"type", std::string(type)}});
    add(orphans, 1, std::move(labels));
  }
  move_if_filled(std::move(orphans), out);
}

void NginxMetrics::collect(std::vector<prometheus::MetricFamily>& out) const {
  if (!options_.on) return;
  auto build =
      gauge("build_info", "A metric with a constant '1' labeled with information about the build.");
  Labels labels = controller_labels(options_);
  labels.insert(labels.end(), {{"release", RINGWAY_VERSION}, {"repository", "ringway"}});
  add(build, 1, std::move(labels));
  out.push_back(std::move(build));
  collect_orphans(out);
  collect_certificates(out);
}

}  // namespace ringway::serve
