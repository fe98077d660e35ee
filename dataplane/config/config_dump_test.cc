#include "dataplane/config/config_dump.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "dataplane/config/health_targets.h"
#include "dataplane/config/snapshot_builder.h"
#include "dataplane/config/test_resources.h"
#include "dataplane/io/sim_ring.h"

namespace ringway::config {
namespace {

using namespace testing_resources;

TEST(ConfigDump, IsJsonWithoutPrivateKeys) {
  upstream::EndpointRegistry registry;
  MetricsSlots metrics;
  SnapshotBuilder builder(registry, metrics);
  const std::vector<v1::Resource> all{listener("https", ":443", true),
                                      table("a.com", {{"/", "x"}}),
                                      table("b.com", {}),
                                      cluster("x"),
                                      endpoints("x", {"10.0.0.1", "10.0.0.2"}),
                                      certificate("default/tls", {"a.com"})};
  ResourceSet set;
  for (const v1::Resource& resource : all) set.upsert(resource);
  const auto snapshot = builder.apply(all, {}, true, "v\"1");
  ASSERT_TRUE(snapshot.has_value());
  const std::string text = config_dump(**snapshot, set);
  const auto json = nlohmann::json::parse(text);
  EXPECT_EQ(json["version"], "v\"1");
  EXPECT_EQ(json["complete"], true);
  EXPECT_EQ(json["listeners"][0]["protocol"], "https");
  EXPECT_EQ(json["hosts"]["ingress"], 2);
  EXPECT_EQ(json["clusters"], 1);
  EXPECT_EQ(json["endpoints"], 2);
  EXPECT_EQ(json["resources"]["route_table"].size(), 2u);
  EXPECT_EQ(json["resources"]["endpoints"][0]["endpoints"]["endpoints"][1]["address"], "10.0.0.2");
  const auto& shown = json["resources"]["certificate"][0]["certificate"];
  EXPECT_EQ(shown["hosts"][0], "a.com");
  EXPECT_TRUE(shown.contains("chain_pem"));
  // As base64, as text, or in part: nothing of the key is there.
  EXPECT_EQ(shown["private_key_pem"], "cmVkYWN0ZWQ=");
  EXPECT_EQ(text.find("PRIVATE KEY"), std::string::npos);
  EXPECT_EQ(text.find("UFJJVkFURSBLRVk"),
            std::string::npos);  // base64 of "PRIVATE KEY", aligned as in "-----BEGIN PRIVATE KEY".
}

TEST(ConfigDump, OfNothing) {
  upstream::EndpointRegistry registry;
  MetricsSlots metrics;
  SnapshotBuilder builder(registry, metrics);
  const auto json = nlohmann::json::parse(config_dump(*builder.snapshot(), {}));
  EXPECT_TRUE(json["resources"].empty());
  EXPECT_EQ(json["complete"], false);
}

TEST(HealthTargets, FollowSnapshots) {
  upstream::EndpointRegistry registry;
  MetricsSlots metrics;
  SnapshotBuilder builder(registry, metrics);
  io::SimRing ring({}, {});
  io::TimerWheel wheel(ring.now_ns());
  upstream::HealthChecker checker(ring, wheel, 1);
  auto checked = [](v1::Resource resource) {
    resource.mutable_cluster()->mutable_health_check()->mutable_tcp();
    return resource;
  };
  SnapshotPointer last;
  const auto apply = [&](std::vector<v1::Resource> upserts, std::vector<ResourceKey> removals) {
    const auto next = builder.apply(upserts, removals, false, "v");
    ASSERT_TRUE(next.has_value());
    update_health_checks(checker, last.get(), **next);
    last = *next;
  };
  apply({checked(cluster("a")), endpoints("a", {"10.0.0.1", "10.0.0.2"}), cluster("b"),
         endpoints("b", {"10.0.0.3"})},
        {});
  EXPECT_EQ(checker.stats().checks, 2u);
  apply({checked(cluster("b"))}, {});
  EXPECT_EQ(checker.stats().checks, 3u);
  apply({endpoints("a", {"10.0.0.2"})}, {});
  EXPECT_EQ(checker.stats().checks, 2u);
  apply({cluster("b")}, {});
  EXPECT_EQ(checker.stats().checks, 1u);
  apply({}, {{v1::RESOURCE_TYPE_CLUSTER, "a"}});
  EXPECT_EQ(checker.stats().checks, 0u);
  checker.drain();
  EXPECT_TRUE(checker.drained());
}

}  // namespace
}  // namespace ringway::config
