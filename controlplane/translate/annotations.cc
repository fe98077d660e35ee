#include "controlplane/translate/annotations.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <span>

#include "controlplane/translate/health_annotations.h"
#include "controlplane/translate/known_annotations.h"
#include "controlplane/translate/values.h"

namespace ringway::translate {
namespace {

using model::quote;
using model::Reason;

using Applied = Accepted;
constexpr std::string_view kNotOurs = "is not an annotation of Ringway";
constexpr auto kTaken = [] { return Applied(std::string()); };

template <class T, class Effect>
Applied apply(Value<T> value, Effect effect) {
  if (!value) return std::unexpected(std::move(value).error());
  effect(*std::move(value));
  return kTaken();
}

Applied ssl_redirect(std::string_view text, Settings& to) {
  return apply(parse_bool(text), [&](bool on) { to.ssl_redirect = on; });
}
Applied force_ssl_redirect(std::string_view text, Settings& to) {
  return apply(parse_bool(text), [&](bool on) { to.force_ssl_redirect = on; });
}
Applied permanent_redirect(std::string_view text, Settings& to) {
  return apply(parse_location(text),
               [&](std::string url) { to.permanent_redirect = std::move(url); });
}
Applied temporal_redirect(std::string_view text, Settings& to) {
  return apply(parse_location(text),
               [&](std::string url) { to.temporal_redirect = std::move(url); });
}

// 300, 304 to 306 are not redirects to a Location (RFC 9110 §15.4).
Applied redirect_code(std::string_view text, uint32_t& to) {
  const auto code = parse_number(text, 301, 308);
  if (!code || (*code >= 304 && *code <= 306)) {
    return std::unexpected("must be 301, 302, 303, 307 or 308, is " + quote(text));
  }
  to = *code;
  return kTaken();
}
Applied permanent_redirect_code(std::string_view text, Settings& to) {
  return redirect_code(text, to.permanent_redirect_code);
}
Applied temporal_redirect_code(std::string_view text, Settings& to) {
  return redirect_code(text, to.temporal_redirect_code);
}

Applied rewrite_target(std::string_view text, Settings& to) {
  return apply(parse_rewrite(text), [&](std::string path) { to.rewrite_target = std::move(path); });
}
Applied ssl_passthrough(std::string_view text, Settings& to) {
  return apply(parse_bool(text), [&](bool on) { to.ssl_passthrough = on; });
}
Applied use_regex(std::string_view text, Settings& to) {
  return apply(parse_bool(text), [&](bool on) { to.use_regex = on; });
}
Applied connect_timeout(std::string_view text, Settings& to) {
  return apply(parse_duration_ms(text), [&](uint32_t ms) { to.timeouts.set_connect_ms(ms); });
}
Applied read_timeout(std::string_view text, Settings& to) {
  return apply(parse_duration_ms(text), [&](uint32_t ms) { to.timeouts.set_response_idle_ms(ms); });
}
Applied send_timeout(std::string_view text, Settings& to) {
  return apply(parse_duration_ms(text), [&](uint32_t ms) { to.timeouts.set_request_idle_ms(ms); });
}

Applied body_size(std::string_view text, Settings& to) {
  return apply(parse_bytes(text), [&](uint64_t bytes) {
    to.request_body_bytes_max = bytes == 0 ? std::numeric_limits<uint64_t>::max() : bytes;
  });
}

Applied next_upstream(std::string_view text, Settings& to) {
  std::string ignored;
  v1::RetryPolicy retry = to.retry;
  retry.set_off(false);
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find(' ', at), text.size());
    const std::string_view word = text.substr(at, end - at);
    at = end + 1;
    if (word == "off") {
      retry.set_off(true);
    } else if (word == "non_idempotent") {
      retry.set_non_idempotent(true);
    } else if (word == "invalid_header" || word == "http_429" || word == "http_403" ||
               word == "http_404" || word == "http_500" || word == "http_502" ||
               word == "http_503" || word == "http_504") {
      ignored += (ignored.empty() ? "" : " ") + std::string(word);
    } else if (!word.empty() && word != "error" && word != "timeout") {
      return std::unexpected(
          "must be words of \"error timeout invalid_header http_500 http_502 "
          "http_503 http_504 http_403 http_404 http_429 non_idempotent off\", "
          "is " +
          quote(text));
    }
  }
  to.retry = retry;
  if (ignored.empty()) return kTaken();
  return "retries happen on \"error\" and \"timeout\" only; ignored: " + ignored;
}

