#include "controlplane/translate/known_config_keys.h"

#include <algorithm>
#include <utility>

namespace ringway::translate {
namespace {

// docs/user-guide/nginx-configuration/configmap.md of ingress-nginx 1.15, without those that are
// read. Sorted.
constexpr std::string_view kNames[] = {
    "access-log-params",
    "access-log-path",
    "add-headers",
    "allow-backend-server-header",
    "allow-cross-namespace-resources",
    "allow-snippet-annotations",
    "annotation-value-word-blocklist",
    "annotations-risk-level",
    "bind-address",
    "block-cidrs",
    "block-referers",
    "block-user-agents",
    "brotli-level",
    "brotli-min-length",
    "brotli-types",
    "client-body-buffer-size",
    "client-header-buffer-size",
    "compute-full-forwarded-for",
    "custom-http-errors",
    "debug-connections",
    "default-type",
    "denylist-source-range",
    "disable-access-log",
    "disable-ipv6",
    "disable-ipv6-dns",
    "disable-proxy-intercept-errors",
    "enable-access-log-for-default-backend",
    "enable-aio-write",
    "enable-auth-access-log",
    "enable-brotli",
    "enable-modsecurity",
    "enable-multi-accept",
    "enable-ocsp",
    "enable-opentelemetry",
    "enable-owasp-modsecurity-crs",
    "enable-real-ip",
    "enable-serial-reloads",
    "enable-syslog",
    "enable-underscores-in-headers",
    "error-log-level",
    "error-log-path",
    "forwarded-for-header",
    "forwarded-for-proxy-protocol-header",
    "generate-request-id",
    "geoip2-autoreload-in-minutes",
    "global-allowed-response-headers",
    "global-auth-always-set-cookie",
    "global-auth-cache-duration",
    "global-auth-cache-key",
    "global-auth-method",
    "global-auth-request-redirect",
    "global-auth-response-headers",
    "global-auth-signin",
    "global-auth-signin-redirect-param",
    "global-auth-snippet",
    "global-auth-url",
    "global-rate-limit-memcached-host",
    "grpc-buffer-size-kb",
    "gzip-disable",
    "gzip-level",
    "gzip-min-length",
    "gzip-types",
    "hide-headers",
    "hsts-preload",
    "http-access-log-path",
    "http-snippet",
    "http2-max-field-size",
    "http2-max-header-size",
    "http2-max-requests",
    "ignore-invalid-headers",
    "limit-conn-status-code",
    "limit-conn-zone-variable",
    "limit-rate",
    "limit-rate-after",
    "limit-req-status-code",
    "location-snippet",
    "log-format-escape-json",
    "log-format-escape-none",
    "log-format-stream",
    "log-format-upstream",
    "lua-shared-dicts",
    "main-snippet",
    "map-hash-bucket-size",
    "max-worker-connections",
    "max-worker-open-files",
    "modsecurity-snippet",
    "nginx-status-ipv4-whitelist",
    "nginx-status-ipv6-whitelist",
    "no-auth-locations",
    "opentelemetry-config",
    "opentelemetry-operation-name",
    "opentelemetry-trust-incoming-span",
    "otel-max-export-batch-size",
    "otel-max-queuesize",
    "otel-sampler",
    "otel-sampler-parent-based",
    "otel-sampler-ratio",
    "otel-schedule-delay-millis",
    "otel-service-name",
    "otlp-collector-host",
    "otlp-collector-port",
    "proxy-add-original-uri-header",
    "proxy-buffer-size",
    "proxy-buffering",
    "proxy-buffers-number",
    "proxy-busy-buffers-size",
    "proxy-cookie-domain",
    "proxy-cookie-path",
    "proxy-headers-hash-bucket-size",
    "proxy-headers-hash-max-size",
    "proxy-hide-headers",
    "proxy-max-temp-file-size",
    "proxy-redirect-from",
    "proxy-redirect-to",
    "proxy-request-buffering",
    "proxy-set-headers",
    "proxy-ssl-location-only",
    "proxy-stream-responses",
    "relative-redirects",
    "reuse-port",
    "server-name-hash-bucket-size",
    "server-name-hash-max-size",
    "server-snippet",
    "server-tokens",
    "service-upstream",
    "skip-access-log-urls",
    "ssl-buffer-size",
    "ssl-ciphers",
    "ssl-dh-param",
    "ssl-early-data",
    "ssl-ecdh-curve",
    "ssl-reject-handshake",
    "ssl-session-cache",
    "ssl-session-cache-size",
    "ssl-session-ticket-key",
    "ssl-session-tickets",
    "ssl-session-timeout",
    "stream-access-log-path",
    "stream-snippet",
    "strict-validate-path-type",
    "syslog-host",
    "syslog-port",
    "upstream-hash-by",
    "use-geoip",
    "use-geoip2",
    "use-gzip",
    "use-port-in-redirects",
    "variables-hash-bucket-size",
    "variables-hash-max-size",
    "whitelist-source-range",
    "worker-cpu-affinity",
    "worker-processes",
    "worker-shutdown-timeout",
};
static_assert(std::ranges::is_sorted(kNames));

// Those that restrict who gets in: without them more is served than the author wanted. Sorted.
constexpr std::string_view kRestrictions[] = {
    "block-cidrs",           "block-referers",       "block-user-agents",
    "denylist-source-range", "enable-modsecurity",   "enable-owasp-modsecurity-crs",
    "global-auth-url",       "ssl-reject-handshake", "whitelist-source-range",
};
static_assert(std::ranges::is_sorted(kRestrictions));

// Matters of the proxy's flags; the chart makes them of these keys. Sorted.
constexpr std::string_view kOfTheChart[] = {"disable-access-log", "worker-processes",
                                            "worker-shutdown-timeout"};
static_assert(std::ranges::is_sorted(kOfTheChart));

// What is so without being asked for. Sorted.
constexpr std::pair<std::string_view, std::string_view> kSoAnyway[] = {
    {"allow-backend-server-header", "false"},
    {"allow-cross-namespace-resources", "false"},
    {"allow-snippet-annotations", "false"},
    {"compute-full-forwarded-for", "false"},
    {"enable-brotli", "false"},
    {"enable-modsecurity", "false"},
    {"enable-opentelemetry", "false"},
    {"enable-owasp-modsecurity-crs", "false"},
    {"enable-real-ip", "false"},
    {"enable-syslog", "false"},
    {"enable-underscores-in-headers", "false"},
    {"generate-request-id", "true"},
    {"hsts-preload", "false"},
    {"ignore-invalid-headers", "true"},
    {"proxy-buffering", "off"},
    {"server-tokens", "false"},
    {"service-upstream", "false"},
    {"ssl-early-data", "false"},
    {"ssl-reject-handshake", "false"},
    {"use-geoip", "false"},
    {"use-geoip2", "false"},
    {"use-gzip", "false"},
};
static_assert(std::ranges::is_sorted(kSoAnyway));

}  // namespace

std::string why_unused(std::string_view key, std::string_view value) {
  if (std::ranges::binary_search(kOfTheChart, key)) return "";
  if (std::ranges::binary_search(kSoAnyway, std::pair(key, value))) return "";
  if (std::ranges::binary_search(kRestrictions, key) && !value.empty()) {
    return "is not supported: everything is served WITHOUT this restriction";
  }
  if (key.ends_with("-snippet") || key == "allow-snippet-annotations") {
    return "is refused: there is no nginx configuration that a snippet could be put into";
  }
  if (std::ranges::binary_search(kNames, key)) return "is not supported and has no effect";
  return "is not a key of ingress-nginx and has no effect";
}

}  // namespace ringway::translate
