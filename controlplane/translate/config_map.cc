#include "controlplane/translate/config_map.h"

#include <algorithm>
#include <limits>

#include "controlplane/translate/known_config_keys.h"
#include "controlplane/translate/options.h"
#include "controlplane/translate/report.h"
#include "controlplane/translate/values.h"

namespace ringway::translate {
namespace {

using model::quote;
using model::Reason;
using Applied = Accepted;

template <class T, class Effect>
Applied apply(Value<T> value, Effect effect) {
  if (!value) return std::unexpected(std::move(value).error());
  effect(*std::move(value));
  return Applied();
}

// Most rows: a parsed value into one member.
constexpr uint32_t kMany = std::numeric_limits<int32_t>::max();

std::vector<std::string> split(std::string_view text) {
  std::vector<std::string> parts;
  while (true) {
    const size_t comma = std::min(text.find(','), text.size());
    std::string_view part = text.substr(0, comma);
    while (part.starts_with(' ')) part.remove_prefix(1);
    while (part.ends_with(' ')) part.remove_suffix(1);
    if (!part.empty()) parts.emplace_back(part);
    if (comma == text.size()) return parts;
    text.remove_prefix(comma + 1);
  }
}

// ---- of every Ingress ----

// The key of an annotation's name, value and effect.
template <size_t size>
struct Name {
  char text[size];
  constexpr Name(const char (&from)[size]) { std::copy_n(from, size, text); }
};
template <Name name>
Applied as_annotation(std::string_view text, GlobalSettings& to) {
  return *apply_setting(name.text, text, to.defaults);
}

Applied retry_non_idempotent(std::string_view text, GlobalSettings& to) {
  return apply(parse_bool(text), [&](bool on) { to.defaults.retry.set_non_idempotent(on); });
}

Applied http_redirect_code(std::string_view text, GlobalSettings& to) {
  const auto code = parse_number(text, 301, 308);
  if (!code || (*code != 301 && *code != 302 && *code != 307 && *code != 308)) {
    return std::unexpected("must be 301, 302, 307 or 308, is " + quote(text));
  }
  to.defaults.https_redirect_code = *code;
  return Applied();
}

Applied no_tls_redirect_locations(std::string_view text, GlobalSettings& to) {
  std::vector<std::string> prefixes = split(text);
  for (const std::string& prefix : prefixes) {
    if (!check_path(prefix)) {
      return std::unexpected("must be paths, separated by commas, is " + quote(text));
    }
  }
  to.defaults.no_tls_redirect = std::move(prefixes);
  return Applied();
}

// ---- of listeners ----

Applied client_header_timeout(std::string_view text, GlobalSettings& to) {
  return apply(parse_duration_ms(text), [&](uint32_t ms) { to.http.set_header_timeout_ms(ms); });
}
Applied client_body_timeout(std::string_view text, GlobalSettings& to) {
  return apply(parse_duration_ms(text), [&](uint32_t ms) { to.http.set_body_timeout_ms(ms); });
}
Applied keep_alive(std::string_view text, GlobalSettings& to) {
  return apply(parse_duration_ms(text), [&](uint32_t ms) { to.http.set_idle_timeout_ms(ms); });
}
Applied keep_alive_requests(std::string_view text, GlobalSettings& to) {
  return apply(parse_number(text, 1, kMany),
               [&](uint32_t requests) { to.http.set_keep_alive_requests_max(requests); });
}
Applied use_http2(std::string_view text, GlobalSettings& to) {
  return apply(parse_bool(text), [&](bool on) { to.http.set_http2_disabled(!on); });
}
Applied http2_streams(std::string_view text, GlobalSettings& to) {
  return apply(parse_number(text, 1, 1000),
               [&](uint32_t streams) { to.http.set_http2_streams_max(streams); });
}
Applied use_forwarded_headers(std::string_view text, GlobalSettings& to) {
  return apply(parse_bool(text), [&](bool on) { to.http.set_trust_forwarded(on); });
}
Applied hsts(std::string_view text, GlobalSettings& to) {
  return apply(parse_bool(text), [&](bool on) { to.http.set_hsts(on); });
}
Applied hsts_max_age(std::string_view text, GlobalSettings& to) {
  return apply(parse_number(text, 1, kMany),
               [&](uint32_t seconds) { to.http.set_hsts_max_age_seconds(seconds); });
}
Applied hsts_include_subdomains(std::string_view text, GlobalSettings& to) {
  return apply(parse_bool(text), [&](bool on) { to.http.set_hsts_include_subdomains(on); });
}

// "4 8k": neither the request line nor one field is longer than a buffer, all not than all of them.
Applied large_client_header_buffers(std::string_view text, GlobalSettings& to) {
  constexpr uint64_t kBytesMax = 1 << 20;  // Of the discovery API.
  const size_t space = text.find(' ');
  const auto count = parse_number(text.substr(0, space), 1, 1024);
  const auto size = parse_bytes(space == std::string_view::npos ? "" : text.substr(space + 1));
  if (!count || !size || *size < 256 || *count * *size > kBytesMax) {
    return std::unexpected("must be a number and a size, as \"4 8k\", 1 MiB in all at most, is " +
                           quote(text));
  }
  const auto bytes = static_cast<uint32_t>(*size);
  to.http.set_request_line_bytes_max(bytes);
  to.http.set_header_bytes_max(bytes);
  to.http.set_headers_bytes_max(*count * bytes);
  return Applied();
}

Applied ssl_protocols(std::string_view text, GlobalSettings& to) {
  bool v12 = false, v13 = false, old = false, known = true;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find(' ', at), text.size());
    const std::string_view word = text.substr(at, end - at);
    at = end + 1;
    v12 = v12 || word == "TLSv1.2";
    v13 = v13 || word == "TLSv1.3";
    const bool is_old = word == "TLSv1" || word == "TLSv1.1" || word == "SSLv3" || word == "SSLv2";
    old = old || is_old;
    known = known && (word.empty() || is_old || word == "TLSv1.2" || word == "TLSv1.3");
  }
  if (!known || (!v12 && !v13)) {
    return std::unexpected("must be \"TLSv1.2 TLSv1.3\" or \"TLSv1.3\", is " + quote(text));
  }
  to.tls_version_min = v12 ? v1::TLS_VERSION_1_2 : v1::TLS_VERSION_1_3;
  if (v12 && !v13) return "TLS 1.3 is spoken too";
  return old ? Applied("versions before TLS 1.2 are not spoken") : Applied();
}

