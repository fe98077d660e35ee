#include "dataplane/config/snapshot.h"

namespace ringway::config {

const ClusterTarget* PassthroughHosts::find(std::string_view server_name) const {
  if (server_name.empty()) return nullptr;
  const std::string name(server_name);
  if (const auto found = exact.find(name); found != exact.end()) return &found->second;
  const size_t dot = name.find('.');
  if (dot == std::string::npos) return nullptr;
  const auto found = wildcard.find(name.substr(dot + 1));
  return found == wildcard.end() ? nullptr : &found->second;
}

const route::RouteSet* Snapshot::route_set(std::string_view name) const {
  for (const auto& [set, routes] : route_sets) {
    if (set == name) return routes.get();
  }
  return nullptr;
}

}  // namespace ringway::config
