// How an API server is followed, for scrapes.
#pragma once

#include <prometheus/collectable.h>

#include <vector>

#include "controlplane/kube/kubernetes_source.h"

namespace ringway::kube {

// Thread rule: Collect() from any thread but the source's loop.
class Metrics final : public prometheus::Collectable {
 public:
  explicit Metrics(const KubernetesSource& source) : source_(source) {}
  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  const KubernetesSource& source_;
};

}  // namespace ringway::kube
