#include <gtest/gtest.h>

#include "base/random.h"
#include "controlplane/snapshot/removal_guard.h"
#include "controlplane/snapshot/store.h"
#include "controlplane/snapshot/transaction_writer.h"

namespace ringway::snapshot {
namespace {

v1::Resource make(v1::ResourceType type, const std::string& name, const std::string& text) {
  v1::Resource resource;
  resource.set_name(name);
  switch (type) {
    case v1::RESOURCE_TYPE_LISTENER:
      resource.mutable_listener()->set_route_set(text);
      break;
    case v1::RESOURCE_TYPE_ROUTE_TABLE:
      resource.mutable_route_table()->set_host(text);
      break;
    case v1::RESOURCE_TYPE_CLUSTER:
      resource.mutable_cluster()->mutable_metadata()->set_service(text);
      break;
    case v1::RESOURCE_TYPE_ENDPOINTS:
      resource.mutable_endpoints()->add_endpoints()->set_address(text);
      break;
    default:
      resource.mutable_certificate()->set_chain_pem(text);
  }
  return resource;
}

v1::ResourceName name_of(const Key& key) {
  v1::ResourceName name;
  name.set_type(key.type);
  name.set_name(key.name);
  return name;
}

// What a proxy does with a difference, message by message.
struct Proxy {
  std::map<Key, uint64_t> held;
  uint64_t cursor = 0;

  void take(Difference difference, size_t message_bytes_max) {
    cursor = difference.sequence;
    TransactionWriter writer(std::move(difference), "n", message_bytes_max);
    std::map<Key, uint64_t> next = held;
    std::map<Key, uint64_t> kept;
    bool full = false, last = false;
    while (!writer.done()) {
      v1::Transaction message;
      writer.next(message);
      EXPECT_FALSE(last);
      last = message.last();
      full = message.full();
      if (message.upserts_size() + message.removals_size() + message.unchanged_held_size() > 1) {
        EXPECT_LE(message.ByteSizeLong(), message_bytes_max);
      }
      for (const auto& resource : message.upserts())
        kept[{type_of(resource), resource.name()}] = next[{type_of(resource), resource.name()}] =
            resource.version();
      for (const auto& name : message.removals()) next.erase({name.type(), name.name()});
      for (const auto& name : message.unchanged_held())
        kept[{name.type(), name.name()}] = held.at({name.type(), name.name()});
    }
    EXPECT_TRUE(last);
    held = full ? kept : next;
  }
};

std::map<Key, uint64_t> state_of(const Store& store) {
  std::map<Key, uint64_t> out;
  for (const ResourcePtr& resource : store.against({}).upserts)
    out[{type_of(*resource), resource->name()}] = resource->version();
  return out;
}

TEST(StoreTest, AnySequenceOfEditsReachesEveryProxy) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    Store store;
    Proxy quick, slow;  // One takes every state, the other now and then; both reconnect.
    for (int round = 0; round < 60; ++round) {
      std::vector<v1::Resource> upserts;
      std::vector<v1::ResourceName> removals;
      for (uint32_t edits = random.below(8); edits > 0; --edits) {
        const auto type = static_cast<v1::ResourceType>(1 + random.below(5));
        const std::string name = "n" + std::to_string(random.below(12));
        if (random.chance(35)) {
          removals.push_back(name_of({type, name}));
        } else {
          upserts.push_back(
              make(type, name,
                   std::string(1 + random.below(200), static_cast<char>('a' + random.below(3)))));
        }
      }
      store.apply(std::move(upserts), removals);
      for (Proxy* proxy : {&quick, &slow}) {
        if (proxy == &slow && !random.chance(20)) continue;
        const bool reconnects = proxy->cursor == 0 || random.chance(10);
        proxy->take(reconnects ? store.against(proxy->held) : store.since(proxy->cursor),
                    64 + random.below(600));
        ASSERT_EQ(proxy->held, state_of(store));
        ASSERT_TRUE(store.since(proxy->cursor).empty());
      }
      if (slow.cursor != 0) store.forget_removals(std::min(quick.cursor, slow.cursor));
    }
    EXPECT_LE(store.removals_remembered(), 60u);
  }
}

TEST(StoreTest, VersionDependsOnContentOnly) {
  Store one, two;
  const auto a = make(v1::RESOURCE_TYPE_CLUSTER, "a", "x"),
             b = make(v1::RESOURCE_TYPE_ROUTE_TABLE, "b", "y");
  one.apply({a, b}, {});
  two.apply({b}, {});
  two.apply(
      {make(v1::RESOURCE_TYPE_CLUSTER, "a", "other"), make(v1::RESOURCE_TYPE_CLUSTER, "c", "z")},
      {});
  EXPECT_NE(one.version(), two.version());
  two.apply({a}, {name_of({v1::RESOURCE_TYPE_CLUSTER, "c"})});
  EXPECT_EQ(one.version(), two.version());
  EXPECT_EQ(one.version().size(), 16u);
  EXPECT_FALSE(two.apply({a, b}, {})) << "equal content is no change";
}

