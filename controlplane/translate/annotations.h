// The annotations that are read, as a table: name → parser → effect. docs/annotations.md is written
// from it; a test keeps the two equal.
#pragma once

#include <google/protobuf/map.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/translate/report.h"
#include "ringway/v1/resources.pb.h"

namespace ringway::translate {

using Annotations = google::protobuf::Map<std::string, std::string>;

// What the annotations of one Ingress say. Unset members mean the defaults of the discovery API.
struct Settings {
  bool ssl_redirect = true;  // Applies to hosts with TLS only.
  bool force_ssl_redirect = false;
  std::string permanent_redirect;  // "" = none
  uint32_t permanent_redirect_code = 301;
  std::string temporal_redirect;  // Wins over the permanent one, as in ingress-nginx.
  uint32_t temporal_redirect_code = 302;
  std::string rewrite_target;  // "" = none; implies use_regex
  bool use_regex = false;
  v1::Timeouts timeouts;
  v1::RetryPolicy retry;
  uint64_t request_body_bytes_max = 0;  // Route.request_body_bytes_max
  bool protocol_refused = false;  // backend-protocol other than HTTP: the backends are not used.
  v1::Balancer balancer = v1::BALANCER_UNSPECIFIED;
  std::optional<v1::HealthCheck> health_check;
};

// Reads what begins with `prefix` (Options.annotation_prefix) or "ringway.dev/".
Settings read_ingress_annotations(const Annotations& annotations, std::string_view prefix,
                                  Report& report);

// Reads the health check of a Service ("ringway.dev/health-check-…").
std::optional<v1::HealthCheck> read_service_annotations(const Annotations& annotations,
                                                        Report& report);

// For tests and documentation: every name that is read, without its prefix, sorted.
std::vector<std::string_view> ingress_annotation_names();
std::vector<std::string_view> health_annotation_names();

}  // namespace ringway::translate