Applied use_proxy_protocol(std::string_view text, GlobalSettings& to) {
  return apply(parse_bool(text), [&](bool on) { to.use_proxy_protocol = on; });
}
Applied proxy_real_ip_cidr(std::string_view text, GlobalSettings& to) {
  std::vector<std::string> ranges = split(text);
  if (ranges.empty() || !std::ranges::all_of(ranges, valid_cidr)) {
    return std::unexpected("must be ranges of addresses, separated by commas, is " + quote(text));
  }
  to.proxy_real_ip_cidrs = std::move(ranges);
  return Applied();
}
Applied proxy_protocol_timeout(std::string_view text, GlobalSettings& to) {
  return apply(parse_duration_ms(text), [&](uint32_t ms) { to.proxy_protocol_timeout_ms = ms; });
}

// ---- of clusters ----

Applied keepalive_connections(std::string_view text, GlobalSettings& to) {
  return apply(parse_number(text, 1, kMany),
               [&](uint32_t connections) { to.pool.set_idle_max(connections); });
}
Applied keepalive_requests(std::string_view text, GlobalSettings& to) {
  return apply(parse_number(text, 1, kMany),
               [&](uint32_t requests) { to.pool.set_requests_max(requests); });
}
Applied keepalive_time(std::string_view text, GlobalSettings& to) {
  return apply(parse_duration_ms(text), [&](uint32_t ms) { to.pool.set_age_max_ms(ms); });
}
Applied keepalive_timeout(std::string_view text, GlobalSettings& to) {
  return apply(parse_duration_ms(text), [&](uint32_t ms) { to.pool.set_idle_timeout_ms(ms); });
}

// ---- of streams ----

Applied stream_connect_timeout(std::string_view text, GlobalSettings& to) {
  return apply(parse_duration_ms(text), [&](uint32_t ms) { to.stream.set_connect_timeout_ms(ms); });
}
Applied stream_timeout(std::string_view text, GlobalSettings& to) {
  return apply(parse_duration_ms(text), [&](uint32_t ms) { to.stream.set_idle_timeout_ms(ms); });
}
Applied stream_next_upstream(std::string_view text, GlobalSettings& to) {
  return apply(parse_bool(text), [&](bool on) {
    if (!on) to.stream.set_tries(1);
  });
}
Applied stream_tries(std::string_view text, GlobalSettings& to) {
  constexpr uint32_t kTriesMax = 8;  // Of the proxy.
  return apply(parse_number(text, 0, 1000), [&](uint32_t tries) {
    if (to.stream.tries() == 1) return;  // Off; the keys come in the order of the table.
    to.stream.set_tries(tries == 0 ? kTriesMax : std::min(tries, kTriesMax));
  });
}
Applied stream_tries_timeout(std::string_view text, GlobalSettings& to) {
  return apply(parse_duration_ms(text), [&](uint32_t ms) { to.stream.set_tries_timeout_ms(ms); });
}