TEST(StoreTest, WhatIsReferredToComesFirst) {
  Store store;
  store.apply(
      {make(v1::RESOURCE_TYPE_LISTENER, "l", "x"), make(v1::RESOURCE_TYPE_ROUTE_TABLE, "r", "x"),
       make(v1::RESOURCE_TYPE_CLUSTER, "c", "x"), make(v1::RESOURCE_TYPE_CERTIFICATE, "t", "x"),
       make(v1::RESOURCE_TYPE_ENDPOINTS, "e", "x")},
      {});
  std::string order;
  for (const auto& resource : store.against({}).upserts) order += resource->name();
  EXPECT_EQ(order, "tcerl");
  store.apply({}, {name_of({v1::RESOURCE_TYPE_CLUSTER, "c"}),
                   name_of({v1::RESOURCE_TYPE_ROUTE_TABLE, "r"})});
  const Difference difference = store.since(1);
  ASSERT_EQ(difference.removals.size(), 2u);
  EXPECT_EQ(difference.removals[0].name, "r");
}

TEST(StoreTest, AnUpsertBeatsARemovalOfTheSameBatch) {
  Store store;
  const auto a = make(v1::RESOURCE_TYPE_CLUSTER, "a", "x");
  store.apply({a}, {});
  const Key key{v1::RESOURCE_TYPE_CLUSTER, "a"};
  EXPECT_FALSE(store.apply({a}, {name_of(key)}));
  EXPECT_TRUE(store.apply({make(v1::RESOURCE_TYPE_CLUSTER, "a", "y")}, {name_of(key)}));
  EXPECT_EQ(store.size(), 1u);
}

TEST(TransactionWriterTest, CutsAtTheLimitAndALargeResourceGoesAlone) {
  Store store;
  store.apply({make(v1::RESOURCE_TYPE_CLUSTER, "a", std::string(500, 'x')),
               make(v1::RESOURCE_TYPE_CLUSTER, "b", std::string(5000, 'x')),
               make(v1::RESOURCE_TYPE_CLUSTER, "c", std::string(500, 'x'))},
              {});
  TransactionWriter writer(store.against({}), "7", 1000);
  std::vector<int> sizes;
  while (!writer.done()) {
    v1::Transaction message;
    writer.next(message);
    sizes.push_back(message.upserts_size());
    EXPECT_EQ(message.nonce(), "7");
    EXPECT_TRUE(message.full());
  }
  EXPECT_EQ(sizes, (std::vector{1, 1, 1}));
}

TEST(TransactionWriterTest, AnEmptyTransactionIsOneMessage) {
  TransactionWriter writer(Store().against({}), "1");
  v1::Transaction message;
  writer.next(message);
  EXPECT_TRUE(message.last());
  EXPECT_TRUE(writer.done());
}

std::vector<v1::ResourceName> names(int first, int count) {
  std::vector<v1::ResourceName> out;
  for (int i = first; i < first + count; ++i)
    out.push_back(name_of({v1::RESOURCE_TYPE_CLUSTER, std::to_string(i)}));
  return out;
}

TEST(RemovalGuardTest, HoldsMassRemovalsAndTakesThemBack) {
  RemovalGuard guard({.hold_ns = 100, .resources_min = 10});
  EXPECT_EQ(guard.offer({}, names(0, 10), 20, 0).size(), 10u) << "half is allowed";
  EXPECT_EQ(guard.offer({}, names(0, 9), 9, 0).size(), 9u)
      << "small configurations are not guarded";
  EXPECT_EQ(guard.offer({}, names(0, 11), 20, 1000).size(), 0u);
  EXPECT_EQ(guard.held(), 11u);
  EXPECT_EQ(guard.deadline_ns(), 1100u);
  EXPECT_EQ(guard.offer({make(v1::RESOURCE_TYPE_CLUSTER, "3", "back")}, {}, 20, 1050).size(), 0u);
  EXPECT_EQ(guard.held(), 10u);
  EXPECT_TRUE(guard.release(1099).empty());
  EXPECT_EQ(guard.release(1100).size(), 10u);
  EXPECT_EQ(guard.held(), 0u);
}

TEST(RemovalGuardTest, ADropInSmallStepsIsHeldToo) {
  RemovalGuard guard({.hold_ns = 100, .resources_min = 10});
  EXPECT_EQ(guard.offer({}, names(0, 15), 20, 0).size(), 0u);
  EXPECT_EQ(guard.offer({}, names(15, 5), 20, 50).size(), 0u) << "the rest of the same fault";
  EXPECT_EQ(guard.release(100).size(), 20u);
}

}  // namespace
}  // namespace ringway::snapshot
