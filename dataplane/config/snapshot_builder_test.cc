#include "dataplane/config/snapshot_builder.h"

#include <gtest/gtest.h>

#include <functional>
#include <vector>

#include "dataplane/config/test_resources.h"
#include "dataplane/tls/server_context.h"

namespace ringway::config {
namespace {

using testing_resources::certificate;
using testing_resources::cluster;
using testing_resources::endpoints;
using testing_resources::listener;
using testing_resources::table;

struct Fixture : testing::Test {
  SnapshotPointer apply(std::vector<v1::Resource> upserts, std::vector<ResourceKey> removals = {}) {
    auto result = builder.apply(upserts, removals, true, "v" + std::to_string(++version));
    EXPECT_TRUE(result.has_value()) << result.error().name << ": " << result.error().reason;
    return result ? *result : builder.snapshot();
  }
  Rejection refuse(std::vector<v1::Resource> upserts) {
    const SnapshotPointer before = builder.snapshot();
    auto result = builder.apply(upserts, {}, true, "refused");
    EXPECT_FALSE(result.has_value());
    EXPECT_EQ(builder.snapshot(), before);
    return result ? Rejection{} : result.error();
  }
  const route::Route* find(const SnapshotPointer& snapshot, std::string_view host,
                           std::string_view path) {
    const route::RouteSet* set = snapshot->route_set("ingress");
    return set == nullptr ? nullptr : set->find(host, path).route;
  }
  // Of the first backend of what answers there.
  const upstream::Cluster* cluster_at(const SnapshotPointer& snapshot, std::string_view host,
                                      std::string_view path) {
    const route::Route* route = find(snapshot, host, path);
    return route == nullptr || route->clusters.empty()
               ? nullptr
               : snapshot->cluster(route->clusters[0].cluster_slot);
  }

