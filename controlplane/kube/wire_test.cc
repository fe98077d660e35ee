#include "controlplane/kube/wire.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/random.h"
#include "controlplane/kube/resource.h"

namespace ringway::kube {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(WireTest, CutsAListIntoItsItems) {
  const auto page =
      cut_list(R"( {"kind":"IngressList", "metadata" : {"resourceVersion":"7","continue":"ab\"c"},
    "items": [ {"a":"}]\"{"}, {"b":[1,{"c":[]}]} ,3, null ] } )");
  ASSERT_TRUE(page.has_value()) << page.error();
  EXPECT_EQ(page->resource_version, "7");
  EXPECT_EQ(page->continue_token, "ab\"c");
  EXPECT_THAT(page->items, ElementsAre(R"({"a":"}]\"{"})", R"({"b":[1,{"c":[]}]})", "3", "null"));
  EXPECT_TRUE(cut_list(R"({"metadata":{"resourceVersion":"1"},"items":null})")->items.empty());
  EXPECT_TRUE(cut_list(R"({"items":[],"metadata":{"resourceVersion":"1"}})")->items.empty());
}

TEST(WireTest, RefusesWhatIsNoList) {
  for (const char* body :
       {"", "null", "[]", "{}", R"({"items":[]})", R"({"metadata":{"resourceVersion":"1"}})",
        R"({"metadata":{"resourceVersion":"1"},"items":{}})", R"({"metadata":7,"items":[]})",
        R"({"metadata":{"resourceVersion":"1"},"items":[{]})",
        R"({"metadata":{"resourceVersion":"1"},"items":[)",
        R"({"metadata":{"resourceVersion":"1"},"items":["])",
        R"({"metadata":{"resourceVersion":"1"},"items":[]} x)", "<html>"}) {
    EXPECT_FALSE(cut_list(body).has_value()) << body;
  }
}

TEST(WireTest, CutsEvents) {
  const auto event = cut_event(R"({"object":{"kind":"x"},"type":"MODIFIED"})");
  ASSERT_TRUE(event.has_value());
  EXPECT_EQ(event->type, EventType::kModified);
  EXPECT_EQ(event->object, R"({"kind":"x"})");
  for (const char* line : {"", "x", "{}", R"({"type":"ADDED"})", R"({"type":"NEW","object":{}})",
                           R"({"type":"ADDED","object":{})", R"({"type":"ADDED","object":{}}})"}) {
    EXPECT_FALSE(cut_event(line).has_value()) << line;
  }
}

TEST(WireTest, ReadsHeadsAndStatus) {
  const ObjectHead head = read_head(
      R"({"metadata":{"name":"n","namespace":"s","resourceVersion":"9",
          "annotations":{"k8s.io/initial-events-end":"true"}}})");
  EXPECT_EQ(head.name, "n");
  EXPECT_EQ(head.ns, "s");
  EXPECT_EQ(head.resource_version, "9");
  EXPECT_TRUE(head.initial_events_end);
  for (const char* broken : {"", "5", "{\"metadata\":", "{\"metadata\":[]}", "{\"metadata\":{}}",
                             "{\"metadata\":{\"annotations\":7}}"}) {
    EXPECT_EQ(read_head(broken).name, "") << broken;
  }
  EXPECT_EQ(read_status(R"({"code":410,"reason":"Expired","message":"m"})").code, 410);
  EXPECT_EQ(read_status("garbage").code, 0);
}