Applied next_upstream_tries(std::string_view text, Settings& to) {
  // 0 is no limit in nginx, which tries each server once; so many endpoints are never worth trying.
  constexpr uint32_t kTriesMax = 16;
  return apply(parse_number(text, 0, 1000), [&](uint32_t tries) {
    to.retry.set_tries(tries == 0 ? kTriesMax : std::min(tries, kTriesMax));
  });
}
Applied next_upstream_timeout(std::string_view text, Settings& to) {
  if (text == "0") return kTaken();  // No limit, which is the default.
  return apply(parse_duration_ms(text), [&](uint32_t ms) { to.retry.set_timeout_ms(ms); });
}

Applied backend_protocol(std::string_view text, Settings& to) {
  constexpr std::pair<std::string_view, BackendProtocol> kProtocols[] = {
      {"HTTP", BackendProtocol::kHttp},
      {"HTTPS", BackendProtocol::kHttps},
      {"GRPC", BackendProtocol::kGrpc},
      {"GRPCS", BackendProtocol::kGrpcs},
      {"AUTO_HTTP", BackendProtocol::kAutoHttp}};
  for (const auto& [name, protocol] : kProtocols) {
    if (text != name) continue;
    to.protocol = protocol;
    return kTaken();
  }
  // Clear text to a backend that expects something else would give requests away, so it gets none.
  to.protocol_refused = true;
  return std::unexpected("must be HTTP, HTTPS, GRPC, GRPCS or AUTO_HTTP, is " + quote(text) +
                         "; the paths of this Ingress answer 503");
}

Applied load_balance(std::string_view text, Settings& to) {
  if (text == "round_robin") {
    to.balancer = v1::BALANCER_ROUND_ROBIN;
  } else if (text == "least_request") {
    to.balancer = v1::BALANCER_LEAST_REQUEST;
  } else if (text == "ewma") {
    to.balancer = v1::BALANCER_LEAST_REQUEST;
    return "ewma is not supported; least_request is used";
  } else {
    return std::unexpected("must be \"round_robin\" or \"least_request\", is " + quote(text));
  }
  return kTaken();
}

Applied grpc_web(std::string_view text, Settings& to) {
  return apply(parse_bool(text), [&](bool on) { to.grpc_web = on; });
}
Applied tunnel_idle_timeout(std::string_view text, Settings& to) {
  return apply(parse_duration_ms(text), [&](uint32_t ms) { to.timeouts.set_tunnel_idle_ms(ms); });
}
Applied tunnel_lifetime(std::string_view text, Settings& to) {
  return apply(parse_duration_ms(text),
               [&](uint32_t ms) { to.timeouts.set_tunnel_lifetime_ms(ms); });
}

struct Row {
  std::string_view name;
  Applied (*apply)(std::string_view text, Settings& to);
};

// Sorted by name.
constexpr Row kRows[] = {
    {"backend-protocol", backend_protocol},
    {"force-ssl-redirect", force_ssl_redirect},
    {"load-balance", load_balance},
    {"permanent-redirect", permanent_redirect},
    {"permanent-redirect-code", permanent_redirect_code},
    {"proxy-body-size", body_size},
    {"proxy-connect-timeout", connect_timeout},
    {"proxy-next-upstream", next_upstream},
    {"proxy-next-upstream-timeout", next_upstream_timeout},
    {"proxy-next-upstream-tries", next_upstream_tries},
    {"proxy-read-timeout", read_timeout},
    {"proxy-send-timeout", send_timeout},
    {"rewrite-target", rewrite_target},
    {"ssl-passthrough", ssl_passthrough},
    {"ssl-redirect", ssl_redirect},
    {"temporal-redirect", temporal_redirect},
    {"temporal-redirect-code", temporal_redirect_code},
    {"use-regex", use_regex},
};
static_assert(std::ranges::is_sorted(kRows, {}, &Row::name));

