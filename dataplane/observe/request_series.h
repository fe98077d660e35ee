// Whose requests a scrape counts: slots change their owners with the configuration. When a slot is
// given up or given to another route, its counts are folded into one total and its series end; the
// next owner begins at zero.
//
// Thread rule: the control thread's.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/config/metrics_slots.h"
#include "dataplane/observe/request_stats.h"

namespace ringway::observe {

// From configuration only: requests never make a label.
using RouteLabels = config::MetricsLabels;
using SlotLease = std::shared_ptr<const config::MetricsSlots::Lease>;

// Of the two series that belong to no route: '_' cannot be in a Kubernetes name, so they cannot
// meet one.
inline constexpr const char* kNoRouteLabel = "_none";     // Slot 0: requests that matched no route.
inline constexpr const char* kRemovedLabel = "_removed";  // Routes that are gone.

// One look: counts of the owners as they are now.
struct RequestView {
  RequestStats stats;             // By slot, without what earlier owners counted.
  std::vector<SlotLease> owners;  // By slot; nullptr: slot 0, or nobody's.
  RouteStats removed;             // What belongs to nobody any more.
};

class RequestSeries {
 public:
  // `owners`: the slots that are held. `stats`: of all workers together. Call at each scrape; and
  // whenever a slot changes its owner between two scrapes, else its last counts since the scrape
  // go to the total.
  RequestView update(std::vector<SlotLease> owners, RequestStats stats);

 private:
  struct Base {  // Counts of the owners before.
    std::vector<RequestCell> cells;
    uint64_t retries = 0;
    GrpcCounts grpc{};
  };
  void fold(uint32_t slot, const RequestStats& stats);
  void take_away_bases(RequestView& view) const;

  std::vector<uint64_t> uids_;  // Of the last owner each slot had; 0: none yet.
  std::map<uint32_t, Base> bases_;
  RouteStats removed_;
};

}  // namespace ringway::observe
