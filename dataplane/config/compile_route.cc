#include "dataplane/config/compile_route.h"

#include <algorithm>

#include "base/clock.h"
#include "dataplane/http/path.h"
#include "dataplane/route/host_name.h"

namespace ringway::config {
namespace {

constexpr uint32_t kPathBytesMax = 4096;
constexpr size_t kBodyBytesMax = 64 << 10;  // FixedResponse.body
constexpr uint32_t kWeightSumMax = 1u << 30;
constexpr std::string_view kAcmePath =
    "/.well-known/acme-challenge";  // no-tls-redirect-locations of ingress-nginx.

bool is_redirect(uint32_t status) { return status >= 300 && status <= 399; }

bool is_hex(char c) { return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f'); }

// Bytes that may stand in a header field of ours.
bool is_field_text(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c >= ' ' && c <= '~'; });
}

// As written: what people know the path by.
std::string_view path_text(const v1::PathMatch& path) {
  switch (path.kind_case()) {
    case v1::PathMatch::kExact:
      return path.exact();
    case v1::PathMatch::kPrefix:
      return path.prefix();
    case v1::PathMatch::kStringPrefix:
      return path.string_prefix();
    case v1::PathMatch::kRegex:
      return path.regex();
    case v1::PathMatch::KIND_NOT_SET:
      break;
  }
  return {};
}

route::Timeouts compile_timeouts(const v1::Timeouts& in) {
  route::Timeouts out;
  if (in.connect_ms() != 0) out.connect_ns = in.connect_ms() * kNsPerMs;
  if (in.response_idle_ms() != 0) out.response_idle_ns = in.response_idle_ms() * kNsPerMs;
  if (in.request_idle_ms() != 0) out.request_idle_ns = in.request_idle_ms() * kNsPerMs;
  out.request_total_ns = in.request_total_ms() * kNsPerMs;
  out.tunnel_idle_ns = in.tunnel_idle_ms() * kNsPerMs;
  out.tunnel_lifetime_ns = in.tunnel_lifetime_ms() * kNsPerMs;
  return out;
}

route::RetryPolicy compile_retry(const v1::RetryPolicy& in) {
  route::RetryPolicy out;
  if (in.tries() != 0) out.tries = in.tries();
  if (in.off()) out.tries = 1;
  out.timeout_ns = in.timeout_ms() * kNsPerMs;
  out.non_idempotent = in.non_idempotent();
  if (in.replay_bytes_max() != 0) out.replay_bytes_max = in.replay_bytes_max();
  if (in.budget_percent() != 0) out.budget_percent = in.budget_percent();
  return out;
}

std::expected<route::HttpsRedirect, std::string> compile_https_redirect(
    const v1::HttpsRedirect& in) {
  route::HttpsRedirect out;
  if (in.status() != 0) {
    if (!is_redirect(in.status()))
      return std::unexpected("status of the https redirect is not in 300..399");
    out.status = static_cast<uint16_t>(in.status());
  }
  out.exempt_prefixes.assign(in.exempt_prefixes().begin(), in.exempt_prefixes().end());
  if (out.exempt_prefixes.empty()) out.exempt_prefixes.emplace_back(kAcmePath);
  return out;
}

}  // namespace

bool is_route_host(std::string_view host) {
  if (host == "*") return true;
  if (host.starts_with("*.")) host.remove_prefix(2);
  if (host.empty() || host.size() + 2 > route::kHostBytesMax || host.starts_with('.') ||
      host.ends_with('.'))
    return false;
  return std::ranges::all_of(host, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' ||
           c == '~';
  });
}

RouteCompiler::RouteCompiler(ClusterSlots& clusters, MetricsSlots& metrics)
    : clusters_(clusters),
      metrics_(metrics),
      pool_({.buffer_bytes = 4 * kPathBytesMax, .buffers = 1, .buffers_max = 4}) {}

