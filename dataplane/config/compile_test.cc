// Defaults of api/proto/ringway/v1/resources.proto, and every field once.
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include "dataplane/config/compile_cluster.h"
#include "dataplane/config/compile_listener.h"
#include "dataplane/config/compile_route.h"
#include "dataplane/net/address.h"

namespace ringway::config {
namespace {

constexpr uint64_t kMs = 1'000'000;
constexpr uint64_t kSecond = 1'000'000'000;

template <typename Message>
Message parse(const std::string& text) {
  Message message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message)) << text;
  return message;
}

TEST(CompileListener, Defaults) {
  const auto out = compile_listener("l", parse<v1::Listener>("addresses: '0.0.0.0:80'"));
  ASSERT_TRUE(out.has_value());
  EXPECT_EQ(out->kind, ListenerKind::kHttp);
  EXPECT_EQ(out->route_set, "ingress");
  EXPECT_EQ(out->public_port, 80);  // The bound port.
  EXPECT_EQ(out->redirect_https_port, 443);
  EXPECT_EQ(out->default_cluster_slot, route::kNoCluster);
  const HttpPolicy& http = *out->http;
  EXPECT_EQ(http.limits.request_line_bytes_max, 8192u);
  EXPECT_EQ(http.limits.headers_bytes_max, 61440u);
  EXPECT_EQ(http.limits.header_bytes_max, 16384u);
  EXPECT_EQ(http.limits.headers_max, 100);
  EXPECT_EQ(http.limits.trailers_bytes_max, 8192u);
  EXPECT_EQ(http.limits.chunk_extension_bytes_max, 4096u);
  EXPECT_FALSE(http.limits.reject_underscores);
  EXPECT_EQ(http.header_timeout_ns, 10 * kSecond);
  EXPECT_EQ(http.body_timeout_ns, 60 * kSecond);
  EXPECT_EQ(http.idle_timeout_ns, 75 * kSecond);
  EXPECT_EQ(http.write_stall_timeout_ns, 60 * kSecond);
  EXPECT_EQ(http.tunnel_idle_timeout_ns, 3600 * kSecond);
  EXPECT_EQ(http.tls_handshake_timeout_ns, 5 * kSecond);
  EXPECT_EQ(http.keep_alive_requests_max, 1000u);
  EXPECT_EQ(http.connections_max, 50000u);
  EXPECT_EQ(http.connections_per_address_max, 0u);
  EXPECT_EQ(http.body_rate_bytes_per_second_min, 0u);
  EXPECT_FALSE(http.trust_forwarded);
  EXPECT_EQ(http.hsts, "");
}

