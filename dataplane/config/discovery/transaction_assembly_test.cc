#include "dataplane/config/discovery/transaction_assembly.h"

#include <gtest/gtest.h>

#include "base/random.h"
#include "dataplane/config/discovery/grpc_frame.h"

namespace ringway::config {
namespace {

v1::Resource cluster(const std::string& name, uint64_t version = 1) {
  v1::Resource resource;
  resource.set_name(name);
  resource.set_version(version);
  resource.mutable_cluster();
  return resource;
}

v1::ResourceName named(const std::string& name) {
  v1::ResourceName out;
  out.set_type(v1::RESOURCE_TYPE_CLUSTER);
  out.set_name(name);
  return out;
}

v1::Transaction message(bool full, std::vector<v1::Resource> upserts,
                        std::vector<std::string> removals = {},
                        std::vector<std::string> unchanged = {}, bool last = true) {
  v1::Transaction out;
  out.set_version("v2");
  out.set_nonce("n");
  out.set_full(full);
  out.set_last(last);
  for (const auto& resource : upserts) *out.add_upserts() = resource;
  for (const auto& name : removals) *out.add_removals() = named(name);
  for (const auto& name : unchanged) *out.add_unchanged_held() = named(name);
  return out;
}

ResourceSet set_of(std::initializer_list<const char*> names) {
  ResourceSet set;
  for (const char* name : names) set.upsert(cluster(name));
  return set;
}

std::string names(const ResourceSet& set) {
  std::string out;
  for (const auto& [key, entry] : set.entries())
    out += key.name + std::to_string(entry.version) + " ";
  return out;
}

struct Case {
  const char* name;
  v1::Transaction message;
  const char* after;    // names() of {a, b} afterwards, or
  const char* refusal;  // the reason.
};

TEST(TransactionAssemblyTest, TurnsEveryFormIntoADifference) {
  v1::Resource bodyless, nameless = cluster("");
  bodyless.set_name("x");
  const Case cases[] = {
      {"difference", message(false, {cluster("c"), cluster("a", 2)}, {"b"}), "a2 c1 ", ""},
      {"difference_removes_unknown", message(false, {}, {"zz", "b", "b"}), "a1 ", ""},
      {"empty_difference", message(false, {}), "a1 b1 ", ""},
      {"full", message(true, {cluster("c")}), "c1 ", ""},
      {"full_keeps_unchanged", message(true, {cluster("c")}, {}, {"a"}), "a1 c1 ", ""},
      {"full_and_empty", message(true, {}), "", ""},
      {"unchanged_not_held", message(true, {}, {}, {"q"}), "",
       "named as unchanged, but the proxy does not hold it"},
      {"twice", message(false, {cluster("c"), cluster("c", 2)}), "",
       "resource is twice in the transaction"},
      {"sent_and_removed", message(false, {cluster("a", 2)}, {"a"}), "",
       "resource is both sent and removed"},
      {"no_body", message(false, {bodyless}), "", "resource of a type this proxy does not know"},
      {"no_name", message(false, {nameless}), "", "resource without a name"},
      {"too_many", message(false, {cluster("c"), cluster("d"), cluster("e")}), "",
       "more resources than this proxy may hold"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    ResourceSet set = set_of({"a", "b"});
    TransactionAssembly assembly(1000, 4);
    ASSERT_EQ(assembly.add(v1::Transaction(c.message), 10),
              TransactionAssembly::Progress::kComplete);
    auto assembled = assembly.finish(set);
    ASSERT_EQ(assembled.has_value(), std::string(c.refusal).empty());
    EXPECT_FALSE(assembly.open());
    if (!assembled) {
      EXPECT_EQ(assembled.error().rejection.reason, c.refusal);
      EXPECT_EQ(assembled.error().nonce, "n");
      EXPECT_EQ(names(set), "a1 b1 ");
      continue;
    }
    std::move(*assembled).commit_to(set);
    EXPECT_EQ(names(set), c.after);
  }
}

TEST(TransactionAssemblyTest, UpsertsAreSortedByTypeAndName) {
  v1::Resource listener;
  listener.set_name("z");
  listener.mutable_listener();
  TransactionAssembly assembly(1000, 10);
  assembly.add(message(true, {cluster("b"), cluster("a"), listener}), 10);
  const auto assembled = assembly.finish({});
  ASSERT_TRUE(assembled);
  ASSERT_EQ(assembled->transaction.upserts.size(), 3u);
  EXPECT_TRUE(assembled->transaction.upserts[0].has_listener());
  EXPECT_EQ(assembled->transaction.upserts[1].name(), "a");
}

TEST(TransactionAssemblyTest, FaultsOfTheStream) {
  using Progress = TransactionAssembly::Progress;
  v1::Transaction other = message(false, {});
  other.set_nonce("other");
  {
    TransactionAssembly assembly(1000, 10);
    EXPECT_EQ(assembly.add(message(false, {}, {}, {}, false), 10), Progress::kMore);
    EXPECT_EQ(assembly.add(std::move(other), 10), Progress::kBroken);
  }
  {
    TransactionAssembly assembly(1000, 10);
    EXPECT_EQ(assembly.add(message(false, {}, {}, {}, false), 999), Progress::kMore);
    EXPECT_EQ(assembly.add(message(false, {}), 2), Progress::kBroken);
    EXPECT_EQ(assembly.fault(), "transaction above the size limit");
  }
  {
    TransactionAssembly assembly(1000, 1);
    EXPECT_EQ(assembly.add(message(false, {}, {"a", "b", "c"}), 10), Progress::kBroken);
  }
}

TEST(TransactionAssemblyTest, AKeylessCertificateIsNotHeld) {
  ResourceSet set;
  v1::Resource certificate;
  certificate.set_name("shop/tls");
  certificate.mutable_certificate()->set_chain_pem("chain");
  ResourceSet::Entry entry;
  entry.keyless = true;
  entry.bytes = certificate.SerializeAsString();
  set.upsert({v1::RESOURCE_TYPE_CERTIFICATE, "shop/tls"}, std::move(entry));
  set.upsert(cluster("a"));
  set.set_version("v1");
  v1::Hello hello;
  set.write_held(hello);
  ASSERT_EQ(hello.held_size(), 1);
  EXPECT_EQ(hello.held(0).name(), "a");
  EXPECT_EQ(hello.last_version(), "v1");
  EXPECT_EQ(whole_transaction(set).upserts.size(), 1u);

  // The sink does not know it, so it is not told of its removal; the set forgets it.
  TransactionAssembly assembly(1000, 10);
  assembly.add(message(true, {}, {}, {"a"}), 10);
  auto assembled = assembly.finish(set);
  ASSERT_TRUE(assembled);
  EXPECT_TRUE(assembled->transaction.removals.empty());
  std::move(*assembled).commit_to(set);
  EXPECT_EQ(names(set), "a1 ");
}

TEST(GrpcFrameTest, CutsAnySegmentation) {
  std::string stream;
  std::vector<std::string> messages = {"", "a", std::string(70'000, 'x'), "", "end"};
  for (const std::string& each : messages) append_grpc_frame(stream, each);
  Random random(3);
  for (int round = 0; round < 200; ++round) {
    GrpcFrameDecoder decoder(100'000);
    std::vector<std::string> got;
    std::string_view rest = stream;
    while (!rest.empty()) {
      std::string_view part = rest.substr(0, 1 + random.below(round % 2 == 0 ? 10 : 100'000));
      rest.remove_prefix(part.size());
      while (decoder.next(part)) got.emplace_back(decoder.message());
    }
    EXPECT_EQ(got, messages);
    EXPECT_FALSE(decoder.mid_message());
  }
}

}  // namespace
}  // namespace ringway::config
