#include "dataplane/config/snapshot.h"

namespace ringway::config {

const route::RouteSet* Snapshot::route_set(std::string_view name) const {
  for (const auto& [set, routes] : route_sets) {
    if (set == name) return routes.get();
  }
  return nullptr;
}

}  // namespace ringway::config