struct Row {
  std::string_view key;
  Applied (*apply)(std::string_view text, GlobalSettings& to);
};

// Sorted by key.
constexpr Row kRows[] = {
    {"client-body-timeout", client_body_timeout},
    {"client-header-timeout", client_header_timeout},
    {"force-ssl-redirect", as_annotation<"force-ssl-redirect">},
    {"hsts", hsts},
    {"hsts-include-subdomains", hsts_include_subdomains},
    {"hsts-max-age", hsts_max_age},
    {"http-redirect-code", http_redirect_code},
    {"http2-max-concurrent-streams", http2_streams},
    {"keep-alive", keep_alive},
    {"keep-alive-requests", keep_alive_requests},
    {"large-client-header-buffers", large_client_header_buffers},
    {"load-balance", as_annotation<"load-balance">},
    {"no-tls-redirect-locations", no_tls_redirect_locations},
    {"proxy-body-size", as_annotation<"proxy-body-size">},
    {"proxy-connect-timeout", as_annotation<"proxy-connect-timeout">},
    {"proxy-next-upstream", as_annotation<"proxy-next-upstream">},
    {"proxy-next-upstream-timeout", as_annotation<"proxy-next-upstream-timeout">},
    {"proxy-next-upstream-tries", as_annotation<"proxy-next-upstream-tries">},
    {"proxy-protocol-header-timeout", proxy_protocol_timeout},
    {"proxy-read-timeout", as_annotation<"proxy-read-timeout">},
    {"proxy-real-ip-cidr", proxy_real_ip_cidr},
    {"proxy-send-timeout", as_annotation<"proxy-send-timeout">},
    {"proxy-stream-connect-timeout", stream_connect_timeout},
    {"proxy-stream-next-upstream", stream_next_upstream},
    {"proxy-stream-next-upstream-timeout", stream_tries_timeout},
    {"proxy-stream-next-upstream-tries", stream_tries},
    {"proxy-stream-timeout", stream_timeout},
    {"retry-non-idempotent", retry_non_idempotent},
    {"ssl-protocols", ssl_protocols},
    {"ssl-redirect", as_annotation<"ssl-redirect">},
    {"upstream-keepalive-connections", keepalive_connections},
    {"upstream-keepalive-requests", keepalive_requests},
    {"upstream-keepalive-time", keepalive_time},
    {"upstream-keepalive-timeout", keepalive_timeout},
    {"use-forwarded-headers", use_forwarded_headers},
    {"use-http2", use_http2},
    {"use-proxy-protocol", use_proxy_protocol},
};
static_assert(std::ranges::is_sorted(kRows, {}, &Row::key));

// Without white space around it, which a block of YAML leaves behind.
std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
  while (text.starts_with(' ')) text.remove_prefix(1);
  return text;
}

}  // namespace

GlobalSettings read_config_map(const model::Object& object, std::vector<model::Problem>& problems) {
  const auto& data = std::get<kubernetes::ConfigMap>(object.body).data();
  Report report(object.key, object.location, problems);
  GlobalSettings out;
  out.http.set_hsts_include_subdomains(true);  // ingress-nginx's default, where hsts is on.
  for (const Row& row : kRows) {               // The map has no order of its own.
    const auto at = data.find(std::string(row.key));
    if (at == data.end()) continue;
    const std::string field = "data[" + at->first + "]";
    const Applied applied = row.apply(trimmed(at->second), out);
    if (!applied) {
      report.error(field, Reason::kInvalidValue, applied.error());
    } else if (!applied->empty()) {
      report.warning(field, Reason::kInvalidValue, *applied);
    }
  }
  if (!out.http.hsts()) {
    out.http.clear_hsts_include_subdomains();
    out.http.clear_hsts_max_age_seconds();
  }
  for (const auto& [key, text] : data) {
    if (std::ranges::binary_search(kRows, std::string_view(key), {}, &Row::key)) continue;
    std::string why = why_unused(key, trimmed(text));
    if (!why.empty()) {
      report.warning("data[" + key + "]", Reason::kUnsupportedKey, std::move(why));
    }
  }
  return out;
}

std::vector<std::string_view> config_map_keys() {
  std::vector<std::string_view> keys;
  for (const Row& row : kRows) keys.push_back(row.key);
  return keys;
}

}  // namespace ringway::translate
