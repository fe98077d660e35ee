#include "controlplane/model/manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ringway::model {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::vector<std::string> names(const Manifest& manifest) {
  std::vector<std::string> out;
  for (const ObjectPtr& object : manifest.objects) {
    out.push_back(std::to_string(object->location.line) + " " + to_string(object->key));
  }
  return out;
}

std::vector<std::string> texts(const Manifest& manifest) {
  std::vector<std::string> out;
  for (const Problem& problem : manifest.problems) out.push_back(format(problem));
  return out;
}

TEST(Manifest, ReadsManyDocumentsWithTheirLines) {
  const Manifest manifest = read_manifest("a.yaml", R"(# a comment
%YAML 1.2
---
apiVersion: v1
kind: Service
metadata: {name: one}
--- # the second
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: two, namespace: shop}
...
---
---
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: three, namespace: ignored}
)");
  EXPECT_THAT(names(manifest),
              ElementsAre("4 Service default/one", "8 Ingress shop/two", "14 IngressClass three"));
  EXPECT_THAT(texts(manifest), IsEmpty());
  EXPECT_EQ(manifest.objects[1]->location.document, 2u);
}

TEST(Manifest, DocumentsMayBeJson) {
  const Manifest manifest = read_manifest("a.yaml", R"(---
{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "one"},
 "spec": {"ports": [{"port": 80, "name": "\u0061b"}]}}
---
# Not JSON, but a flow mapping.
{apiVersion: v1, kind: Service, metadata: {name: two}}
---
{"apiVersion": "v1", "kind": "Service", # Not JSON either.
 "metadata": {"name": "three"}}
---
{"apiVersion": "v1", "kind": "Service",
 "metadata": {"name": "four", "name": "again"}}
---
{"apiVersion": "v1", "kind": "Service",
 "spec": {"ports": [{"port": "eighty"}]}, "metadata": {"name": "five"}}
---
{"apiVersion": "v1", "kind": "Service"
---
{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "six"}}
)");
  EXPECT_THAT(names(manifest), ElementsAre("2 Service default/one", "6 Service default/two",
                                           "8 Service default/three", "19 Service default/six"));
  EXPECT_EQ(std::get<kubernetes::Service>(manifest.objects[0]->body).spec().ports(0).name(), "ab");
  const std::vector<std::string> problems = texts(manifest);
  ASSERT_EQ(problems.size(), 3u);
  EXPECT_THAT(problems[0], HasSubstr("a.yaml:12"));
  EXPECT_THAT(problems[1], HasSubstr("a.yaml:15"));
  EXPECT_THAT(problems[2], HasSubstr("a.yaml:1"));
}

TEST(Manifest, ABadDocumentCostsOnlyItself) {
  const Manifest manifest = read_manifest("a.yaml", R"(apiVersion: v1
kind: Service
metadata: {name: one}
---
apiVersion: v1
kind: [Service
metadata: {name: broken}
---
apiVersion: v1
kind: Service
metadata: {name: wrong}
spec:
  ports:
  - port: "80"
---
apiVersion: v1
kind: Service
metadata: {name: three}
)");
  EXPECT_THAT(names(manifest), ElementsAre("1 Service default/one", "16 Service default/three"));
  EXPECT_THAT(texts(manifest),
              ElementsAre(HasSubstr("a.yaml:"),
                          "a.yaml:14: error: Service default/wrong: spec.ports[0].port: "
                          "must be a number, is a string"));
  EXPECT_EQ(manifest.problems[0].reason, Reason::kInvalidDocument);
}

TEST(Manifest, ReadsListsAndABadItemCostsOnlyItself) {
  const Manifest manifest = read_manifest("a.yaml", R"(apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Service
  metadata: {name: one}
- apiVersion: v1
  kind: Service
  metadata: {name: UPPER}
- kind: Service
- apiVersion: v1
  kind: Secret
  metadata: {name: two}
  stringData: {k: v}
  data: {k: aGk=}
)");
  EXPECT_THAT(names(manifest), ElementsAre("4 Service default/one", "11 Secret default/two"));
  EXPECT_EQ(std::get<kubernetes::Secret>(manifest.objects[1]->body).data().at("k"), "v");
  EXPECT_THAT(texts(manifest), ElementsAre(HasSubstr("a.yaml:7: error: metadata.name"),
                                           HasSubstr("a.yaml:10: error: items")));
}

TEST(Manifest, ReadsJsonAndTypedLists) {
  const Manifest manifest = read_manifest("a.json", R"({
 "apiVersion": "networking.k8s.io/v1", "kind": "IngressList",
 "items": [
  {"metadata": {"name": "one", "annotations": {"a": "\u00e4"}}, "spec": {"rules": []}},
  {"metadata": {"name": "two"}, "spec": {"rules": [{"host": 3}]}}
 ]})");
  EXPECT_THAT(names(manifest), ElementsAre("4 Ingress default/one"));
  EXPECT_THAT(texts(manifest),
              ElementsAre(HasSubstr("a.json:5: error: Ingress default/two: spec.rules[0].host")));
}

TEST(Manifest, ReportsBrokenJsonWithItsLine) {
  const Manifest manifest = read_manifest("a.json", "{\n \"kind\": \"x\",\n }");
  EXPECT_THAT(texts(manifest), ElementsAre(HasSubstr("a.json:3: error: ")));
  EXPECT_THAT(texts(read_manifest("a.json", "  \n")), IsEmpty());
}

