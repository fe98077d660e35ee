#include "controlplane/serve/proxy_cursor.h"

#include <gtest/gtest.h>

namespace ringway::serve {
namespace {

v1::Resource cluster(const std::string& name, const std::string& text) {
  v1::Resource resource;
  resource.set_name(name);
  resource.mutable_cluster()->mutable_metadata()->set_service(text);
  return resource;
}

v1::ResourceName named(const std::string& name) {
  v1::ResourceName out;
  out.set_type(v1::RESOURCE_TYPE_CLUSTER);
  out.set_name(name);
  return out;
}

v1::Hello wildcard() {
  v1::Hello hello;
  hello.set_node_id("n");
  hello.set_wildcard(true);
  return hello;
}

// Sends the transaction that is due, in one message; an empty nonce when none is.
v1::Transaction send(ProxyCursor& cursor) {
  v1::Transaction message;
  if (cursor.begin()) cursor.next_message(message);
  return message;
}

bool ack(ProxyCursor& cursor, const v1::Transaction& sent) {
  v1::Ack ack;
  ack.set_nonce(sent.nonce());
  return cursor.on_ack(ack);
}

bool nack(ProxyCursor& cursor, const v1::Transaction& sent, const std::string& name) {
  v1::Nack nack;
  nack.set_nonce(sent.nonce());
  nack.set_type(v1::RESOURCE_TYPE_CLUSTER);
  nack.set_name(name);
  nack.set_reason("no\nway");
  return cursor.on_nack(nack);
}

ProxyStatus report(const ProxyCursor& cursor) {
  ProxyStatus status;
  cursor.report(status);
  return status;
}

TEST(ProxyCursorTest, OneUnansweredTransactionAndThenTheLatestState) {
  snapshot::Store store;
  store.apply({cluster("a", "1")}, {});
  ProxyCursor cursor(store);
  EXPECT_FALSE(cursor.begin()) << "nothing before Hello";
  cursor.on_hello(wildcard());
  const v1::Transaction first = send(cursor);
  EXPECT_TRUE(first.full());
  for (int i = 2; i < 50; ++i) store.apply({cluster("a", std::to_string(i))}, {});
  EXPECT_FALSE(cursor.begin()) << "unanswered";
  EXPECT_TRUE(ack(cursor, first));
  const v1::Transaction second = send(cursor);
  EXPECT_FALSE(second.full());
  ASSERT_EQ(second.upserts_size(), 1);
  EXPECT_EQ(second.upserts(0).cluster().metadata().service(), "49");
  EXPECT_TRUE(ack(cursor, second));
  EXPECT_TRUE(report(cursor).in_sync);
  EXPECT_FALSE(cursor.begin());
}

TEST(ProxyCursorTest, AnswersToNothingBreakTheStream) {
  snapshot::Store store;
  ProxyCursor cursor(store);
  cursor.on_hello(wildcard());
  EXPECT_FALSE(cursor.on_ack({}));
  v1::Transaction sent = send(cursor);
  sent.set_nonce("other");
  EXPECT_FALSE(ack(cursor, sent));
  EXPECT_FALSE(nack(cursor, sent, "a"));
}

TEST(ProxyCursorTest, ARefusedResourceIsWithheldInThatVersionOnly) {
  snapshot::Store store;
  store.apply({cluster("a", "1"), cluster("bad", "1")}, {});
  ProxyCursor cursor(store);
  cursor.on_hello(wildcard());
  const v1::Transaction first = send(cursor);
  ASSERT_TRUE(nack(cursor, first, "bad"));
  EXPECT_EQ(report(cursor).nack_reason, "no way");
  const v1::Transaction rest = send(cursor);
  EXPECT_NE(rest.version(), first.version());
  ASSERT_EQ(rest.upserts_size(), 1);
  ASSERT_TRUE(ack(cursor, rest));
  EXPECT_EQ(report(cursor).withheld, 1u);
  EXPECT_FALSE(report(cursor).in_sync);
  EXPECT_FALSE(cursor.begin());
  store.apply({cluster("bad", "2")}, {});
  const v1::Transaction healed = send(cursor);
  ASSERT_EQ(healed.upserts_size(), 1);
  ASSERT_TRUE(ack(cursor, healed));
  EXPECT_TRUE(report(cursor).in_sync);
  EXPECT_EQ(report(cursor).nack_reason, "");
}

TEST(ProxyCursorTest, ARefusedResourceThatIsHeldInAnOlderVersionIsKept) {
  snapshot::Store store;
  store.apply({cluster("a", "2")}, {});
  v1::Hello hello = wildcard();
  v1::ResourceVersion& held = *hello.add_held();
  held.set_type(v1::RESOURCE_TYPE_CLUSTER);
  held.set_name("a");
  held.set_version(1);
  ProxyCursor cursor(store);
  cursor.on_hello(hello);
  ASSERT_TRUE(nack(cursor, send(cursor), "a"));
  const v1::Transaction second = send(cursor);
  EXPECT_TRUE(second.full());
  EXPECT_EQ(second.upserts_size(), 0);
  ASSERT_EQ(second.unchanged_held_size(), 1);
}

TEST(ProxyCursorTest, ARefusalWithoutAResourceWaitsForAnotherConfiguration) {
  snapshot::Store store;
  store.apply({cluster("a", "1")}, {});
  ProxyCursor cursor(store);
  cursor.on_hello(wildcard());
  ASSERT_TRUE(nack(cursor, send(cursor), "nothing of this name"));
  EXPECT_FALSE(cursor.begin());
  store.apply({cluster("b", "1")}, {});
  EXPECT_EQ(send(cursor).upserts_size(), 2);
}

TEST(ProxyCursorTest, OnlyWhatChangedIsSentToAProxyThatHoldsTheRest) {
  snapshot::Store store;
  store.apply({cluster("a", "1"), cluster("b", "1")}, {});
  v1::Hello hello = wildcard();
  for (const auto& resource : store.against({}).upserts) {
    v1::ResourceVersion& held = *hello.add_held();
    held.set_type(v1::RESOURCE_TYPE_CLUSTER);
    held.set_name(resource->name());
    held.set_version(resource->version());
  }
  store.apply({cluster("b", "2")}, {});
  ProxyCursor cursor(store);
  cursor.on_hello(hello);
  const v1::Transaction sent = send(cursor);
  EXPECT_EQ(sent.upserts_size(), 1);
  EXPECT_EQ(sent.unchanged_held_size(), 1);
}

TEST(ProxyCursorTest, RemovalsAreRememberedForWhoNeedsThem) {
  snapshot::Store store;
  store.apply({cluster("a", "1"), cluster("b", "1")}, {});
  ProxyCursor cursor(store);
  EXPECT_FALSE(cursor.floor().has_value());
  cursor.on_hello(wildcard());
  const v1::Transaction first = send(cursor);
  store.apply({}, {named("a")});
  store.forget_removals(std::min(store.sequence(), *cursor.floor()));
  ASSERT_TRUE(ack(cursor, first));
  const v1::Transaction second = send(cursor);
  ASSERT_EQ(second.removals_size(), 1);
  ASSERT_TRUE(ack(cursor, second));
  store.forget_removals(*cursor.floor());
  EXPECT_EQ(store.removals_remembered(), 0u);
}

}  // namespace
}  // namespace ringway::serve
