// What people and Kubernetes ask the controller: /healthz, /readyz, /metrics, /proxies (JSON) on an
// address of its own.
#pragma once

#include <prometheus/collectable.h>

#include <expected>
#include <memory>
#include <string>
#include <vector>

#include "controlplane/serve/metrics.h"
#include "controlplane/serve/server.h"

namespace ringway::serve {

// /proxies as JSON text: version, resources, proxies. No resource content, so no secrets.
std::string proxies_json(const DiscoveryServer& server, const snapshot::Store& store);

class AdminServer {
 public:
  // `address`: "127.0.0.1:10256", "[::1]:10256". What is referred to outlives the server. `more`:
  // of other rooms, for /metrics. The error is one line.
  static std::expected<std::unique_ptr<AdminServer>, std::string> start(
      const std::string& address, const DiscoveryServer& server, const snapshot::Store& store,
      const PipelineStats& stats, NginxMetricsOptions nginx = {},
      std::vector<const prometheus::Collectable*> more = {});
  ~AdminServer();

 private:
  class Civet;
  explicit AdminServer(std::unique_ptr<Civet> civet);
  std::unique_ptr<Civet> civet_;
};

}  // namespace ringway::serve