TEST(Manifest, SkipsForeignKindsAndReportsLookalikes) {
  const Manifest manifest = read_manifest("a.yaml", R"(apiVersion: apps/v1
kind: Deployment
---
{apiVersion: v1, kind: Pod}
---
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy}
---
{apiVersion: networking.k8s.io/v1, kind: Ingres}
---
{apiVersion: extensions/v1beta1, kind: Ingress}
---
{apiVersion: v1, kind: Endpoints}
---
{kind: Ingress}
---
just text
)");
  EXPECT_THAT(names(manifest), IsEmpty());
  EXPECT_THAT(texts(manifest),
              ElementsAre(HasSubstr("a.yaml:8: error: kind \"Ingres\" is unknown"),
                          HasSubstr("write it as networking.k8s.io/v1"), HasSubstr("EndpointSlice"),
                          HasSubstr("apiVersion"), HasSubstr("must be a mapping")));
}

TEST(Manifest, DocumentsThatDidNotChangeGiveTheSameObjects) {
  const std::string one = "{apiVersion: v1, kind: Service, metadata: {name: one}}\n---\n";
  const std::string bad = "{apiVersion: v1, kind: Service, metadata: {name: [two]}}\n---\n";
  const std::string three = "{apiVersion: v1, kind: Service, metadata: {name: three}}\n";
  const std::string four = "{apiVersion: v1, kind: Service, metadata: {name: four}}\n";
  const Manifest before = read_manifest("a.yaml", one + bad + three);
  const Manifest same = read_manifest("a.yaml", one + bad + three, {}, &before);
  EXPECT_EQ(same.objects, before.objects);
  EXPECT_EQ(same.problems, before.problems);
  const Manifest changed = read_manifest("a.yaml", one + bad + four, {}, &same);
  ASSERT_EQ(changed.objects.size(), 2u);
  EXPECT_EQ(changed.objects[0], before.objects[0]);
  EXPECT_EQ(changed.objects[1]->key.name, "four");
  EXPECT_EQ(changed.problems, before.problems);
  // On another line it is another object: its location is part of it.
  const Manifest moved = read_manifest("a.yaml", "\n" + one, {}, &changed);
  EXPECT_EQ(moved.objects.at(0)->location.line, 2u);
  EXPECT_TRUE(read_manifest("a.yaml", "", {}, &changed).objects.empty());
}

TEST(Manifest, RefusesKeysThatAppearTwice) {
  const Manifest manifest =
      read_manifest("a.yaml", "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nkind: Secret\n");
  EXPECT_THAT(texts(manifest), ElementsAre(HasSubstr("\"kind\" appears twice")));
}

TEST(Manifest, AliasesAreCopiesWithinLimits) {
  const Manifest manifest = read_manifest("a.yaml", R"(apiVersion: v1
kind: Service
metadata: {name: a, labels: &l {x: "1"}, annotations: *l}
)");
  ASSERT_EQ(manifest.objects.size(), 1u) << texts(manifest)[0];
  const auto& service = std::get<kubernetes::Service>(manifest.objects[0]->body);
  EXPECT_EQ(service.metadata().annotations().at("x"), "1");
}

TEST(Manifest, BombsAreRefusedQuickly) {
  std::string laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 12; ++i) {
    const std::string before = "*a" + std::to_string(i - 1);
    laughs += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [";
    for (int j = 0; j < 10; ++j) laughs += (j > 0 ? ", " : "") + before;
    laughs += "]\n";
  }
  std::string text_bomb = "a: &a \"" + std::string(100'000, 'x') + "\"\nb: [";
  for (int i = 0; i < 5000; ++i) text_bomb += "*a,";
  text_bomb += "]\n";
  const std::string deep = "a: " + std::string(1'000, '[') + std::string(1'000, ']');
  const std::string deeper = "a: " + std::string(100'000, '[');
  for (const std::string& bomb :
       {laughs, text_bomb, deep, deeper, std::string("a: &a [*a]"), std::string("&a {b: *a}")}) {
    const Manifest manifest =
        read_manifest("a.yaml", bomb + "\n---\n{apiVersion: v1, kind: Pod}\n");
    EXPECT_EQ(manifest.problems.size(), 1u) << bomb.substr(0, 40);
  }
  EXPECT_EQ(read_manifest("a.json", std::string(100'000, '[')).problems.size(), 1u);
  TreeLimits small{.bytes_max = 100};
  EXPECT_EQ(read_manifest("a.yaml", std::string(101, 'a'), small).problems.size(), 1u);
  small = {.nodes_max = 10};
  EXPECT_EQ(read_manifest("a.yaml", "[1,2,3,4,5,6,7,8,9,10,11]", small).problems.size(), 1u);
}

TEST(Manifest, ChecksNames) {
  for (const char* good : {"a", "a-b", "a.b", "0", "a1.b-2"}) EXPECT_TRUE(valid_name(good)) << good;
  for (const char* bad :
       {"", "-a", "a-", ".a", "a.", "a..b", "a.-b", "A", "a_b", "a/b", "a b", "a\n"}) {
    EXPECT_FALSE(valid_name(bad)) << bad;
  }
  EXPECT_FALSE(valid_name(std::string(254, 'a')));
}

}  // namespace
}  // namespace ringway::model
