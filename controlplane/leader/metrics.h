// Who leads, for scrapes.
#pragma once

#include <prometheus/collectable.h>

#include <vector>

#include "controlplane/leader/elector.h"

namespace ringway::leader {

class Metrics final : public prometheus::Collectable {
 public:
  explicit Metrics(const Elector& elector) : elector_(elector) {}
  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  const Elector& elector_;
};

}  // namespace ringway::leader
