#include "dataplane/config/compile_cluster.h"

#include <algorithm>
#include <unordered_set>

#include "base/clock.h"

namespace ringway::config {
namespace {

constexpr uint32_t kWeightMax = 1'000'000;  // Sums of any number of endpoints stay far below 2^63.

uint64_t ns_or(uint32_t ms, uint64_t fallback_ns) { return ms == 0 ? fallback_ns : ms * kNsPerMs; }
uint32_t number_or(uint32_t value, uint32_t fallback) { return value == 0 ? fallback : value; }

// Text that is written into a check's request head.
bool is_plain(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c > ' ' && c <= '~'; });
}

std::expected<void, std::string> compile_http_check(const v1::HttpCheck& in,
                                                    upstream::HealthCheckPolicy& out) {
  out.kind = upstream::HealthCheckPolicy::Kind::kHttp;
  if (!in.path().empty()) out.path = in.path();
  if (!out.path.starts_with('/') || !is_plain(out.path))
    return std::unexpected("health check path is not a path");
  out.host = in.host();
  if (!is_plain(out.host)) return std::unexpected("health check host is not a host name");
  if (in.expected_size() != 0) out.expected.clear();
  for (const v1::StatusRange& range : in.expected()) {
    if (range.first() < 100 || range.last() > 599 || range.first() > range.last()) {
      return std::unexpected("health check expects a status that is not in 100..599");
    }
    out.expected.push_back(
        {static_cast<uint16_t>(range.first()), static_cast<uint16_t>(range.last())});
  }
  out.body_contains = in.body_contains();
  if (out.body_contains.size() > 4096)
    return std::unexpected("health check text is longer than 4096 bytes");
  return {};
}

std::expected<void, std::string> compile_health_check(const v1::HealthCheck& in, bool http2,
                                                      upstream::HealthCheckPolicy& out) {
  if (in.has_http()) {
    if (auto done = compile_http_check(in.http(), out); !done) return done;
  } else if (in.has_tcp()) {
    out.kind = upstream::HealthCheckPolicy::Kind::kTcp;
  } else if (in.has_grpc()) {
    if (!http2) return std::unexpected("a gRPC health check needs protocol HTTP2");
    out.kind = upstream::HealthCheckPolicy::Kind::kGrpc;
    out.grpc_service = in.grpc().service();
    out.host = in.grpc().host();
    if (!is_plain(out.host)) return std::unexpected("health check host is not a host name");
    if (out.grpc_service.size() > 1024)
      return std::unexpected("health check service is longer than 1024 bytes");
  } else {
    return std::unexpected("health check is none of http, tcp and grpc");
  }
  out.interval_ns = ns_or(in.interval_ms(), out.interval_ns);
  out.timeout_ns = ns_or(in.timeout_ms(), out.timeout_ns);
  out.unhealthy_threshold = number_or(in.unhealthy_threshold(), out.unhealthy_threshold);
  out.healthy_threshold = number_or(in.healthy_threshold(), out.healthy_threshold);
  out.jitter_percent = std::min(100u, number_or(in.jitter_percent(), out.jitter_percent));
  return {};
}

}  // namespace

