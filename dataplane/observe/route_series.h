// The series of routes over configuration changes: when a slot is given up or given to another
// route, its counts are folded into one total and its series ends; the next owner begins at zero.
//
// Thread rule: the control thread's.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "dataplane/observe/worker_stats.h"

namespace ringway::observe {

// Whose counters a metrics slot holds. From configuration only: requests never make a label.
struct RouteLabels {
  std::string namespace_name, ingress, service;
  bool operator==(const RouteLabels&) const = default;
  bool empty() const { return namespace_name.empty() && ingress.empty() && service.empty(); }
};

// Of the two series that belong to no route: '_' cannot be in a Kubernetes name, so they cannot
// meet one.
inline constexpr const char* kNoRouteLabel = "_none";     // Slot 0: requests that matched no route.
inline constexpr const char* kRemovedLabel = "_removed";  // Routes that are gone.

void add_stats(RouteStats& into, const RouteStats& from);
void subtract_stats(RouteStats& from, const RouteStats& base);
uint64_t requests_of(const RouteStats& stats);

class RouteSeries {
 public:
  struct Series {
    RouteLabels labels;
    RouteStats stats;
  };

  // `labels`: by slot, as they are now; empty labels: the slot is unused (slot 0 needs none).
  // `sums`: WorkerStats::routes of all workers together. Call at each scrape; and whenever a slot
  // changes its owner between two scrapes, else its last counts since the scrape go to the total.
  void update(std::span<const RouteLabels> labels, std::span<const RouteStats> sums);
  // Routes with at least one request, in the order of slots, then the total of removed ones.
  std::vector<Series> series() const;

 private:
  struct Slot {
    RouteLabels labels;
    bool had_owner = false;
    RouteStats base;  // Counts of the owners before.
    RouteStats sum;
  };
  std::vector<Slot> slots_;
  RouteStats removed_;
};

}  // namespace ringway::observe
