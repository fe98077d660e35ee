// The families of ingress-nginx that are the controller's: certificates and orphaned Ingresses.
// Requests, connections and the configuration in use are the proxies' (docs/operations.md).
//
// Thread rule: any.
#pragma once

#include <prometheus/metric_family.h>

#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "controlplane/serve/certificate_facts.h"
#include "controlplane/snapshot/store.h"

namespace ringway::serve {

struct NginxMetricsOptions {
  bool on = true;  // --nginx-metrics
  // Labels of every series.
  std::string controller_namespace, controller_class, controller_pod;
};

class NginxMetrics {
 public:
  NginxMetrics(NginxMetricsOptions options, const snapshot::Store& store)
      : options_(std::move(options)), store_(store) {}
  void collect(std::vector<prometheus::MetricFamily>& out) const;

 private:
  // Of the certificate as this resource has it; kept, since reading one takes some 50 us.
  const CertificateFacts* facts_of(const snapshot::ResourcePtr& resource) const;
  void collect_certificates(std::vector<prometheus::MetricFamily>& out) const;
  void collect_orphans(std::vector<prometheus::MetricFamily>& out) const;

  NginxMetricsOptions options_;
  const snapshot::Store& store_;
  mutable std::mutex mutex_;
  mutable std::map<std::string, std::pair<snapshot::ResourcePtr, CertificateFacts>> facts_;
};

}  // namespace ringway::serve
