// What /config shows: the resources held and what they were compiled to, as JSON. Private keys are
// left out.
#pragma once

#include <string>

#include "dataplane/config/discovery/resource_set.h"
#include "dataplane/config/snapshot.h"

namespace ringway::config {

// {"version": "...", "generation": 3, "complete": true, "listeners": [...], "hosts": {"ingress":
// 10}, "clusters": 7, "endpoints": 20,
//  "resources": {"listener": [...], "route_table": [...], ...}}
// Resources are messages of ringway.v1 in protobuf's JSON form. Control thread; a large
// configuration costs a few hundred milliseconds.
std::string config_dump(const Snapshot& snapshot, const ResourceSet& resources);

}  // namespace ringway::config
