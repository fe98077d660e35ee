#include "dataplane/observe/request_series.h"

#include <algorithm>

namespace ringway::observe {

// Called with sums that no base has been taken from.
void RequestSeries::fold(uint32_t slot, const RequestStats& stats) {
  Base& base = bases_[slot];
  RequestStats gone;
  stats.for_each_cell(slot, [&](const RequestCell& cell) { gone.add(0, cell); });
  gone.add(0, stats.grpc(slot));
  gone.subtract(0, base.cells, base.retries, base.grpc);
  RouteStats total = gone.of(0);
  total.retries = stats.retries(slot) - base.retries;
  removed_.add(total);
  base.cells.clear();
  stats.for_each_cell(slot, [&](const RequestCell& cell) { base.cells.push_back(cell); });
  base.retries = stats.retries(slot);
  base.grpc = stats.grpc(slot);
}

void RequestSeries::take_away_bases(RequestView& view) const {
  for (const auto& [slot, base] : bases_) {
    if (slot < view.stats.slots()) view.stats.subtract(slot, base.cells, base.retries, base.grpc);
  }
}

RequestView RequestSeries::update(std::vector<SlotLease> owners, RequestStats stats) {
  RequestView view;
  uint32_t slots = static_cast<uint32_t>(std::max({uids_.size(), stats.slots(), size_t{1}}));
  for (const SlotLease& owner : owners) slots = std::max(slots, owner->slot + 1);
  uids_.resize(slots);
  view.owners.resize(slots);
  for (SlotLease& owner : owners) {
    const uint32_t slot = owner->slot;
    if (slot == config::MetricsSlots::kNoRoute) continue;
    // Before its first owner nobody counted in a slot: what is there is the owner's.
    if (uids_[slot] != owner->uid && uids_[slot] != 0) fold(slot, stats);
    uids_[slot] = owner->uid;
    view.owners[slot] = std::move(owner);
  }
  view.stats = std::move(stats);
  take_away_bases(view);
  view.removed = removed_;
  for (uint32_t slot = 1; slot < view.stats.slots(); ++slot) {
    // Requests that end after their route has gone.
    if (view.owners[slot] == nullptr) view.removed.add(view.stats.of(slot));
  }
  return view;
}

}  // namespace ringway::observe