  upstream::EndpointRegistry registry;
  MetricsSlots metrics;
  SnapshotBuilder builder{registry, metrics};
  int version = 0;
};
using SnapshotBuilderTest = Fixture;

TEST_F(SnapshotBuilderTest, BeginsEmpty) {
  const SnapshotPointer snapshot = builder.snapshot();
  ASSERT_NE(snapshot, nullptr);
  EXPECT_FALSE(snapshot->complete);
  EXPECT_EQ(snapshot->generation, 0u);
  EXPECT_EQ(snapshot->cluster(0), nullptr);
  EXPECT_EQ(snapshot->cluster(route::kNoCluster), nullptr);
  EXPECT_EQ(snapshot->route_set("ingress"), nullptr);
  EXPECT_NE(snapshot->default_route, nullptr);
}

// Of the process, so of every listener that relays.
TEST_F(SnapshotBuilderTest, RelaysConnectFromWhereTheProcessSays) {
  SnapshotBuilder transparent(registry, metrics, StreamSource::kClient);
  v1::Resource tcp = listener("tcp", "0.0.0.0:5432");
  tcp.mutable_listener()->set_protocol(v1::LISTENER_PROTOCOL_TCP);
  const auto theirs = transparent.apply(std::vector{tcp}, {}, true, "1");
  ASSERT_TRUE(theirs) << theirs.error().reason;
  EXPECT_EQ((*theirs)->listeners[0]->stream->source, StreamSource::kClient);
  EXPECT_EQ(apply({tcp})->listeners[0]->stream->source, StreamSource::kProxy);
}

TEST_F(SnapshotBuilderTest, PutsListenersRoutesAndEndpointsTogether) {
  const auto snapshot =
      apply({listener("http", "0.0.0.0:8080"),
             table("a.example.com", {{"/", "default/a:80"}, {"/b", "default/b:80"}}),
             cluster("default/a:80"), endpoints("default/a:80", {"10.0.0.1", "10.0.0.2"}),
             cluster("default/b:80"), endpoints("default/b:80", {"10.0.0.2"})});
  EXPECT_TRUE(snapshot->complete);
  EXPECT_EQ(snapshot->version, "v1");
  ASSERT_EQ(snapshot->listeners.size(), 1u);
  EXPECT_EQ(snapshot->listeners[0]->route_set, "ingress");
  EXPECT_EQ(snapshot->listeners[0]->kind, ListenerKind::kHttp);
  const upstream::Cluster* a = cluster_at(snapshot, "A.example.com:80", "/x");
  const upstream::Cluster* b = cluster_at(snapshot, "a.example.com", "/b/x");
  ASSERT_NE(a, nullptr);
  ASSERT_NE(b, nullptr);
  EXPECT_EQ(a->name, "default/a:80");
  ASSERT_EQ(a->endpoints.size(), 2u);
  EXPECT_EQ(b->endpoints[0].state, a->endpoints[1].state) << "one endpoint, one health";
  EXPECT_EQ(a->endpoints[0].state->text, "10.0.0.1:8080");
}

TEST_F(SnapshotBuilderTest, PartsComeAndGoInAnyOrder) {
  auto snapshot = apply({table("a.com", {{"/", "default/a:80"}})});
  EXPECT_NE(find(snapshot, "a.com", "/"), nullptr);
  EXPECT_EQ(cluster_at(snapshot, "a.com", "/"), nullptr);  // 503
  snapshot = apply({endpoints("default/a:80", {"10.0.0.1"})});
  EXPECT_EQ(cluster_at(snapshot, "a.com", "/"), nullptr)
      << "endpoints without a Cluster are no cluster";
  snapshot = apply({cluster("default/a:80")});
  ASSERT_NE(cluster_at(snapshot, "a.com", "/"), nullptr);
  EXPECT_EQ(cluster_at(snapshot, "a.com", "/")->endpoints.size(), 1u);
  snapshot = apply({}, {{v1::RESOURCE_TYPE_ENDPOINTS, "default/a:80"}});
  EXPECT_EQ(cluster_at(snapshot, "a.com", "/")->endpoints.size(), 0u);
  snapshot = apply({endpoints("default/a:80", {"10.0.0.1"})},
                   {{v1::RESOURCE_TYPE_CLUSTER, "default/a:80"}});
  EXPECT_EQ(cluster_at(snapshot, "a.com", "/"), nullptr);
  snapshot = apply({cluster("default/a:80")});
  EXPECT_EQ(cluster_at(snapshot, "a.com", "/")->endpoints.size(), 1u);
  snapshot = apply({}, {{v1::RESOURCE_TYPE_ROUTE_TABLE, "ingress/a.com"},
                        {v1::RESOURCE_TYPE_ROUTE_TABLE, "ingress/never.com"}});
  EXPECT_EQ(find(snapshot, "a.com", "/"), nullptr);
  EXPECT_TRUE(snapshot->route_sets.empty());
}

TEST_F(SnapshotBuilderTest, AClustersSlotIsNotGivenAwayWhileARouteNamesIt) {
  auto snapshot = apply({table("a.com", {{"/", "default/gone:80"}}), cluster("default/gone:80"),
                         endpoints("default/gone:80", {"10.0.0.1"})});
  snapshot =
      apply({cluster("default/other:80")}, {{v1::RESOURCE_TYPE_CLUSTER, "default/gone:80"},
                                            {v1::RESOURCE_TYPE_ENDPOINTS, "default/gone:80"}});
  EXPECT_EQ(cluster_at(snapshot, "a.com", "/"), nullptr);
  // With the route gone too, the slot is free; whoever gets it is told apart by its uid.
  snapshot = apply({}, {{v1::RESOURCE_TYPE_ROUTE_TABLE, "ingress/a.com"}});
  snapshot = apply({cluster("default/third:80"), table("b.com", {{"/", "default/third:80"}})});
  ASSERT_NE(cluster_at(snapshot, "b.com", "/"), nullptr);
  EXPECT_EQ(cluster_at(snapshot, "b.com", "/")->name, "default/third:80");
}

TEST_F(SnapshotBuilderTest, SharesWhatDidNotChange) {
  std::vector<v1::Resource> all{listener("http", "0.0.0.0:8080"),
                                listener("https", "0.0.0.0:8443", true)};
  for (int i = 0; i < 600; ++i) {
    const std::string name = "default/s" + std::to_string(i) + ":80";
    all.push_back(table("h" + std::to_string(i) + ".com", {{"/", name}}));
    all.push_back(cluster(name));
    all.push_back(
        endpoints(name, {"10.0." + std::to_string(i / 200) + "." + std::to_string(i % 200)}));
  }
  const auto before = apply(all);
  const auto after = apply({endpoints("default/s7:80", {"10.9.9.9"})});
  EXPECT_EQ(after->listeners, before->listeners);
  EXPECT_EQ(after->route_sets, before->route_sets);
  EXPECT_EQ(after->default_route, before->default_route);
  ASSERT_EQ(after->cluster_chunks.size(), 3u);
  size_t chunks_changed = 0;
  for (size_t i = 0; i < 3; ++i)
    chunks_changed += after->cluster_chunks[i] != before->cluster_chunks[i];
  EXPECT_EQ(chunks_changed, 1u);
  for (uint32_t slot = 0; slot < 600; ++slot) {
    const bool changed = before->cluster(slot)->name == "default/s7:80";
    ASSERT_EQ(after->cluster(slot) != before->cluster(slot), changed);
    if (!changed) continue;
    EXPECT_NE(after->cluster(slot)->revision, before->cluster(slot)->revision);
    EXPECT_EQ(after->cluster(slot)->uid, before->cluster(slot)->uid);
  }
  const auto routed = apply({table("h9.com", {{"/new", "default/s9:80"}})});
  EXPECT_EQ(routed->cluster_chunks, after->cluster_chunks);
  EXPECT_NE(routed->route_set("ingress")->find("h9.com"),
            after->route_set("ingress")->find("h9.com"));
  EXPECT_EQ(routed->route_set("ingress")->find("h10.com"),
            after->route_set("ingress")->find("h10.com"));
  EXPECT_EQ(find(before, "h9.com", "/other"), find(after, "h9.com", "/other"))
      << "the old snapshot is as it was";
}

TEST_F(SnapshotBuilderTest, AVersionThatIsHeldIsNotCompiledAgain) {
  auto versioned = [](v1::Resource resource, uint64_t number) {
    resource.set_version(number);
    return resource;
  };
  const auto before =
      apply({versioned(table("a.com", {{"/", "x"}}), 5), versioned(cluster("x"), 6),
             versioned(endpoints("x", {"10.0.0.1"}), 7), versioned(listener("http", ":80"), 8)});
  const auto same =
      apply({versioned(table("a.com", {{"/", "x"}}), 5), versioned(cluster("x"), 6),
             versioned(endpoints("x", {"10.0.0.1"}), 7), versioned(listener("http", ":80"), 8)});
  EXPECT_EQ(same->route_sets, before->route_sets);
  EXPECT_EQ(same->cluster_chunks, before->cluster_chunks);
  EXPECT_EQ(same->listeners, before->listeners);
  EXPECT_EQ(same->generation, before->generation + 1);
  const auto other = apply({versioned(endpoints("x", {"10.0.0.2"}), 9)});
  EXPECT_NE(other->cluster_chunks, before->cluster_chunks);
}

TEST_F(SnapshotBuilderTest, EndpointHealthSurvivesConfigurationChanges) {
  auto snapshot =
      apply({table("a.com", {{"/", "x"}}), cluster("x"), endpoints("x", {"10.0.0.1", "10.0.0.2"})});
  cluster_at(snapshot, "a.com", "/")->endpoints[0].state->check_failed = true;
  const uint32_t slot = cluster_at(snapshot, "a.com", "/")->endpoints[0].state->slot;
  snapshot = apply({endpoints("x", {"10.0.0.3", "10.0.0.1"})});
  EXPECT_TRUE(cluster_at(snapshot, "a.com", "/")->endpoints[1].state->check_failed);
  EXPECT_EQ(cluster_at(snapshot, "a.com", "/")->endpoints[1].state->slot, slot);
  EXPECT_EQ(registry.live(), 2u) << "10.0.0.2 went with the snapshot that had it";
}

TEST_F(SnapshotBuilderTest, MetricsSlotsComeBackWithTheLastSnapshotThatHasTheRoute) {
  auto labelled = [](const std::string& host, const std::string& service) {
    v1::Resource resource = table(host, {{"/", "x"}});
    auto& metadata = *resource.mutable_route_table()->mutable_routes(0)->mutable_metadata();
    metadata.set_namespace_("default");
    metadata.set_ingress("shop");
    metadata.set_service(service);
    return resource;
  };
  auto first =
      apply({labelled("a.com", "cart"), labelled("b.com", "cart"), labelled("c.com", "pay")});
  const uint32_t cart = find(first, "a.com", "/")->metrics_slot;
  const uint32_t pay = find(first, "c.com", "/")->metrics_slot;
  EXPECT_NE(find(first, "b.com", "/")->metrics_slot, cart) << "a slot for each host and path";
  EXPECT_NE(cart, pay);
  EXPECT_NE(cart, MetricsSlots::kNoRoute);
  EXPECT_NE(pay, MetricsSlots::kNoRoute);
  apply({}, {{v1::RESOURCE_TYPE_ROUTE_TABLE, "ingress/c.com"}});
  auto third = apply({labelled("d.com", "new")});
  EXPECT_NE(find(third, "d.com", "/")->metrics_slot, pay)
      << "a request may still run on the first snapshot";
  first.reset();
  auto fourth = apply({labelled("e.com", "newest")});
  EXPECT_EQ(find(fourth, "e.com", "/")->metrics_slot, pay);
  bool found = false;
  for (const auto& lease : metrics.held()) {
    if (lease->slot != pay) continue;
    found = true;
    EXPECT_EQ(lease->key, (MetricsLabels{"default", "shop", "newest", "e.com", "/"}));
  }
  EXPECT_TRUE(found);
}

TEST_F(SnapshotBuilderTest, CertificatesRebuildTheTlsContextAndNothingElseDoes) {
  const auto first =
      apply({listener("https", "0.0.0.0:8443", true), certificate("default/a", {"a.com"})});
  const auto context = first->listeners[0]->tls;
  ASSERT_NE(context, nullptr);
  v1::Resource renamed = listener("https", "0.0.0.0:8443", true);
  renamed.mutable_listener()->set_route_set("other");
  const auto second = apply({renamed, table("a.com", {{"/", "x"}})});
  EXPECT_EQ(second->listeners[0]->tls, context);
  EXPECT_NE(second->listeners[0], first->listeners[0]);
  const auto third = apply({certificate("default/b", {"b.com"})});
  EXPECT_NE(third->listeners[0]->tls, context);
  EXPECT_EQ(third->listeners[0]->http, second->listeners[0]->http);
  EXPECT_NE(&third->listeners[0]->tls->find("b.com"),
            &third->listeners[0]->tls->find("unknown.com"));
  EXPECT_EQ(&first->listeners[0]->tls->find("b.com"),
            &first->listeners[0]->tls->find("unknown.com"));
  EXPECT_EQ(&third->listeners[0]->tls->find("a.com"), &first->listeners[0]->tls->find("a.com"))
      << "compiled once";
  v1::Resource defaulted = renamed;
  defaulted.mutable_listener()->mutable_tls()->set_default_certificate("default/b");
  const auto fourth = apply({defaulted});
  EXPECT_EQ(&fourth->listeners[0]->tls->find("unknown.com"),
            &fourth->listeners[0]->tls->find("b.com"));
  const auto fifth = apply({}, {{v1::RESOURCE_TYPE_CERTIFICATE, "default/b"}});
  EXPECT_EQ(&fifth->listeners[0]->tls->find("unknown.com"),
            &third->listeners[0]->tls->find("unknown.com"))
      << "self-signed again";
}

TEST_F(SnapshotBuilderTest, DefaultBackendOfAListener) {
  v1::Resource http = listener("http", ":80");
  http.mutable_listener()->set_default_cluster("default/fallback:80");
  auto snapshot = apply({http});
  EXPECT_EQ(snapshot->cluster(snapshot->listeners[0]->default_cluster_slot), nullptr);
  snapshot =
      apply({cluster("default/fallback:80"), endpoints("default/fallback:80", {"10.0.0.1"})});
  ASSERT_NE(snapshot->cluster(snapshot->listeners[0]->default_cluster_slot), nullptr);
  snapshot = apply({listener("http", ":80")});
  EXPECT_EQ(snapshot->listeners[0]->default_cluster_slot, route::kNoCluster);
}

TEST_F(SnapshotBuilderTest, ClustersOfAStreamListener) {
  v1::Resource tcp = listener("tcp", ":9000");
  tcp.mutable_listener()->set_protocol(v1::LISTENER_PROTOCOL_TCP);
  tcp.mutable_listener()->set_tcp_cluster("default/db:5432");
  auto snapshot = apply({tcp});
  const ClusterTarget target = snapshot->listeners[0]->stream_cluster;
  EXPECT_EQ(snapshot->cluster(target), nullptr);
  snapshot = apply({cluster("default/db:5432"), endpoints("default/db:5432", {"10.0.0.1"})});
  const auto held = snapshot->cluster(target);
  ASSERT_NE(held, nullptr);
  EXPECT_EQ(held->name, "default/db:5432");
  // A slot that went to another cluster is not taken for the first one.
  EXPECT_EQ(snapshot->cluster(ClusterTarget{target.slot, target.uid + 1}), nullptr);
  v1::Resource https = listener("https", ":443");
  https.mutable_listener()->set_protocol(v1::LISTENER_PROTOCOL_HTTPS);
  const auto pass = [&](const char* host, const char* cluster) {
    auto* entry = https.mutable_listener()->add_passthrough();
    entry->set_host(host);
    entry->set_cluster(cluster);
  };
  pass("a.com", "default/db:5432");
  pass("*.b.com", "default/none:1");
  snapshot = apply({https});
  const PassthroughHosts& hosts = *snapshot->listeners[0]->passthrough;
  ASSERT_NE(hosts.find("a.com"), nullptr);
  EXPECT_EQ(snapshot->cluster(*hosts.find("a.com")), held);
  ASSERT_NE(hosts.find("x.b.com"), nullptr);
  EXPECT_EQ(snapshot->cluster(*hosts.find("x.b.com")), nullptr);
  for (const char* other : {"", "b.com", "x.y.b.com", "com", "xa.com"})
    EXPECT_EQ(hosts.find(other), nullptr) << other;
}

// What makes the builder refuse: one fault each, in a resource named "bad" (but where the name is the fault).
struct Refusal {
  std::string what;
  v1::Resource bad;
  v1::ResourceType type;
  std::string reason;
};

v1::Resource with(v1::Resource resource, const std::function<void(v1::Resource&)>& change) {
  change(resource);
  return resource;
}

v1::Resource route(const std::function<void(v1::Route&)>& change) {
  return with(table("bad.com", {{"/", "x"}}),
              [&](v1::Resource& r) { change(*r.mutable_route_table()->mutable_routes(0)); });
}

v1::Resource bad_listener(const std::function<void(v1::Listener&)>& change) {
  return with(listener("bad", ":9"), [&](v1::Resource& r) { change(*r.mutable_listener()); });
}

v1::Resource bad_cluster(const std::function<void(v1::Cluster&)>& change) {
  return with(cluster("bad"), [&](v1::Resource& r) { change(*r.mutable_cluster()); });
}

v1::Resource nameless_body() {
  v1::Resource resource;
  resource.set_name("bad");
  return resource;
}

std::vector<Refusal> listener_refusals() {
  return {
      {"no body", nameless_body(), v1::RESOURCE_TYPE_UNSPECIFIED, "body"},
      {"no name", with(cluster(""), [](v1::Resource&) {}), v1::RESOURCE_TYPE_CLUSTER, "name"},
      {"protocol",
       bad_listener([](v1::Listener& l) { l.set_protocol(static_cast<v1::ListenerProtocol>(99)); }),
       v1::RESOURCE_TYPE_LISTENER, "protocol"},
      {"passthrough of a kind without TLS",
       bad_listener([](v1::Listener& l) { l.add_passthrough()->set_host("a.com"); }),
       v1::RESOURCE_TYPE_LISTENER, "server names"},
      {"passthrough host", bad_listener([](v1::Listener& l) {
         l.set_protocol(v1::LISTENER_PROTOCOL_HTTPS);
         l.add_passthrough()->set_host("*");
       }),
       v1::RESOURCE_TYPE_LISTENER, "host name"},
      {"tcp_cluster of HTTP", bad_listener([](v1::Listener& l) { l.set_tcp_cluster("a/b:1"); }),
       v1::RESOURCE_TYPE_LISTENER, "tcp_cluster"},
      {"trusted range",
       bad_listener([](v1::Listener& l) { l.mutable_proxy_protocol()->add_trusted_cidrs("10/8"); }),
       v1::RESOURCE_TYPE_LISTENER, "10/8"},
      {"no address", bad_listener([](v1::Listener& l) { l.clear_addresses(); }),
       v1::RESOURCE_TYPE_LISTENER, "address"},
      {"bad address", bad_listener([](v1::Listener& l) { l.set_addresses(0, "localhost"); }),
       v1::RESOURCE_TYPE_LISTENER, "localhost"},
      {"taken address", bad_listener([](v1::Listener& l) { l.set_addresses(0, "0.0.0.0:8080"); }),
       v1::RESOURCE_TYPE_LISTENER, "belongs"},
      {"address twice", bad_listener([](v1::Listener& l) { l.add_addresses(":9"); }),
       v1::RESOURCE_TYPE_LISTENER, "twice"},
      {"headers", bad_listener([](v1::Listener& l) { l.mutable_http()->set_headers_max(129); }),
       v1::RESOURCE_TYPE_LISTENER, "headers_max"},
      {"alpn", bad_listener([](v1::Listener& l) {
         l.set_protocol(v1::LISTENER_PROTOCOL_HTTPS);
         l.mutable_tls()->add_alpn("h3");
       }),
       v1::RESOURCE_TYPE_LISTENER, "h3"},
  };
}

std::vector<Refusal> certificate_refusals() {
  return {
      {"key of another",
       with(certificate("bad", {"b.com"}),
            [](v1::Resource& r) {
              r.mutable_certificate()->set_private_key_pem(
                  certificate("other", {}, tls::test::KeyKind::kP384)
                      .certificate()
                      .private_key_pem());
            }),
       v1::RESOURCE_TYPE_CERTIFICATE, ""},
      {"broken chain",
       with(certificate("bad", {"b.com"}),
            [](v1::Resource& r) { r.mutable_certificate()->set_chain_pem("no"); }),
       v1::RESOURCE_TYPE_CERTIFICATE, ""},
      {"certificate host", certificate("bad", {"a b"}), v1::RESOURCE_TYPE_CERTIFICATE, "a b"},
  };
}

std::vector<Refusal> route_refusals() {
  return {
      {"table name", with(table("bad.com", {}), [](v1::Resource& r) { r.set_name("x/y"); }),
       v1::RESOURCE_TYPE_ROUTE_TABLE, "name"},
      {"upper case host", table("Bad.com", {}), v1::RESOURCE_TYPE_ROUTE_TABLE, "Bad.com"},
      {"wildcard inside", table("a.*.com", {}), v1::RESOURCE_TYPE_ROUTE_TABLE, "a.*.com"},
      {"no path", route([](v1::Route& r) { r.clear_path(); }), v1::RESOURCE_TYPE_ROUTE_TABLE,
       "path"},
      {"relative path", route([](v1::Route& r) { r.mutable_path()->set_exact("x"); }),
       v1::RESOURCE_TYPE_ROUTE_TABLE, "'/'"},
      {"NUL in path", route([](v1::Route& r) { r.mutable_path()->set_exact("/%00"); }),
       v1::RESOURCE_TYPE_ROUTE_TABLE, "no request"},
      {"stray regex", route([](v1::Route& r) { r.mutable_path()->set_regex("/x"); }),
       v1::RESOURCE_TYPE_ROUTE_TABLE, "regex"},
      {"bad regex",
       with(table("bad.com", {{"/", "x"}}),
            [](v1::Resource& r) {
              r.mutable_route_table()->set_regex(true);
              r.mutable_route_table()->mutable_routes(0)->mutable_path()->set_regex("/(");
            }),
       v1::RESOURCE_TYPE_ROUTE_TABLE, "/("},
      {"costly regex",
       with(table("bad.com", {{"/", "x"}}),
            [](v1::Resource& r) {
              r.mutable_route_table()->set_regex(true);
              r.mutable_route_table()->mutable_routes(0)->mutable_path()->set_regex(
                  "/((a{100}){100}){9}");
            }),
       v1::RESOURCE_TYPE_ROUTE_TABLE, ""},
      {"no action", route([](v1::Route& r) { r.clear_action(); }), v1::RESOURCE_TYPE_ROUTE_TABLE,
       "action"},
      {"weights",
       route([](v1::Route& r) { r.mutable_backend()->mutable_clusters(0)->set_weight(1u << 31); }),
       v1::RESOURCE_TYPE_ROUTE_TABLE, "weights"},
      {"redirect status", route([](v1::Route& r) { r.mutable_redirect()->set_status(200); }),
       v1::RESOURCE_TYPE_ROUTE_TABLE, "300..399"},
      {"redirect split", route([](v1::Route& r) {
         r.mutable_redirect()->set_status(301);
         r.mutable_redirect()->set_location("/\r\nA: b");
       }),
       v1::RESOURCE_TYPE_ROUTE_TABLE, "location"},
      {"fixed status", route([](v1::Route& r) { r.mutable_fixed_response()->set_status(99); }),
       v1::RESOURCE_TYPE_ROUTE_TABLE, "200..599"},
      {"rewrite", route([](v1::Route& r) { r.mutable_rewrite()->set_template_("/$host"); }),
       v1::RESOURCE_TYPE_ROUTE_TABLE, "'$'"},
  };
}

std::vector<Refusal> cluster_refusals() {
  return {
      {"cluster protocol",
       bad_cluster([](v1::Cluster& c) { c.set_protocol(static_cast<v1::UpstreamProtocol>(99)); }),
       v1::RESOURCE_TYPE_CLUSTER, "protocol"},
      {"check kind", bad_cluster([](v1::Cluster& c) { c.mutable_health_check(); }),
       v1::RESOURCE_TYPE_CLUSTER, "health check"},
      {"check path", bad_cluster([](v1::Cluster& c) {
         c.mutable_health_check()->mutable_http()->set_path("/a b");
       }),
       v1::RESOURCE_TYPE_CLUSTER, "path"},
      {"check host", bad_cluster([](v1::Cluster& c) {
         c.mutable_health_check()->mutable_http()->set_host("a\r\nb");
       }),
       v1::RESOURCE_TYPE_CLUSTER, "host"},
      {"check status", bad_cluster([](v1::Cluster& c) {
         c.mutable_health_check()->mutable_http()->add_expected()->set_first(600);
       }),
       v1::RESOURCE_TYPE_CLUSTER, "status"},
      {"endpoint name", endpoints("bad", {"web.default.svc"}), v1::RESOURCE_TYPE_ENDPOINTS,
       "web.default.svc"},
      {"endpoint port",
       with(endpoints("bad", {"10.0.0.1"}),
            [](v1::Resource& r) { r.mutable_endpoints()->mutable_endpoints(0)->set_port(0); }),
       v1::RESOURCE_TYPE_ENDPOINTS, "port"},
  };
}

TEST_F(SnapshotBuilderTest, RefusesWithTypeNameAndReasonAndStaysAsItWas) {
  const auto before =
      apply({listener("http", "0.0.0.0:8080"), listener("https", "0.0.0.0:8443", true),
             certificate("c", {"a.com"}), table("a.com", {{"/", "x"}}), cluster("x"),
             endpoints("x", {"10.0.0.1"})});
  const size_t endpoints_live = registry.live();
  const size_t slots_held = metrics.held().size();
  for (const auto& refusals :
       {listener_refusals(), certificate_refusals(), route_refusals(), cluster_refusals()}) {
    for (const Refusal& c : refusals) {
      SCOPED_TRACE(c.what);
      // The good ones beside it are not taken either.
      const Rejection rejection = refuse({table("good.com", {{"/", "good"}}), cluster("good"),
                                          endpoints("good", {"10.7.7.7"}), c.bad});
      EXPECT_EQ(rejection.type, c.type);
      EXPECT_EQ(rejection.name, c.bad.name());
      EXPECT_NE(rejection.reason.find(c.reason), std::string::npos) << rejection.reason;
      EXPECT_EQ(rejection.reason.find('\n'), std::string::npos);
      EXPECT_EQ(registry.live(), endpoints_live);
      EXPECT_EQ(metrics.held().size(), slots_held);
    }
  }
  // Nothing stuck: the next transaction gives exactly its own change.
  const auto after = apply({endpoints("x", {"10.0.0.2"})});
  EXPECT_EQ(after->generation, before->generation + 1);
  EXPECT_EQ(after->route_sets, before->route_sets);
  EXPECT_EQ(after->listeners, before->listeners);
}

TEST_F(SnapshotBuilderTest, ListenersMayExchangeTheirAddresses) {
  apply({listener("a", ":1"), listener("b", ":2")});
  const auto swapped = apply({listener("a", ":2"), listener("b", ":1")});
  EXPECT_EQ(swapped->listeners[0]->addresses[0], ":2");
  const auto moved = apply({listener("c", ":2")}, {{v1::RESOURCE_TYPE_LISTENER, "a"}});
  EXPECT_EQ(moved->listeners.size(), 2u);
}

}  // namespace
}  // namespace ringway::config
