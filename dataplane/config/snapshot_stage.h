// What a transaction comes to before it is accepted: first sorted by resource, then compiled. An
// empty optional is a removal.
//
// Thread rule: the control thread's, inside one SnapshotBuilder::apply().
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "dataplane/config/snapshot_builder.h"

namespace ringway::config {

struct SnapshotBuilder::Stage {
  // nullptr: removed. Ordered, so that of several faults always the same one is reported.
  std::map<std::string, const v1::Resource*> listener_changes;
  std::map<std::string, const v1::Resource*> table_changes;
  std::map<std::string, const v1::Resource*> certificate_changes;
  std::map<std::string, ClusterChange> cluster_changes;

  std::vector<std::pair<std::string, std::optional<Cluster>>> clusters;
  std::vector<std::pair<std::string, std::optional<Table>>> tables;
  std::map<std::string, std::optional<CertificateEntry>> certificates;
  std::map<std::string, std::optional<ListenerEntry>> listeners;
};

}  // namespace ringway::config
