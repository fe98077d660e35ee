// Random edits: a builder that saw all of them, refusals in between, describes the same
// configuration as one that saw only the outcome.
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "base/random.h"
#include "dataplane/config/snapshot_builder.h"
#include "dataplane/config/test_resources.h"

namespace ringway::config {
namespace {

// Everything a request can meet, by names instead of slots.
std::string describe(const Snapshot& snapshot, const std::set<std::string>& hosts) {
  std::string out;
  const auto cluster_text = [&](uint32_t slot) {
    const upstream::Cluster* cluster = snapshot.cluster(slot);
    if (cluster == nullptr) return std::string("none");
    std::string text = cluster->name + "[" + std::to_string(static_cast<int>(cluster->balancer));
    for (const auto& endpoint : cluster->endpoints)
      text += " " + endpoint.state->text + "*" + std::to_string(endpoint.weight);
    return text + "]";
  };
  for (const auto& listener : snapshot.listeners) {
    out += "listener " + listener->name + " " + listener->addresses[0] + " " +
           cluster_text(listener->default_cluster_slot) + "\n";
  }
  const route::RouteSet* set = snapshot.route_set("ingress");
  out += "hosts " + std::to_string(set == nullptr ? 0 : set->hosts()) + "\n";
  for (const std::string& host : hosts) {
    const route::RouteTable* table = set == nullptr ? nullptr : set->find(host);
    if (table == nullptr) continue;
    out += host + ":";
    for (const auto& rule : table->rules()) {
      out += " " + rule.path + "=" +
             cluster_text(rule.route->clusters.empty() ? route::kNoCluster
                                                       : rule.route->clusters[0].cluster_slot);
    }
    out += "\n";
  }
  size_t clusters = 0;
  for (uint32_t slot = 0; slot < snapshot.cluster_chunks.size() * Snapshot::kChunk; ++slot) {
    const upstream::Cluster* cluster = snapshot.cluster(slot);
    if (cluster == nullptr) continue;
    EXPECT_EQ(cluster->slot, slot);
    ++clusters;
  }
  return out + "clusters " + std::to_string(clusters) + "\n";
}

v1::Resource random_resource(Random& random) {
  const std::string host = "h" + std::to_string(random.below(6)) + ".com";
  const std::string name = "c" + std::to_string(random.below(8));
  switch (random.below(8)) {
    case 0: {
      v1::Resource out = testing_resources::listener("l" + std::to_string(random.below(2)),
                                                     ":" + std::to_string(1 + random.below(4)));
      out.mutable_listener()->set_default_cluster(name);
      return out;
    }
    case 1:
    case 2: {
      std::vector<std::pair<std::string, std::string>> routes;
      for (uint32_t i = random.below(4); i != 0; --i) {
        routes.push_back(
            {"/" + std::to_string(random.below(5)), "c" + std::to_string(random.below(8))});
      }
      return testing_resources::table(random.below(5) == 0   ? "*"
                                      : random.below(5) == 0 ? "*.com"
                                                             : host,
                                      routes);
    }
    case 3:
    case 4: {
      v1::Resource out = testing_resources::cluster(name);
      if (random.below(2) == 0) out.mutable_cluster()->set_balancer(v1::BALANCER_LEAST_REQUEST);
      return out;
    }
    default: {
      std::vector<std::string> addresses;
      for (uint32_t i = random.below(4); i != 0; --i)
        addresses.push_back("10.0.0." + std::to_string(1 + random.below(9)));
      return testing_resources::endpoints(name, addresses);
    }
  }
}

ResourceKey key_of(const v1::Resource& resource) {
  // Body fields and types are numbered alike, two apart.
  return {static_cast<v1::ResourceType>(static_cast<int>(resource.body_case()) - 2),
          resource.name()};
}

TEST(SnapshotProperty, AnyEditsComeToTheSameAsTheirOutcome) {
  const std::set<std::string> hosts{"h0.com", "h1.com", "h2.com",    "h3.com",
                                    "h4.com", "h5.com", "other.com", "x.y.z"};
  int refused = 0;
  for (uint64_t seed = 0; seed < 150; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    upstream::EndpointRegistry registry;
    MetricsSlots metrics;
    SnapshotBuilder builder(registry, metrics);
    std::map<ResourceKey, v1::Resource> model;
    uint64_t version = 0;
    for (int step = 0; step < 25; ++step) {
      std::map<ResourceKey, v1::Resource> next = model;
      std::vector<v1::Resource> upserts;
      std::vector<ResourceKey> removals;
      std::set<ResourceKey> keys;
      for (uint32_t i = random.below(6); i != 0; --i) {
        v1::Resource resource = random_resource(random);
        const ResourceKey key = key_of(resource);
        if (!keys.insert(key).second) continue;
        if (random.below(3) == 0) {
          removals.push_back(key);
          next.erase(key);
        } else {
          resource.set_version(++version);
          next[key] = resource;
          upserts.push_back(std::move(resource));
        }
      }
      if (random.below(5) == 0) {
        upserts.push_back(testing_resources::endpoints("c1", {"not an address"}));
        std::erase_if(removals,
                      [&](const ResourceKey& key) { return key == key_of(upserts.back()); });
      }
      const auto result = builder.apply(upserts, removals, false, "v");
      if (result)
        model = std::move(next);
      else
        ++refused;  // Two listeners may also claim one address.
    }
    std::vector<v1::Resource> all;
    for (const auto& [key, resource] : model) all.push_back(resource);
    upstream::EndpointRegistry fresh_registry;
    MetricsSlots fresh_metrics;
    SnapshotBuilder fresh(fresh_registry, fresh_metrics);
    const auto whole = fresh.apply(all, {}, true, "v");
    ASSERT_TRUE(whole.has_value()) << whole.error().reason;
    ASSERT_EQ(describe(*builder.snapshot(), hosts), describe(**whole, hosts));
    EXPECT_EQ(registry.live(), fresh_registry.live()) << "nothing is held that is not needed";
  }
  EXPECT_GT(refused, 100);
}

}  // namespace
}  // namespace ringway::config
