// Tells the health checker what a snapshot changed.
#pragma once

#include "dataplane/config/snapshot.h"
#include "dataplane/upstream/health_checker.h"

namespace ringway::config {

// `before`: the snapshot the checker knows, nullptr at first. Costs what differs, not what there
// is. Control thread.
void update_health_checks(upstream::HealthChecker& checker, const Snapshot* before,
                          const Snapshot& after);

}  // namespace ringway::config
