// The controller's own ConfigMap (--configmap): what holds for everything that is served, by the
// keys of ingress-nginx. A table: key → parser → effect; docs/configmap.md is written from it, a
// test keeps the two equal. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/model/object.h"
#include "controlplane/model/problem.h"
#include "controlplane/translate/annotations.h"
#include "ringway/v1/resources.pb.h"

namespace ringway::translate {

// Unset members mean the defaults of the discovery API, or of the controller's flags.
struct GlobalSettings {
  Settings defaults;     // Of every Ingress; its annotations win.
  v1::HttpOptions http;  // Of the listeners for HTTP and HTTPS; hsts of HTTPS only.
  v1::TlsVersion tls_version_min = v1::TLS_VERSION_UNSPECIFIED;
  v1::PoolOptions pool;      // Of every cluster that serves requests.
  v1::StreamOptions stream;  // Of TCP ports and TLS passthrough.
  std::optional<bool> use_proxy_protocol;
  std::vector<std::string> proxy_real_ip_cidrs;
  uint32_t proxy_protocol_timeout_ms = 0;
};

// A value that is refused is an error of `problems`, and its default applies; a key that has no
// effect is a warning, unless its value asks for what is so anyway.
GlobalSettings read_config_map(const model::Object& config_map,
                               std::vector<model::Problem>& problems);

// For tests and documentation: every key that is read, sorted.
std::vector<std::string_view> config_map_keys();

}  // namespace ringway::translate
