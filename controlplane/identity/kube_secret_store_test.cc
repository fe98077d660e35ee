#include "controlplane/identity/kube_secret_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controlplane/identity/keeper.h"
#include "controlplane/kube/testing/fake_api.h"

namespace ringway::identity {
namespace {

using kube::testing::FakeApi;
using nlohmann::json;
using ::testing::HasSubstr;

constexpr char kSecrets[] = "/api/v1/namespaces/ns/secrets/";

class KubeSecretStoreTest : public ::testing::Test {
 protected:
  FakeApi api_;
  KubeSecretStore store_{api_, "ns"};
};

TEST_F(KubeSecretStoreTest, CreatesOnceAndUpdatesWhatItRead) {
  EXPECT_EQ(store_.get("s")->has_value(), false);
  EXPECT_EQ(store_.put("s", "Opaque", {{"a", std::string("\0\xFF", 2)}}, ""), true);
  EXPECT_EQ(store_.put("s", "Opaque", {{"a", "late"}}, ""), false) << "it exists";
  const auto first = store_.get("s");
  ASSERT_TRUE(first && *first);
  EXPECT_EQ((*first)->data, (SecretData{{"a", std::string("\0\xFF", 2)}}));
  EXPECT_EQ(store_.put("s", "Opaque", {{"b", "x"}}, (*first)->version), true);
  EXPECT_EQ(store_.put("s", "Opaque", {{"b", "y"}}, (*first)->version), false) << "stale";
  EXPECT_EQ((*store_.get("s"))->data, (SecretData{{"b", "x"}}));
}

TEST_F(KubeSecretStoreTest, WhatOthersKeepInTheObjectStays) {
  api_.put(
      std::string(kSecrets) + "s",
      json::parse(R"({"type":"example.com/theirs","metadata":{"name":"s","labels":{"x":"y"}}})"));
  const auto read = store_.get("s");
  ASSERT_TRUE(read && *read);
  EXPECT_TRUE((*read)->data.empty());
  EXPECT_EQ(store_.put("s", "Opaque", {{"a", "b"}}, (*read)->version), true);
  const json after = *api_.get(std::string(kSecrets) + "s");
  EXPECT_EQ(after["type"], "example.com/theirs") << "the type of a Secret cannot change";
  EXPECT_EQ(after["metadata"]["labels"]["x"], "y");
}

TEST_F(KubeSecretStoreTest, DeletedBetweenReadAndWriteIsALostRace) {
  (void)store_.put("s", "Opaque", {}, "");
  const auto read = store_.get("s");
  api_.erase(std::string(kSecrets) + "s");
  EXPECT_EQ(store_.put("s", "Opaque", {}, (*read)->version), false);
}

TEST_F(KubeSecretStoreTest, FaultsAreOneLineAndQuoteNoData) {
  api_.set_cut_off(true);
  EXPECT_THAT(store_.get("s").error(), HasSubstr("Secret s: "));
  api_.set_cut_off(false);
  for (const char* body : {"[]", "{}", R"({"metadata":{}})", R"({"data":"c2VjcmV0")"}) {
    api_.set_fault([&](const kube::Request&) -> std::optional<kube::Result> {
      return kube::Response{.status = 200, .body = body};
    });
    EXPECT_FALSE(store_.get("s").has_value()) << body;
  }
}

TEST_F(KubeSecretStoreTest, AKeeperOnIt) {
  Keeper keeper(store_, {.prefix = "edge"});
  ASSERT_TRUE(keeper.step(1'800'000'000).has_value());
  EXPECT_EQ((*api_.get(std::string(kSecrets) + "edge-proxy-tls"))["type"], "kubernetes.io/tls");
  const uint64_t writes = api_.writes();
  ASSERT_TRUE(keeper.step(1'800'000'060).has_value());
  EXPECT_EQ(api_.writes(), writes);
  ASSERT_TRUE(keeper.step(1'800'000'000 + 20 * 3600).has_value());
  EXPECT_EQ(api_.writes(), writes + 1);
}

}  // namespace
}  // namespace ringway::identity