// What ingress-nginx has no name for. Sorted by name.
constexpr std::string_view kOwnPrefix = "ringway.dev/";
constexpr Row kOwnRows[] = {
    {"grpc-web", grpc_web},
    {"tunnel-idle-timeout", tunnel_idle_timeout},
    {"tunnel-lifetime", tunnel_lifetime},
};
static_assert(std::ranges::is_sorted(kOwnRows, {}, &Row::name));

const Row* find_row(std::span<const Row> rows, std::string_view name) {
  const auto row = std::ranges::lower_bound(rows, name, {}, &Row::name);
  return row == rows.end() || row->name != name ? nullptr : &*row;
}

// The name behind our own prefix when it is not a health check's, which are read elsewhere.
std::optional<std::string_view> own_name(std::string_view key) {
  if (!key.starts_with(kOwnPrefix)) return std::nullopt;
  const std::string_view name = key.substr(kOwnPrefix.size());
  return is_health_annotation(name) ? std::nullopt : std::optional(name);
}

void read_one(const std::string& key, const Row* row, std::string_view why_unknown,
              std::string_view text, Settings& to, Report& report) {
  const std::string field = "metadata.annotations[" + key + "]";
  if (row == nullptr) {
    return report.warning(field, Reason::kUnsupportedAnnotation, std::string(why_unknown));
  }
  const Applied applied = row->apply(text, to);
  if (!applied) {
    report.error(field, Reason::kInvalidAnnotation, applied.error());
  } else if (!applied->empty()) {
    report.warning(field, Reason::kUnsupportedAnnotation, *applied);
  }
}

}  // namespace

std::optional<Applied> apply_setting(std::string_view name, std::string_view text, Settings& to) {
  const Row* row = find_row(kRows, name);
  return row == nullptr ? std::nullopt : std::optional(row->apply(text, to));
}

Settings read_ingress_annotations(const Annotations& annotations, std::string_view prefix,
                                  const Settings& defaults, Report& report) {
  Settings settings = defaults;
  for (const auto& [key, text] : annotations) {
    if (std::string_view(key).starts_with(prefix)) {
      const std::string_view name = std::string_view(key).substr(prefix.size());
      read_one(key, find_row(kRows, name), why_unsupported(name), text, settings, report);
    } else if (const auto own = own_name(key)) {
      read_one(key, find_row(kOwnRows, *own), kNotOurs, text, settings, report);
    }
  }
  settings.health_check = read_health_check(annotations, report);
  return settings;
}

std::optional<v1::HealthCheck> read_service_annotations(const Annotations& annotations,
                                                        Report& report) {
  for (const auto& [key, text] : annotations) {
    const auto own = own_name(key);
    if (!own) continue;
    report.warning("metadata.annotations[" + key + "]", Reason::kUnsupportedAnnotation,
                   find_row(kOwnRows, *own) == nullptr
                       ? std::string(kNotOurs)
                       : "has an effect on an Ingress, not on a Service");
  }
  return read_health_check(annotations, report);
}

std::vector<std::string_view> own_annotation_names() {
  std::vector<std::string_view> names;
  for (const Row& row : kOwnRows) names.push_back(row.name);
  return names;
}

std::vector<std::string_view> ingress_annotation_names() {
  std::vector<std::string_view> names;
  for (const Row& row : kRows) names.push_back(row.name);
  return names;
}

}  // namespace ringway::translate