// Requests are matched in their canonical form; so must be what they are matched with. An Ingress
// path is plain text: bytes that a request carries as escapes (RFC 3986 section 2.1) are escaped
// here, and a '%' that begins no escape stands for itself.
std::expected<std::string, std::string> RouteCompiler::canonical_rule(std::string_view path) {
  if (!path.starts_with('/')) return std::unexpected("path does not start with '/'");
  if (path.size() > kPathBytesMax) return std::unexpected("path is longer than 4096 bytes");
  std::string escaped;
  for (size_t i = 0; i < path.size(); ++i) {
    const auto byte = static_cast<unsigned char>(path[i]);
    const bool escape_begins = i + 2 < path.size() && is_hex(path[i + 1]) && is_hex(path[i + 2]);
    const bool stays =
        byte == '%' ? escape_begins
                    : byte > ' ' && byte <= '~' && byte != '#' && byte != '?' && byte != '\\';
    if (stays) {
      escaped += path[i];
    } else {
      constexpr char kHex[] = "0123456789ABCDEF";
      escaped += '%';
      escaped += kHex[byte >> 4];
      escaped += kHex[byte & 15];
    }
  }
  if (http::is_canonical_path(escaped)) return escaped;
  const auto canonical = http::canonical_path(escaped, pool_);
  if (!canonical) return std::unexpected("path can match no request");
  return std::string(canonical->path);
}

std::expected<route::PathRule, std::string> RouteCompiler::compile_path(const v1::Route& in) {
  route::PathRule rule{
      .kind = route::PathKind::kExact, .path = {}, .priority = in.priority(), .route = nullptr};
  const std::string* text = nullptr;
  switch (in.path().kind_case()) {
    case v1::PathMatch::kExact:
      rule.kind = route::PathKind::kExact;
      text = &in.path().exact();
      break;
    case v1::PathMatch::kPrefix:
      rule.kind = route::PathKind::kPrefix;
      text = &in.path().prefix();
      break;
    case v1::PathMatch::kStringPrefix:
      rule.kind = route::PathKind::kStringPrefix;
      text = &in.path().string_prefix();
      break;
    case v1::PathMatch::kRegex: {
      auto pattern = route::Pattern::make(in.path().regex());
      if (!pattern)
        return std::unexpected("regex \"" + in.path().regex() + "\": " + pattern.error());
      rule.kind = route::PathKind::kRegex;
      rule.path = in.path().regex();
      rule.pattern = *std::move(pattern);
      return rule;
    }
    case v1::PathMatch::KIND_NOT_SET:
      return std::unexpected("there is no path");
  }
  auto path = canonical_rule(*text);
  if (!path) return std::unexpected(std::move(path.error()));
  rule.path = *std::move(path);
  return rule;
}

std::expected<void, std::string> RouteCompiler::compile_action(const v1::Route& in,
                                                               route::Route& out,
                                                               CompiledTable& table) {
  switch (in.action_case()) {
    case v1::Route::kBackend:
      out.action = route::ActionKind::kBackend;
      for (const v1::WeightedCluster& cluster : in.backend().clusters()) {
        const uint32_t weight = cluster.weight() == 0 ? 1 : cluster.weight();
        if (weight > kWeightSumMax || out.weight_total + weight > kWeightSumMax) {
          return std::unexpected("weights of the backends are too large");
        }
        const auto slot_of = [&](const std::string& name) {
          if (name.empty()) return route::kNoCluster;
          table.clusters.push_back(clusters_.take(name));
          return table.clusters.back()->slot;
        };
        const uint32_t slot = slot_of(cluster.cluster());
        const std::string& by_https = cluster.https_cluster();
        out.clusters.push_back({slot, weight, by_https.empty() ? slot : slot_of(by_https)});
        out.weight_total += weight;
      }
      return {};
    case v1::Route::kRedirect:
      out.action = route::ActionKind::kRedirect;
      if (!is_redirect(in.redirect().status()))
        return std::unexpected("status of the redirect is not in 300..399");
      if (in.redirect().location().empty() || !is_field_text(in.redirect().location())) {
        return std::unexpected("location of the redirect is not a URL");
      }
      out.status = static_cast<uint16_t>(in.redirect().status());
      out.location = in.redirect().location();
      return {};
    case v1::Route::kFixedResponse:
      out.action = route::ActionKind::kFixedResponse;
      if (in.fixed_response().status() < 200 || in.fixed_response().status() > 599) {
        return std::unexpected("status of the fixed response is not in 200..599");
      }
      if (in.fixed_response().body().size() > kBodyBytesMax)
        return std::unexpected("fixed response is above 64 KiB");
      out.status = static_cast<uint16_t>(in.fixed_response().status());
      out.body = in.fixed_response().body();
      return {};
    case v1::Route::ACTION_NOT_SET:
      break;
  }
  return std::unexpected("there is no action that this proxy knows");
}

