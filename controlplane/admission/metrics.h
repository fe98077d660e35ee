// What the webhook did, for scrapes: the families of ingress-nginx that dashboards read, where they
// have a meaning here, and counts of our own.
#pragma once

#include <prometheus/collectable.h>

#include <vector>

#include "controlplane/admission/webhook.h"

namespace ringway::admission {

class Metrics final : public prometheus::Collectable {
 public:
  explicit Metrics(const WebhookStats& stats) : stats_(stats) {}
  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  const WebhookStats& stats_;
};

}  // namespace ringway::admission
