#include "controlplane/model/json_object.h"

#include <gmock/gmock.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include "kubernetes/config.pb.h"
#include "kubernetes/ingress.pb.h"
#include "kubernetes/service.pb.h"

namespace ringway::model {
namespace {

using google::protobuf::util::MessageDifferencer;
using ::testing::HasSubstr;

constexpr const char* kIngress = R"({
  "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
  "metadata": {
    "name": "front", "namespace": "shop", "uid": "u1", "resourceVersion": "42",
    "annotations": {
      "kubectl.kubernetes.io/last-applied-configuration": "{\"a\":1}",
      "nginx.ingress.kubernetes.io/rewrite-target": "/", "empty": null},
    "labels": {},
    "managedFields": [{"manager": "kubectl", "fieldsV1": {"f:metadata": {"f:annotations": [1, 2.5, {"x": null}]}}}]},
  "spec": {
    "ingressClassName": "ringway",
    "defaultBackend": {"service": {"name": "web", "port": {"number": 80}}, "resource": null},
    "rules": [
      {"host": "a.example", "http": {"paths": [
        {"path": "/", "pathType": "Prefix", "unread": [[{"path": "x"}]],
         "backend": {"service": {"name": "web", "port": {"name": "http"}}}}]}},
      {"host": "b.example"}],
    "tls": [{"hosts": ["a.example", "b.example"], "secretName": "cert"}]},
  "status": {"loadBalancer": {"ingress": [{"ip": "1.2.3.4", "ports": [{"port": 80}]}]}}
})";

TEST(JsonObjectTest, ReadsWhatTheMessageHasAndNothingElse) {
  kubernetes::Ingress pruned;
  const auto decoded = decode_json(kIngress, pruned);
  ASSERT_TRUE(decoded.has_value()) << decoded.error().field << ": " << decoded.error().message;
  kubernetes::Ingress whole;
  ASSERT_TRUE(decode(*parse_json(kIngress, {}), whole).has_value());
  EXPECT_EQ(whole.mutable_metadata()->mutable_annotations()->erase(
                "kubectl.kubernetes.io/last-applied-configuration"),
            1u);
  EXPECT_TRUE(MessageDifferencer::Equals(pruned, whole)) << pruned.DebugString();
  EXPECT_EQ(pruned.spec().rules(1).host(), "b.example");
  EXPECT_EQ(pruned.metadata().resource_version(), "42");
}

TEST(JsonObjectTest, ReadsNumbersStringsAndBytes) {
  kubernetes::Service service;
  ASSERT_TRUE(decode_json(R"({"spec":{"ports":[{"port":80,"targetPort":"http"},
                              {"port":81,"targetPort":8081,"nodePort":30000}]}})",
                          service)
                  .has_value());
  EXPECT_EQ(service.spec().ports(0).target_port().name(), "http");
  EXPECT_EQ(service.spec().ports(1).target_port().number(), 8081);
  kubernetes::Secret secret;
  ASSERT_TRUE(decode_json(R"({"data":{"tls.crt":"QUI="},"immutable":true})", secret).has_value());
  EXPECT_EQ(secret.data().at("tls.crt"), "AB");
}

TEST(JsonObjectTest, ErrorsNameTheField) {
  const auto error = [](const char* json) {
    kubernetes::Ingress ingress;
    const auto decoded = decode_json(json, ingress);
    return decoded ? "none" : decoded.error().field + "|" + decoded.error().message;
  };
  EXPECT_THAT(error(R"({"spec":{"rules":[{},{"host":5}]}})"),
              HasSubstr("spec.rules[1].host|must be a string, is a number"));
  EXPECT_THAT(error(R"({"spec":{"rules":{"host":"a"}}})"), HasSubstr("spec.rules|must be a list"));
  EXPECT_THAT(error(R"({"spec":[1]})"), HasSubstr("spec|must be a mapping"));
  EXPECT_THAT(error(R"({"metadata":{"labels":["a"]}})"), HasSubstr("must be a mapping"));
  EXPECT_THAT(error(R"({"metadata":{"labels":{"a":{"b":1}}}})"), HasSubstr("must be a string"));
  EXPECT_THAT(error(R"([])"), HasSubstr("must be a mapping"));
  EXPECT_THAT(error(R"(7)"), HasSubstr("must be a mapping"));
  EXPECT_THAT(error(R"({"spec":)"), HasSubstr("|"));
  EXPECT_THAT(error(R"({"spec":{}} x)"), HasSubstr("|"));
  EXPECT_THAT(error(""), HasSubstr("|"));
  EXPECT_EQ(error(R"({"status":{"a":[[[{"b":{}}]]]}})"), "none");
}

TEST(JsonObjectTest, AnyCutOfADocumentIsAnErrorOrTheSame) {
  const std::string_view whole = kIngress;
  for (size_t length = 0; length < whole.size(); ++length) {
    kubernetes::Ingress ingress;
    EXPECT_FALSE(decode_json(whole.substr(0, length), ingress).has_value()) << length;
  }
}

TEST(JsonObjectTest, DeepNestingIsBounded) {
  const std::string deep(100'000, '[');
  kubernetes::Ingress ingress;
  EXPECT_FALSE(decode_json("{\"status\":" + deep, ingress).has_value());
  EXPECT_FALSE(decode_json("{\"spec\":" + deep, ingress).has_value());
  const std::string whole = deep + std::string(deep.size(), ']');
  EXPECT_TRUE(decode_json("{\"status\":" + whole + "}", ingress).has_value());
}

}  // namespace
}  // namespace ringway::model