TEST(WireTest, NoBytesReadPastTheEnd) {
  const std::string good =
      R"({"metadata":{"resourceVersion":"7"},"items":[{"a":"\\\"x"},{"b":[1,{"c":[]}]},"s"]})";
  Random random(1);
  for (size_t length = 0; length < good.size(); ++length) {
    // On the heap and exactly as long, so that a sanitizer sees a read past the end.
    const std::vector<char> cut(good.begin(), good.begin() + static_cast<ptrdiff_t>(length));
    EXPECT_FALSE(cut_list({cut.data(), cut.size()}).has_value()) << length;
  }
  for (int round = 0; round < 20'000; ++round) {
    std::vector<char> bytes(good.begin(), good.end());
    for (int i = 0; i < 3; ++i) {
      bytes[random.below(static_cast<uint32_t>(bytes.size()))] = "{}[]\",:\\x"[random.below(9)];
    }
    const std::string_view text(bytes.data(), bytes.size());
    if (const auto page = cut_list(text)) {
      for (const std::string_view item : page->items) {
        (void)read_item(resource_of(model::Kind::kIngress), item);
      }
    }
    (void)cut_event(text);
    (void)read_head(text);
  }
}

TEST(ResourceTest, NamesPaths) {
  EXPECT_EQ(collection_path(resource_of(model::Kind::kIngress), ""),
            "/apis/networking.k8s.io/v1/ingresses");
  EXPECT_EQ(collection_path(resource_of(model::Kind::kEndpointSlice), "shop"),
            "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices");
  EXPECT_EQ(object_path(resource_of(model::Kind::kSecret), "shop", "cert"),
            "/api/v1/namespaces/shop/secrets/cert");
  EXPECT_EQ(collection_path(namespace_resource(), ""), "/api/v1/namespaces");
}

TEST(ResourceTest, TwoVersionsThatDifferInNothingReadAreEqual) {
  const auto slice = [](const char* version, const char* stamp, const char* ip) {
    return read_item(
        resource_of(model::Kind::kEndpointSlice),
        std::string(R"({"metadata":{"name":"s","namespace":"n","uid":"u","resourceVersion":")") +
            version + R"(","annotations":{"endpoints.kubernetes.io/last-change-trigger-time":")" +
            stamp + R"("},"labels":{"kubernetes.io/service-name":"web","app":"x"}},
          "endpoints":[{"addresses":[")" +
            ip + R"("]}]})");
  };
  const auto one = slice("1", "a", "10.0.0.1"), two = slice("2", "b", "10.0.0.1"),
             three = slice("3", "b", "10.0.0.2");
  ASSERT_TRUE(one.has_value());
  EXPECT_EQ(one->resource_version, "1");
  EXPECT_TRUE(same_content(*one->message, *two->message));
  EXPECT_FALSE(same_content(*one->message, *three->message));
  const auto& read = std::get<kubernetes::EndpointSlice>(one->object->body);
  EXPECT_EQ(read.metadata().labels().size(), 1u);
  EXPECT_EQ(read.metadata().resource_version(), "");
}

TEST(ResourceTest, ABadObjectIsNamedAsFarAsItCanBe) {
  const auto bad = read_item(
      resource_of(model::Kind::kIngress),
      R"({"metadata":{"name":"front","namespace":"shop","resourceVersion":"8"},"spec":{"rules":[{"host":7}]}})");
  ASSERT_FALSE(bad.has_value());
  EXPECT_EQ(bad.error().id(), "shop/front");
  EXPECT_EQ(bad.error().resource_version, "8");
  EXPECT_EQ(bad.error().problem.field, "spec.rules[0].host");
  EXPECT_EQ(bad.error().problem.object.name, "front");
  const auto nameless = read_item(resource_of(model::Kind::kIngress), "[]");
  ASSERT_FALSE(nameless.has_value());
  EXPECT_THAT(nameless.error().problem.message, HasSubstr("an object of kind Ingress"));
  EXPECT_FALSE(read_item(resource_of(model::Kind::kIngress),
                         R"({"metadata":{"name":"../x","namespace":"shop"}})")
                   .has_value());
  EXPECT_FALSE(
      read_item(resource_of(model::Kind::kIngress), R"({"metadata":{"name":"x"}})").has_value());
}

}  // namespace
}  // namespace ringway::kube
