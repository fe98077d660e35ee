// "ringway.dev/health-check-…" of a Service or an Ingress → active health check.
#pragma once

#include <optional>
#include <string_view>

#include "controlplane/translate/annotations.h"

namespace ringway::translate {

// By its name without the prefix.
bool is_health_annotation(std::string_view name);

// nullopt unless health-check-path is set or health-check-port-type is "tcp" or "grpc".
std::optional<v1::HealthCheck> read_health_check(const Annotations& annotations, Report& report);

}  // namespace ringway::translate
