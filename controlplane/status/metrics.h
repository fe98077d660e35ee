// What was written to the cluster, for scrapes.
#pragma once

#include <prometheus/collectable.h>

#include <vector>

#include "controlplane/status/writer.h"

namespace ringway::status {

class Metrics final : public prometheus::Collectable {
 public:
  explicit Metrics(const WriterStats& stats) : stats_(stats) {}
  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  const WriterStats& stats_;
};

}  // namespace ringway::status