TEST(CompileListener, EveryField) {
  const auto out = compile_listener("l", parse<v1::Listener>(R"(
      addresses: ['0.0.0.0:443', '[::]:443', 'unix:/run/x'] protocol: LISTENER_PROTOCOL_HTTPS route_set: 's' public_port: 443
      redirect_https_port: 8443 tls { handshake_timeout_ms: 1 }
      http { request_line_bytes_max: 9000 headers_bytes_max: 2 header_bytes_max: 3 headers_max: 128 trailers_bytes_max: 5
             chunk_extension_bytes_max: 6 reject_underscores: true header_timeout_ms: 7 body_timeout_ms: 8 idle_timeout_ms: 9
             keep_alive_requests_max: 10 write_stall_timeout_ms: 11 tunnel_idle_timeout_ms: 12 connections_max: 13
             connections_per_address_max: 14 trust_forwarded: true body_rate_bytes_per_second_min: 15 hsts: true
             hsts_include_subdomains: true })"));
  ASSERT_TRUE(out.has_value()) << out.error();
  EXPECT_EQ(out->kind, ListenerKind::kHttps);
  EXPECT_EQ(out->addresses.size(), 3u);
  EXPECT_EQ(out->route_set, "s");
  EXPECT_EQ(out->public_port, 443);
  EXPECT_EQ(out->redirect_https_port, 8443);
  const HttpPolicy& http = *out->http;
  EXPECT_EQ(http.limits.request_line_bytes_max, 9000u);
  EXPECT_EQ(http.limits.headers_bytes_max, 2u);
  EXPECT_EQ(http.limits.header_bytes_max, 3u);
  EXPECT_EQ(http.limits.headers_max, 128);
  EXPECT_EQ(http.limits.trailers_bytes_max, 5u);
  EXPECT_EQ(http.limits.chunk_extension_bytes_max, 6u);
  EXPECT_TRUE(http.limits.reject_underscores);
  EXPECT_EQ(http.header_timeout_ns, 7 * kMs);
  EXPECT_EQ(http.body_timeout_ns, 8 * kMs);
  EXPECT_EQ(http.idle_timeout_ns, 9 * kMs);
  EXPECT_EQ(http.keep_alive_requests_max, 10u);
  EXPECT_EQ(http.write_stall_timeout_ns, 11 * kMs);
  EXPECT_EQ(http.tunnel_idle_timeout_ns, 12 * kMs);
  EXPECT_EQ(http.connections_max, 13u);
  EXPECT_EQ(http.connections_per_address_max, 14u);
  EXPECT_TRUE(http.trust_forwarded);
  EXPECT_EQ(http.body_rate_bytes_per_second_min, 15u);
  EXPECT_EQ(http.tls_handshake_timeout_ns, 1 * kMs);
  EXPECT_EQ(http.hsts, "max-age=31536000; includeSubDomains");
}

TEST(CompileStream, Defaults) {
  const auto out =
      compile_listener("l", parse<v1::Listener>("addresses: ':9000' protocol: LISTENER_PROTOCOL_TCP"));
  ASSERT_TRUE(out.has_value()) << out.error();
  EXPECT_EQ(out->kind, ListenerKind::kTcp);
  EXPECT_EQ(out->http, nullptr);
  EXPECT_EQ(out->prelude, nullptr);
  EXPECT_EQ(out->connections_max(), 50000u);
  const StreamPolicy& stream = *out->stream;
  EXPECT_EQ(stream.connect_timeout_ns, 5 * kSecond);
  EXPECT_EQ(stream.idle_timeout_ns, 600 * kSecond);
  EXPECT_EQ(stream.tries, 3u);
  EXPECT_EQ(stream.tries_timeout_ns, 600 * kSecond);
  EXPECT_EQ(stream.connections_per_address_max, 0u);
  EXPECT_EQ(stream.send_proxy, net::ProxyVersion::kNone);
  EXPECT_EQ(stream.source, StreamSource::kProxy);
}

TEST(CompileStream, EveryField) {
  const auto out = compile_listener("l", parse<v1::Listener>(R"(
      addresses: ':9000' protocol: LISTENER_PROTOCOL_TLS_PASSTHROUGH tls { handshake_timeout_ms: 9 }
      stream { connect_timeout_ms: 1 idle_timeout_ms: 2 tries: 99 tries_timeout_ms: 4 connections_max: 5
               connections_per_address_max: 6 send_proxy_protocol: PROXY_PROTOCOL_VERSION_2 udp_responses: 8 }
      proxy_protocol { trusted_cidrs: "10.0.0.0/8" timeout_ms: 7 })"));
  ASSERT_TRUE(out.has_value()) << out.error();
  EXPECT_TRUE(out->reads_hello());
  const StreamPolicy& stream = *out->stream;
  EXPECT_EQ(stream.connect_timeout_ns, 1 * kMs);
  EXPECT_EQ(stream.idle_timeout_ns, 2 * kMs);
  EXPECT_EQ(stream.tries, 8u);   // Cut.
  EXPECT_EQ(stream.tries_timeout_ns, 4 * kMs);
  EXPECT_EQ(stream.connections_max, 5u);
  EXPECT_EQ(stream.connections_per_address_max, 6u);
  EXPECT_EQ(stream.send_proxy, net::ProxyVersion::kV2);
  EXPECT_EQ(stream.udp_responses, 8u);
  EXPECT_EQ(stream.tls_handshake_timeout_ns, 9 * kMs);
  ASSERT_NE(out->prelude, nullptr);
  EXPECT_TRUE(out->prelude->proxy_protocol);
  EXPECT_EQ(out->prelude->timeout_ns, 7 * kMs);
  EXPECT_TRUE(net::contains(out->prelude->trusted, *net::parse_address("10.1.1.1:1")));
  EXPECT_FALSE(net::contains(out->prelude->trusted, *net::parse_address("11.1.1.1:1")));
}

TEST(CompileStream, Datagrams) {
  const auto out = compile_listener(
      "l", parse<v1::Listener>("addresses: '127.0.0.1:53' protocol: LISTENER_PROTOCOL_UDP"));
  ASSERT_TRUE(out.has_value()) << out.error();
  EXPECT_EQ(out->kind, ListenerKind::kUdp);
  EXPECT_EQ(out->addresses, std::vector<std::string>{"udp:127.0.0.1:53"});
  EXPECT_EQ(out->stream->idle_timeout_ns, 30 * kSecond);
  EXPECT_EQ(out->stream->udp_responses, 0u);
  EXPECT_FALSE(compile_listener("l", parse<v1::Listener>(R"(
      addresses: ':53' protocol: LISTENER_PROTOCOL_UDP
      stream { send_proxy_protocol: PROXY_PROTOCOL_VERSION_1 })"))
                   .has_value());
}

TEST(CompileStream, PreludeOfHttp) {
  const auto out = compile_listener("l", parse<v1::Listener>("addresses: ':80' proxy_protocol {}"));
  ASSERT_TRUE(out.has_value());
  ASSERT_NE(out->prelude, nullptr);
  EXPECT_TRUE(out->prelude->trusted.empty());   // Nobody's word counts.
  EXPECT_EQ(out->prelude->timeout_ns, 5 * kSecond);
  EXPECT_FALSE(out->reads_hello());
}

TEST(CompileTls, VersionsAndAlpn) {
  EXPECT_EQ(compile_tls_policy({}, true)->version_min, 0x0303);
  EXPECT_EQ(compile_tls_policy({}, true)->alpn, (std::vector<std::string>{"h2", "http/1.1"}));
  EXPECT_EQ(compile_tls_policy({}, false)->alpn, std::vector<std::string>{"http/1.1"});
  EXPECT_EQ(compile_tls_policy(parse<v1::TlsOptions>("alpn: 'h2'"), true)->alpn,
            std::vector<std::string>{"h2"});
  EXPECT_FALSE(compile_tls_policy(parse<v1::TlsOptions>("alpn: 'h3'"), true).has_value());
  const auto policy =
      compile_tls_policy(parse<v1::TlsOptions>("version_min: TLS_VERSION_1_3"), true);
  EXPECT_EQ(policy->version_min, 0x0304);
  EXPECT_FALSE(compile_tls_policy(parse<v1::TlsOptions>("version_min: 9"), true).has_value());
  // Inside TLS that is not HTTP any protocol may be spoken.
  EXPECT_TRUE(compile_tls_policy({}, false, ListenerKind::kTls)->alpn.empty());
  EXPECT_EQ(compile_tls_policy(parse<v1::TlsOptions>("alpn: 'imap'"), false, ListenerKind::kTls)->alpn,
            std::vector<std::string>{"imap"});
}

TEST(CompileCluster, ProtocolAndTls) {
  using upstream::Protocol;
  const std::pair<const char*, Protocol> cases[] = {
      {"", Protocol::kHttp1},
      {"protocol: UPSTREAM_PROTOCOL_HTTP1 tls {}", Protocol::kHttp1Tls},
      {"protocol: UPSTREAM_PROTOCOL_HTTP2", Protocol::kHttp2},
      {"protocol: UPSTREAM_PROTOCOL_HTTP2 tls {}", Protocol::kHttp2Tls}};
  for (const auto& [text, protocol] : cases) {
    upstream::Cluster out;
    ASSERT_TRUE(compile_cluster_policy(parse<v1::Cluster>(text), out).has_value()) << text;
    EXPECT_EQ(out.protocol, protocol) << text;
    EXPECT_EQ(out.tls != nullptr, upstream::is_tls(protocol)) << text;
    upstream::Cluster copy;
    copy_cluster_policy(out, copy);
    EXPECT_EQ(copy.protocol, protocol);
    EXPECT_EQ(copy.tls, out.tls);
  }
}

TEST(CompileCluster, Defaults) {
  upstream::Cluster out;
  ASSERT_TRUE(compile_cluster_policy({}, out).has_value());
  EXPECT_EQ(out.protocol, upstream::Protocol::kHttp1);
  EXPECT_EQ(out.balancer, upstream::BalancerKind::kRoundRobin);
  EXPECT_EQ(out.pool.connections_max, 1024u);
  EXPECT_EQ(out.pool.idle_max, 320u);
  EXPECT_EQ(out.pool.idle_timeout_ns, 60 * kSecond);
  EXPECT_EQ(out.pool.requests_max, 10000u);
  EXPECT_EQ(out.pool.age_max_ns, 3600 * kSecond);
  EXPECT_EQ(out.pool.pending_max, 1024u);
  EXPECT_EQ(out.health_check, nullptr);
  EXPECT_FALSE(out.outlier.off);
  EXPECT_EQ(out.outlier.consecutive_errors, 5u);
  EXPECT_EQ(out.outlier.base_ejection_ns, 10 * kSecond);
  EXPECT_EQ(out.outlier.max_ejection_ns, 300 * kSecond);
  EXPECT_EQ(out.outlier.max_ejected_percent, 50u);
}

TEST(CompileCluster, EveryField) {
  upstream::Cluster out;
  const auto in = parse<v1::Cluster>(R"(
      balancer: BALANCER_LEAST_REQUEST
      pool { connections_max: 1 idle_max: 2 idle_timeout_ms: 3 requests_max: 4 age_max_ms: 5 pending_max: 6 }
      outlier { consecutive_errors: 7 base_ejection_ms: 8 max_ejection_ms: 9 max_ejected_percent: 10 off: true }
      metadata { namespace: 'ns' service: 'svc' }
      health_check { http { path: '/h' host: 'x' expected { first: 200 last: 204 } body_contains: 'ok' }
                     interval_ms: 11 timeout_ms: 12 unhealthy_threshold: 13 healthy_threshold: 14 jitter_percent: 15 })");
  ASSERT_TRUE(compile_cluster_policy(in, out).has_value());
  EXPECT_EQ(out.balancer, upstream::BalancerKind::kLeastRequest);
  EXPECT_EQ(out.pool.connections_max, 1u);
  EXPECT_EQ(out.pool.idle_max, 2u);
  EXPECT_EQ(out.pool.idle_timeout_ns, 3 * kMs);
  EXPECT_EQ(out.pool.requests_max, 4u);
  EXPECT_EQ(out.pool.age_max_ns, 5 * kMs);
  EXPECT_EQ(out.pool.pending_max, 6u);
  EXPECT_EQ(out.outlier.consecutive_errors, 7u);
  EXPECT_EQ(out.outlier.base_ejection_ns, 8 * kMs);
  EXPECT_EQ(out.outlier.max_ejection_ns, 9 * kMs);
  EXPECT_EQ(out.outlier.max_ejected_percent, 10u);
  EXPECT_TRUE(out.outlier.off);
  EXPECT_EQ(out.service_namespace, "ns");
  EXPECT_EQ(out.service, "svc");
  ASSERT_NE(out.health_check, nullptr);
  const upstream::HealthCheckPolicy& check = *out.health_check;
  EXPECT_EQ(check.kind, upstream::HealthCheckPolicy::Kind::kHttp);
  EXPECT_EQ(check.path, "/h");
  EXPECT_EQ(check.host, "x");
  ASSERT_EQ(check.expected.size(), 1u);
  EXPECT_EQ(check.expected[0].last, 204);
  EXPECT_EQ(check.body_contains, "ok");
  EXPECT_EQ(check.interval_ns, 11 * kMs);
  EXPECT_EQ(check.timeout_ns, 12 * kMs);
  EXPECT_EQ(check.unhealthy_threshold, 13u);
  EXPECT_EQ(check.healthy_threshold, 14u);
  EXPECT_EQ(check.jitter_percent, 15u);
}

TEST(CompileEndpoints, KeepsConditionsAndDropsDoubles) {
  upstream::EndpointRegistry registry;
  upstream::Cluster out;
  const auto in = parse<v1::Endpoints>(R"(
      endpoints { address: '10.0.0.1' port: 80 ready: true serving: true zone: 'z' node: 'n' pod: 'p' }
      endpoints { address: '10.0.0.1' port: 80 weight: 7 ready: true serving: true }
      endpoints { address: 'fd00::1' port: 80 weight: 3 serving: true terminating: true })");
  ASSERT_TRUE(compile_endpoints(in, registry, out).has_value());
  ASSERT_EQ(out.endpoints.size(), 2u);
  EXPECT_EQ(out.endpoints[0].weight, 1u);
  EXPECT_TRUE(out.endpoints[0].ready);
  EXPECT_EQ(out.endpoints[0].zone, "z");
  EXPECT_EQ(out.endpoints[0].node, "n");
  EXPECT_EQ(out.endpoints[0].pod, "p");
  EXPECT_EQ(out.endpoints[1].weight, 3u);
  EXPECT_FALSE(out.endpoints[1].ready);
  EXPECT_TRUE(out.endpoints[1].serving);
  EXPECT_TRUE(out.endpoints[1].terminating);
}

struct RouteFixture : testing::Test {
  const route::Route& only(const std::string& route_text) {
    auto result =
        compiler.compile(parse<v1::RouteTable>("host: 'a' routes { " + route_text + " }"));
    EXPECT_TRUE(result.has_value()) << result.error();
    kept = *std::move(result);
    return *kept.table->rules()[0].route;
  }
  ClusterSlots clusters;
  MetricsSlots metrics;
  RouteCompiler compiler{clusters, metrics};
  CompiledTable kept;
};
using CompileRoute = RouteFixture;

TEST_F(CompileRoute, Defaults) {
  const route::Route& out = only(
      "path { prefix: '/' } backend { clusters { cluster: 'x' } clusters { weight: 3 } } "
      "https_redirect {}");
  EXPECT_EQ(out.action, route::ActionKind::kBackend);
  ASSERT_EQ(out.clusters.size(), 2u);
  EXPECT_EQ(out.clusters[0].weight, 1u);
  EXPECT_EQ(out.clusters[1].cluster_slot, route::kNoCluster);
  EXPECT_EQ(out.weight_total, 4u);
  EXPECT_EQ(out.metrics_slot, MetricsSlots::kNoRoute);
  EXPECT_EQ(out.timeouts.connect_ns, 5 * kSecond);
  EXPECT_EQ(out.timeouts.response_idle_ns, 60 * kSecond);
  EXPECT_EQ(out.timeouts.request_idle_ns, 60 * kSecond);
  EXPECT_EQ(out.timeouts.request_total_ns, 0u);
  EXPECT_EQ(out.timeouts.tunnel_idle_ns + out.timeouts.tunnel_lifetime_ns, 0u);
  EXPECT_FALSE(out.grpc_web);
  EXPECT_EQ(out.retry.tries, 3u);
  EXPECT_EQ(out.retry.timeout_ns, 0u);
  EXPECT_EQ(out.retry.replay_bytes_max, 65536u);
  EXPECT_EQ(out.retry.budget_percent, 20u);
  EXPECT_EQ(out.request_body_bytes_max, 1u << 20);
  ASSERT_TRUE(out.https_redirect.has_value());
  EXPECT_EQ(out.https_redirect->status, 308);
  EXPECT_EQ(out.https_redirect->exempt_prefixes,
            std::vector<std::string>{"/.well-known/acme-challenge"});
  EXPECT_EQ(out.rewrite, nullptr);
}

TEST_F(CompileRoute, EveryField) {
  const route::Route& out = only(R"(
      name: 'ns/i#0' metadata { namespace: 'ns' ingress: 'i' service: 's' service_port: 'http' }
      path { exact: '/x' } redirect { status: 301 location: 'https://b/' }
      https_redirect { status: 301 exempt_prefixes: '/a' } rewrite { template: '/y' }
      timeouts { connect_ms: 1 response_idle_ms: 2 request_idle_ms: 3 request_total_ms: 4
                 tunnel_idle_ms: 5 tunnel_lifetime_ms: 6 }
      grpc_web: true
      retry { tries: 5 timeout_ms: 6 non_idempotent: true replay_bytes_max: 7 budget_percent: 8 }
      request_body_bytes_max: 18446744073709551615)");
  EXPECT_EQ(out.name, "ns/i#0");
  EXPECT_EQ(out.namespace_name, "ns");
  EXPECT_EQ(out.ingress, "i");
  EXPECT_EQ(out.service, "s");
  EXPECT_EQ(out.service_port, "http");
  EXPECT_NE(out.metrics_slot, MetricsSlots::kNoRoute);
  EXPECT_EQ(out.action, route::ActionKind::kRedirect);
  EXPECT_EQ(out.status, 301);
  EXPECT_EQ(out.location, "https://b/");
  EXPECT_EQ(out.https_redirect->status, 301);
  EXPECT_EQ(out.https_redirect->exempt_prefixes, std::vector<std::string>{"/a"});
  std::string rewritten;
  ASSERT_NE(out.rewrite, nullptr);
  EXPECT_TRUE(route::apply_rewrite(*out.rewrite, "/x", rewritten));
  EXPECT_EQ(rewritten, "/y");
  EXPECT_EQ(out.timeouts.connect_ns, 1 * kMs);
  EXPECT_EQ(out.timeouts.response_idle_ns, 2 * kMs);
  EXPECT_EQ(out.timeouts.request_idle_ns, 3 * kMs);
  EXPECT_EQ(out.timeouts.request_total_ns, 4 * kMs);
  EXPECT_EQ(out.timeouts.tunnel_idle_ns, 5 * kMs);
  EXPECT_EQ(out.timeouts.tunnel_lifetime_ns, 6 * kMs);
  EXPECT_TRUE(out.grpc_web);
  EXPECT_EQ(out.retry.tries, 5u);
  EXPECT_EQ(out.retry.timeout_ns, 6 * kMs);
  EXPECT_TRUE(out.retry.non_idempotent);
  EXPECT_EQ(out.retry.replay_bytes_max, 7u);
  EXPECT_EQ(out.retry.budget_percent, 8u);
  EXPECT_EQ(out.request_body_bytes_max, UINT64_MAX);
}

TEST_F(CompileRoute, RetryOffIsOneTry) {
  EXPECT_EQ(only("path { prefix: '/' } fixed_response { status: 200 body: 'x' } retry { off: true "
                 "tries: 9 }")
                .retry.tries,
            1u);
}

TEST_F(CompileRoute, PathsAreBroughtIntoTheFormOfRequests) {
  const struct {
    std::string path, canonical;
  } cases[] = {{"/foo", "/foo"},
               {"/foo//bar/../x/.", "/foo/x/"},
               {"/%7Euser", "/~user"},
               {"/a%2fb", "/a%2Fb"},
               {"/f\xC3\xB6\xC3\xB6", "/f%C3%B6%C3%B6"},
               {"/a b", "/a%20b"},
               {"/100%", "/100%25"},
               {"/%zz", "/%25zz"},
               {"/a?b#c", "/a%3Fb%23c"},
               {"/a;v=1", "/a;v=1"},
               {"/a\\b", "/a%5Cb"}};
  for (const auto& c : cases) {
    v1::RouteTable table;
    table.set_host("a");
    v1::Route& route = *table.add_routes();
    route.mutable_path()->set_exact(c.path);
    route.mutable_fixed_response()->set_status(200);
    const auto out = compiler.compile(table);
    ASSERT_TRUE(out.has_value()) << c.path << ": " << out.error();
    EXPECT_EQ(out->table->rules()[0].path, c.canonical);
  }
}

TEST_F(CompileRoute, RegexTablesRewriteWithCaptures) {
  const auto out = compiler.compile(parse<v1::RouteTable>(R"(host: 'a' regex: true
      routes { path { regex: '/b(/|$)(.*)' } priority: 2 backend { clusters { cluster: 'x' } } rewrite { template: '/$2' } }
      routes { path { regex: '/' } priority: 1 backend { clusters { cluster: 'y' } } })"));
  ASSERT_TRUE(out.has_value()) << out.error();
  const route::Route* route = out->table->find("/B/c").route;
  ASSERT_EQ(route, out->table->rules()[0].route.get());
  std::string rewritten;
  EXPECT_TRUE(route::apply_rewrite(*route->rewrite, "/B/c", rewritten));
  EXPECT_EQ(rewritten, "/c");
  EXPECT_EQ(&route->rewrite->pattern(), out->table->rules()[0].pattern.get()) << "compiled once";
  EXPECT_EQ(out->table->find("/c").route, out->table->rules()[1].route.get());
}

}  // namespace
}  // namespace ringway::config
