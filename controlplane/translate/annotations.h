// The annotations that are read, as a table: name → parser → effect. docs/annotations.md is written
// from it; a test keeps the two equal.
#pragma once

#include <google/protobuf/map.h>

#include <cstdint>
#include <expected>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/translate/report.h"
#include "ringway/v1/resources.pb.h"

namespace ringway::translate {

using Annotations = google::protobuf::Map<std::string, std::string>;

// backend-protocol. Unset: what the Service port's appProtocol says, else HTTP/1.1 in clear text.
enum class BackendProtocol : uint8_t { kUnset, kHttp, kHttps, kGrpc, kGrpcs, kAutoHttp };

// What the annotations of one Ingress say. Unset members mean the defaults of the discovery API.
struct Settings {
  bool ssl_redirect = true;  // Applies to hosts with TLS only.
  bool force_ssl_redirect = false;
  uint32_t https_redirect_code = 308;        // The ConfigMap's only, as the next.
  std::vector<std::string> no_tls_redirect;  // HttpsRedirect.exempt_prefixes
  std::string permanent_redirect;  // "" = none
  uint32_t permanent_redirect_code = 301;
  std::string temporal_redirect;  // Wins over the permanent one, as in ingress-nginx.
  uint32_t temporal_redirect_code = 302;
  std::string rewrite_target;  // "" = none; implies use_regex
  bool use_regex = false;
  v1::Timeouts timeouts;
  v1::RetryPolicy retry;
  uint64_t request_body_bytes_max = 0;  // Route.request_body_bytes_max
  bool ssl_passthrough = false;
  bool grpc_web = false;
  BackendProtocol protocol = BackendProtocol::kUnset;
  bool protocol_refused = false;  // A backend-protocol we do not speak: the backends are not used.
  v1::Balancer balancer = v1::BALANCER_UNSPECIFIED;
  std::optional<v1::HealthCheck> health_check;
};

// Reads what begins with `prefix` (Options.annotation_prefix) or "ringway.dev/". `defaults`: what
// holds for those that are not there.
Settings read_ingress_annotations(const Annotations& annotations, std::string_view prefix,
                                  const Settings& defaults, Report& report);

// Whether a value was taken. Success may carry a warning: not all that it says is done.
using Accepted = std::expected<std::string, std::string>;

// One of them, by its name without prefix. nullopt: it is not read.
std::optional<Accepted> apply_setting(std::string_view name, std::string_view text, Settings& to);

// Reads the health check of a Service ("ringway.dev/health-check-…"); others of the prefix are
// reported.
std::optional<v1::HealthCheck> read_service_annotations(const Annotations& annotations,
                                                        Report& report);

// For tests and documentation: every name that is read, without its prefix, sorted.
std::vector<std::string_view> ingress_annotation_names();
std::vector<std::string_view> health_annotation_names();
std::vector<std::string_view> own_annotation_names();  // "ringway.dev/…" but the health checks'.

}  // namespace ringway::translate
