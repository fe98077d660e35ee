// Passive health: errors in a row take an endpoint out for a growing time, never more endpoints of
// a cluster at once than its share.
//
// Thread rule: any worker; all state is in the relaxed atomics of EndpointState.
// A returning endpoint is on probation: its first error ejects it again, for longer; its first
// success clears the errors, and every base_ejection_ns without an ejection takes one step off the
// next ejection's length.
#pragma once

#include <cstdint>

#include "dataplane/upstream/cluster.h"

namespace ringway::upstream {

void note_success(const Cluster& cluster, EndpointState& endpoint, uint64_t now_ns);
// True when this call ejected the endpoint.
bool note_error(const Cluster& cluster, EndpointState& endpoint, uint64_t now_ns);

// How many of `endpoints` may be ejected at once.
uint32_t ejected_max(uint32_t endpoints, uint32_t percent);

}  // namespace ringway::upstream