std::expected<std::shared_ptr<const route::Route>, std::string> RouteCompiler::compile_route(
    const v1::Route& in, std::string_view host, const route::PathRule& rule, CompiledTable& table) {
  auto out = std::make_shared<route::Route>();
  out->name = in.name();
  out->namespace_name = in.metadata().namespace_();
  out->ingress = in.metadata().ingress();
  out->service = in.metadata().service();
  out->service_port = in.metadata().service_port();
  if (auto done = compile_action(in, *out, table); !done)
    return std::unexpected(std::move(done.error()));
  if (in.has_https_redirect()) {
    auto redirect = compile_https_redirect(in.https_redirect());
    if (!redirect) return std::unexpected(std::move(redirect.error()));
    out->https_redirect = *std::move(redirect);
  }
  if (in.has_rewrite() && !in.rewrite().template_().empty()) {
    // Of a path that is no regex the template has no captures to take: the match is the path's
    // text.
    auto rewrite = rule.pattern != nullptr
                       ? route::make_rewrite(rule.pattern, in.rewrite().template_())
                       : route::make_rewrite(".*", in.rewrite().template_());
    if (!rewrite) return std::unexpected(std::move(rewrite.error()));
    out->rewrite = *std::move(rewrite);
  }
  out->timeouts = compile_timeouts(in.timeouts());
  out->retry = compile_retry(in.retry());
  if (in.request_body_bytes_max() != 0) out->request_body_bytes_max = in.request_body_bytes_max();
  out->grpc_web = in.grpc_web();
  auto lease = metrics_.take({out->namespace_name, out->ingress, out->service, std::string(host),
                              std::string(path_text(in.path()))});
  out->metrics_slot = lease->slot;
  out->metrics_lease = std::move(lease);
  return out;
}

std::expected<CompiledTable, std::string> RouteCompiler::compile(const v1::RouteTable& in) {
  CompiledTable out;
  std::vector<route::PathRule> rules;
  rules.reserve(static_cast<size_t>(in.routes_size()));
  for (const v1::Route& route : in.routes()) {
    auto rule = compile_path(route);
    if (!rule) return std::unexpected("route " + route.name() + ": " + rule.error());
    if (rule->kind == route::PathKind::kRegex && !in.regex()) {
      return std::unexpected("route " + route.name() + ": regex path in a table without regex");
    }
    auto compiled = compile_route(route, in.host(), *rule, out);
    if (!compiled) return std::unexpected("route " + route.name() + ": " + compiled.error());
    rule->route = *std::move(compiled);
    rules.push_back(*std::move(rule));
  }
  std::vector<std::string> problems;
  out.table = std::make_shared<const route::RouteTable>(std::move(rules), problems);
  if (!problems.empty()) return std::unexpected(std::move(problems.front()));
  out.clusters.shrink_to_fit();
  return out;
}

}  // namespace ringway::config
