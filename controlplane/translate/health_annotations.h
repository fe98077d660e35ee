// "ringway.dev/health-check-…" of a Service or an Ingress → active health check.
#pragma once

#include <optional>

#include "controlplane/translate/annotations.h"

namespace ringway::translate {

// nullopt unless health-check-path is set or health-check-port-type is "tcp". Other annotations of
// the prefix "ringway.dev/" are reported.
std::optional<v1::HealthCheck> read_health_check(const Annotations& annotations, Report& report);

}  // namespace ringway::translate
