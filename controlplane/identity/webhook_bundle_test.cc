#include "controlplane/identity/webhook_bundle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controlplane/kube/testing/fake_api.h"

namespace ringway::identity {
namespace {

using kube::testing::FakeApi;
using nlohmann::json;
using ::testing::HasSubstr;

constexpr char kPath[] =
    "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/ringway";

TEST(WebhookBundleTest, WritesOnceAndWhenItChanges) {
  FakeApi api;
  WebhookBundle bundle(api, "ringway");
  EXPECT_THAT(bundle.step("ca").error(), HasSubstr("ValidatingWebhookConfiguration ringway"));
  api.put(kPath, json::parse(R"({"metadata":{"name":"ringway","labels":{"a":"b"}},"webhooks":[
    {"name":"one","clientConfig":{"service":{"name":"s"}}},
    {"name":"two","clientConfig":{"caBundle":"b2xk"}}]})"));
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(bundle.step("ca").has_value());
  EXPECT_EQ(api.writes(), 1u);
  const json after = *api.get(kPath);
  EXPECT_EQ(after["webhooks"][0]["clientConfig"]["caBundle"], "Y2E=");
  EXPECT_EQ(after["webhooks"][1]["clientConfig"]["caBundle"], "Y2E=");
  EXPECT_EQ(after["webhooks"][0]["clientConfig"]["service"]["name"], "s");
  EXPECT_EQ(after["metadata"]["labels"]["a"], "b");
  ASSERT_TRUE(bundle.step("next").has_value());
  EXPECT_EQ(api.writes(), 2u);
}

TEST(WebhookBundleTest, WhatIsNotAConfigurationIsLeftAlone) {
  for (const char* object : {R"({})", R"({"webhooks":{}})", R"({"webhooks":[7]})",
                             R"({"webhooks":[{"clientConfig":null}]})"}) {
    FakeApi api;
    api.put(kPath, json::parse(object));
    WebhookBundle bundle(api, "ringway");
    EXPECT_FALSE(bundle.step("ca").has_value()) << object;
    EXPECT_EQ(api.writes(), 0u);
  }
}

}  // namespace
}  // namespace ringway::identity
