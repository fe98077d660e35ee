#include "controlplane/kube/references.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/check.h"
#include "controlplane/kube/testing/fake_api_server.h"

namespace ringway::kube {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class ReferencesTest : public testing::Test {
 protected:
  static model::ObjectPtr read(model::Kind kind, const FakeApiServer::Json& json) {
    const auto item = read_item(resource_of(kind), json.dump());
    CHECK(item.has_value());
    return item->object;
  }
  static model::ObjectPtr ingress(const std::string& name, const std::string& secret,
                                  const std::string& ingress_class = "ringway") {
    auto json = fake_ingress("shop", name, "web", secret);
    json["spec"]["ingressClassName"] = ingress_class;
    return read(model::Kind::kIngress, json);
  }
  std::vector<std::string> settle(References& references) {
    std::vector<std::string> log;
    references.settle([&](const ObjectName& n) { log.push_back("+" + n.ns + "/" + n.name); },
                      [&](const ObjectName& n) { log.push_back("-" + n.ns + "/" + n.name); });
    return log;
  }
  translate::Options options_;
};

TEST_F(ReferencesTest, NamesSecretsAndConfigMapsOfItsOwnNamespace) {
  auto json = fake_ingress("shop", "front", "web", "cert");
  json["metadata"]["annotations"] = {
      {"nginx.ingress.kubernetes.io/auth-secret", "users"},
      {"nginx.ingress.kubernetes.io/auth-tls-secret", "shop/ca"},
      {"nginx.ingress.kubernetes.io/proxy-ssl-secret", "other/stolen"},
      {"nginx.ingress.kubernetes.io/custom-headers", "shop/headers"},
      {"nginx.ingress.kubernetes.io/auth-proxy-set-headers", "../x"}};
  json["spec"]["tls"].push_back({{"secretName", "cert"}});
  json["spec"]["tls"].push_back({{"secretName", ""}});
  const auto object = read(model::Kind::kIngress, json);
  const auto names =
      references_of(std::get<kubernetes::Ingress>(object->body), "nginx.ingress.kubernetes.io/");
  EXPECT_THAT(names, ElementsAre(ObjectName{model::Kind::kSecret, "shop", "ca"},
                                 ObjectName{model::Kind::kSecret, "shop", "cert"},
                                 ObjectName{model::Kind::kSecret, "shop", "users"},
                                 ObjectName{model::Kind::kConfigMap, "shop", "headers"}));
}

TEST_F(ReferencesTest, OnlyOfIngressesThatAreOurs) {
  References references(options_, {{model::Kind::kSecret, "sys", "default"}});
  EXPECT_THAT(settle(references), ElementsAre("+sys/default"));
  references.upsert(ingress("a", "one"));
  references.upsert(ingress("b", "two", "nginx"));
  EXPECT_THAT(settle(references), IsEmpty()) << "no class is known";
  references.upsert(read(model::Kind::kIngressClass, fake_class("ringway", "ringway.dev/ingress")));
  EXPECT_THAT(settle(references), ElementsAre("+shop/one"));
  references.upsert(read(model::Kind::kIngressClass, fake_class("nginx", "k8s.io/ingress-nginx")));
  EXPECT_THAT(settle(references), IsEmpty());
  references.upsert(read(model::Kind::kIngressClass, fake_class("nginx", "ringway.dev/ingress")));
  EXPECT_THAT(settle(references), ElementsAre("+shop/two"));
  references.remove({model::Kind::kIngressClass, "", "ringway"});
  EXPECT_THAT(settle(references), ElementsAre("-shop/one"));
}

TEST_F(ReferencesTest, GoesWithTheLastThatNamesIt) {
  References references(options_, {});
  references.upsert(read(model::Kind::kIngressClass, fake_class("ringway", "ringway.dev/ingress")));
  references.upsert(ingress("a", "cert"));
  references.upsert(ingress("b", "cert"));
  EXPECT_THAT(settle(references), ElementsAre("+shop/cert"));
  references.remove({model::Kind::kIngress, "shop", "a"});
  EXPECT_THAT(settle(references), IsEmpty());
  references.upsert(ingress("b", "other"));
  references.upsert(ingress("b", "cert"));
  EXPECT_THAT(settle(references), IsEmpty()) << "named again before anybody looked";
  references.remove({model::Kind::kIngress, "shop", "b"});
  references.remove({model::Kind::kIngress, "shop", "b"});
  EXPECT_THAT(settle(references), ElementsAre("-shop/cert"));
}

}  // namespace
}  // namespace ringway::kube