std::expected<void, std::string> compile_cluster_policy(const v1::Cluster& in,
                                                        upstream::Cluster& out) {
  switch (in.protocol()) {
    case v1::UPSTREAM_PROTOCOL_UNSPECIFIED:
    case v1::UPSTREAM_PROTOCOL_HTTP1:
      out.protocol = in.has_tls() ? upstream::Protocol::kHttp1Tls : upstream::Protocol::kHttp1;
      break;
    case v1::UPSTREAM_PROTOCOL_HTTP2:
      out.protocol = in.has_tls() ? upstream::Protocol::kHttp2Tls : upstream::Protocol::kHttp2;
      break;
    case v1::UPSTREAM_PROTOCOL_TCP:
      out.protocol = upstream::Protocol::kTcp;
      break;
    case v1::UPSTREAM_PROTOCOL_UDP:
      out.protocol = upstream::Protocol::kUdp;
      break;
    default:
      return std::unexpected("protocol " + std::to_string(in.protocol()) +
                             " is not one that this proxy speaks");
  }
  out.tls = upstream::is_tls(out.protocol)
                ? tls::ClientContext::of_upstreams(upstream::is_http2(out.protocol))
                : nullptr;
  switch (in.balancer()) {
    case v1::BALANCER_UNSPECIFIED:
    case v1::BALANCER_ROUND_ROBIN:
      out.balancer = upstream::BalancerKind::kRoundRobin;
      break;
    case v1::BALANCER_LEAST_REQUEST:
      out.balancer = upstream::BalancerKind::kLeastRequest;
      break;
    default:
      return std::unexpected("balancer " + std::to_string(in.balancer()) +
                             " is not one that this proxy has");
  }
  upstream::PoolLimits pool;
  pool.connections_max = number_or(in.pool().connections_max(), pool.connections_max);
  pool.idle_max = number_or(in.pool().idle_max(), pool.idle_max);
  pool.idle_timeout_ns = ns_or(in.pool().idle_timeout_ms(), pool.idle_timeout_ns);
  pool.requests_max = number_or(in.pool().requests_max(), pool.requests_max);
  pool.age_max_ns = ns_or(in.pool().age_max_ms(), pool.age_max_ns);
  pool.pending_max = number_or(in.pool().pending_max(), pool.pending_max);
  out.pool = pool;
  upstream::OutlierPolicy outlier;
  outlier.off = in.outlier().off();
  outlier.consecutive_errors =
      number_or(in.outlier().consecutive_errors(), outlier.consecutive_errors);
  outlier.base_ejection_ns = ns_or(in.outlier().base_ejection_ms(), outlier.base_ejection_ns);
  outlier.max_ejection_ns = std::max(
      outlier.base_ejection_ns, ns_or(in.outlier().max_ejection_ms(), outlier.max_ejection_ns));
  outlier.max_ejected_percent =
      std::min(100u, number_or(in.outlier().max_ejected_percent(), outlier.max_ejected_percent));
  out.outlier = outlier;
  out.health_check = nullptr;
  if (in.has_health_check()) {
    auto check = std::make_shared<upstream::HealthCheckPolicy>();
    if (auto done =
            compile_health_check(in.health_check(), upstream::is_http2(out.protocol), *check);
        !done)
      return done;
    out.health_check = std::move(check);
  }
  out.service_namespace = in.metadata().namespace_();
  out.service = in.metadata().service();
  return {};
}

void copy_cluster_policy(const upstream::Cluster& from, upstream::Cluster& to) {
  to.protocol = from.protocol;
  to.tls = from.tls;
  to.balancer = from.balancer;
  to.pool = from.pool;
  to.outlier = from.outlier;
  to.health_check = from.health_check;
  to.service_namespace = from.service_namespace;
  to.service = from.service;
}

std::expected<void, std::string> compile_endpoints(const v1::Endpoints& in,
                                                   upstream::EndpointRegistry& registry,
                                                   upstream::Cluster& out) {
  out.endpoints.clear();
  out.endpoints.reserve(static_cast<size_t>(in.endpoints_size()));
  std::unordered_set<const upstream::EndpointState*> seen;
  for (const v1::Endpoint& endpoint : in.endpoints()) {
    auto state = registry.find_or_make(endpoint.address(), endpoint.port(), out.protocol);
    if (!state) return std::unexpected(std::move(state.error()));
    if (!seen.insert(state->get()).second) continue;
    if (endpoint.weight() > kWeightMax)
      return std::unexpected("weight of " + (*state)->text + " is above 1000000");
    out.endpoints.push_back({.state = *std::move(state),
                             .weight = number_or(endpoint.weight(), 1),
                             .ready = endpoint.ready(),
                             .serving = endpoint.serving(),
                             .terminating = endpoint.terminating(),
                             .pod = endpoint.pod(),
                             .node = endpoint.node(),
                             .zone = endpoint.zone()});
  }
  return {};
}

void change_protocol(upstream::EndpointRegistry& registry, upstream::Cluster& out) {
  for (upstream::EndpointRef& endpoint : out.endpoints) {
    if (endpoint.state->protocol != out.protocol) {
      endpoint.state = registry.find_or_make(*endpoint.state, out.protocol);
    }
  }
}

}  // namespace ringway::config
