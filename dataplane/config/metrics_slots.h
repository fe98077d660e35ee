// Which per-worker counters belong to which labels: (namespace, ingress, service, host, path) ->
// slot. A route holds its lease, so a slot is given again only when no snapshot has a route of
// those labels any more; the uid then tells a reader that the series is another one.
//
// Thread rule: as SlotTable. Slot 0 belongs to requests that match no route and is never given to
// one.
#pragma once

#include <compare>
#include <string>

#include "dataplane/config/slot_table.h"

namespace ringway::config {

struct MetricsLabels {
  std::string namespace_name, ingress, service;
  std::string host, path;  // Of the rule, as written in the object.
  auto operator<=>(const MetricsLabels&) const = default;
};

class MetricsSlots {
 public:
  using Lease = SlotTable<MetricsLabels>::Lease;
  static constexpr uint32_t kNoRoute = 0;

  // `per_host`: false leaves the host out, so that rules of several hosts share a slot.
  explicit MetricsSlots(bool per_host = true) : per_host_(per_host), no_route_(table_.take({})) {}
  // Labels that name no object give kNoRoute.
  std::shared_ptr<const Lease> take(MetricsLabels labels) {
    if (labels.namespace_name.empty() && labels.ingress.empty() && labels.service.empty())
      return no_route_;
    if (!per_host_) labels.host.clear();
    return table_.take(labels);
  }
  uint32_t slots() const {
    return table_.slots();
  }  // Every slot in use is below: the size of a worker's array.
  std::vector<std::shared_ptr<const Lease>> held() const { return table_.held(); }

 private:
  bool per_host_;
  SlotTable<MetricsLabels> table_;
  std::shared_ptr<const Lease> no_route_;
};

}  // namespace ringway::config
