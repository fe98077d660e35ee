#include "controlplane/kube/kubernetes_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <prometheus/metric_family.h>

#include "controlplane/kube/metrics.h"
#include "controlplane/kube/testing/fake_api_server.h"

namespace ringway::kube {
namespace {

using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

constexpr std::chrono::hours kLong{1};

class KubernetesSourceTest : public testing::Test {
 protected:
  KubernetesSourceTest() {
    options_.timings.backoff = {.first = milliseconds(2), .most = milliseconds(10)};
    server_.put("ingressclasses", fake_class("ringway", "ringway.dev/ingress"));
  }
  KubernetesSource& source() {
    if (source_ == nullptr) {
      client_ = std::make_unique<ApiClient>(Config{.server = server_.url()});
      source_ = std::make_unique<KubernetesSource>(*client_, options_, translate_);
    }
    return *source_;
  }
  // Takes batches until what was told adds up to these ("Ingress shop/front").
  void wait_for(const std::set<std::string>& names) {
    while (names_ != names) take(*source().next(kLong));
  }
  source::Batch first() {
    std::optional<source::Batch> batch;
    do {
      batch = source().next(kLong);
      take(*batch);
    } while (!batch->full);
    return *batch;
  }
  void take(const source::Batch& batch) {
    for (const auto& object : batch.changes.upserts) names_.insert(to_string(object->key));
    for (const auto& key : batch.changes.removals) names_.erase(to_string(key));
    problems_.clear();
    for (const auto& problem : batch.problems) problems_.push_back(model::format(problem));
  }
  void put_ingress(const std::string& ns, const std::string& name, const std::string& secret = "") {
    server_.put("ingresses", fake_ingress(ns, name, "web", secret));
  }
  void put_secret(const std::string& ns, const std::string& name, const std::string& value = "") {
    server_.put("secrets", fake_object("Secret", ns, name, value));
  }

  FakeApiServer server_;
  SourceOptions options_;
  translate::Options translate_;
  std::set<std::string> names_;
  std::vector<std::string> problems_;

 private:
  std::unique_ptr<ApiClient> client_;
  std::unique_ptr<KubernetesSource> source_;
};

TEST_F(KubernetesSourceTest, TheFirstBatchIsEverythingSecretsIncluded) {
  put_ingress("shop", "front", "cert");
  put_secret("shop", "cert");
  put_secret("shop", "unused");
  server_.put("services", fake_service("shop", "web"));
  server_.put("endpointslices", fake_slice("shop", "web", 0, 3));
  const source::Batch batch = first();
  EXPECT_TRUE(batch.full);
  EXPECT_THAT(batch.changes.removals, IsEmpty());
  EXPECT_THAT(names_,
              UnorderedElementsAre("IngressClass ringway", "Ingress shop/front", "Service shop/web",
                                   "EndpointSlice shop/web-x0", "Secret shop/cert"));
  EXPECT_THAT(batch.problems, IsEmpty());
  EXPECT_EQ(server_.seen("secrets").lists, 0u) << "needs no list of Secrets";
  EXPECT_EQ(server_.seen("secrets").streams, 0u);
  for (const auto& request : server_.requests("secrets")) {
    EXPECT_THAT(request.path + "?" + request.query, HasSubstr("cert"));
  }
}

TEST_F(KubernetesSourceTest, AnEmptyClusterIsAFullBatchToo) {
  EXPECT_TRUE(first().full);
  EXPECT_THAT(names_, ElementsAre("IngressClass ringway"));
  EXPECT_EQ(source().next(milliseconds(1)), std::nullopt);
}

TEST_F(KubernetesSourceTest, FollowsSecretsAsTheyAreNamed) {
  put_secret("shop", "one", "AQ==");
  put_secret("shop", "two", "Ag==");
  first();
  put_ingress("shop", "front", "one");
  wait_for({"IngressClass ringway", "Ingress shop/front", "Secret shop/one"});
  put_ingress("shop", "front", "two");
  wait_for({"IngressClass ringway", "Ingress shop/front", "Secret shop/two"});
  server_.remove("secrets", "shop", "two");
  wait_for({"IngressClass ringway", "Ingress shop/front"});
  put_secret("shop", "two", "Aw==");
  wait_for({"IngressClass ringway", "Ingress shop/front", "Secret shop/two"});
  server_.remove("ingresses", "shop", "front");
  wait_for({"IngressClass ringway"});
  server_.wait("secrets", [](const auto& seen) { return seen.watching == 0; });
}

TEST_F(KubernetesSourceTest, ManySecretsAreOpenedAFewAtATime) {
  std::set<std::string> all = {"IngressClass ringway"};
  for (int i = 0; i < 50; ++i) {
    const std::string number = std::to_string(i);
    put_ingress("shop", "front-" + number, "cert-" + number);
    put_secret("shop", "cert-" + number);
    all.insert({"Ingress shop/front-" + number, "Secret shop/cert-" + number});
  }
  first();
  EXPECT_EQ(names_, all);
  EXPECT_EQ(server_.seen("secrets").watching, 50u);
}

TEST_F(KubernetesSourceTest, ASecretThatMayNotBeReadHoldsUpNobody) {
  server_.refuse_next("secrets", {.verb = "watch", .status = 403}, 100);
  server_.refuse_next("secrets", {.verb = "get", .status = 403}, 100);
  put_ingress("shop", "front", "cert");
  first();
  ASSERT_EQ(problems_.size(), 1u);
  EXPECT_THAT(problems_[0], HasSubstr("Secret shop/cert: cannot be read: HTTP 403"));
}

TEST_F(KubernetesSourceTest, ASecretThatMayBeReadButNotWatchedIsPolled) {
  options_.timings.poll_every = milliseconds(10);
  server_.refuse_next("secrets", {.verb = "watch", .status = 403}, 100'000);
  put_ingress("shop", "front", "cert");
  first();
  put_secret("shop", "cert");
  wait_for({"IngressClass ringway", "Ingress shop/front", "Secret shop/cert"});
  server_.remove("secrets", "shop", "cert");
  wait_for({"IngressClass ringway", "Ingress shop/front"});
}

TEST_F(KubernetesSourceTest, NamedObjectsOutlastTroubleWithTheirWatches) {
  options_.timings.silence_max = milliseconds(30);
  put_ingress("shop", "front", "cert");
  first();
  server_.behave("secrets", {.silent_watches = true});
  server_.http().cut_all();
  put_secret("shop", "cert");
  wait_for({"IngressClass ringway", "Ingress shop/front", "Secret shop/cert"});
  server_.behave("secrets", {.closes_watches = true});
  server_.remove("secrets", "shop", "cert");
  wait_for({"IngressClass ringway", "Ingress shop/front"});
  server_.behave("secrets", {});
  server_.refuse_next("secrets", {.verb = "get", .status = 500}, 5);
  put_secret("shop", "cert");
  wait_for({"IngressClass ringway", "Ingress shop/front", "Secret shop/cert"});
}

TEST_F(KubernetesSourceTest, NothingIsGivenBeforeAllKindsAreKnownButWhy) {
  put_ingress("shop", "front");
  server_.refuse_next("endpointslices", {.verb = "watch", .status = 403}, 2);
  server_.refuse_next("endpointslices", {.verb = "list", .status = 403}, 1);
  // How often the reason is seen before it is over is a matter of speed.
  std::optional<source::Batch> batch;
  while (!(batch = source().next(kLong))->full) {
    EXPECT_THAT(batch->changes.upserts, IsEmpty());
    ASSERT_EQ(batch->problems.size(), 1u);
    EXPECT_THAT(model::format(batch->problems[0]), HasSubstr("cannot read endpointslices"));
  }
  take(*batch);
  EXPECT_THAT(problems_, IsEmpty());
  EXPECT_TRUE(names_.contains("Ingress shop/front"));
}

TEST_F(KubernetesSourceTest, AnUnreachableServerIsOneProblem) {
  const std::string url = [] { return FakeApiServer().url(); }();
  ApiClient client(Config{.server = url});
  KubernetesSource source(client, options_, translate_);
  const auto batch = source.next(kLong);
  ASSERT_TRUE(batch.has_value());
  EXPECT_FALSE(batch->full);
  ASSERT_EQ(batch->problems.size(), 1u);
  EXPECT_THAT(model::format(batch->problems[0]), HasSubstr(url));
}

TEST_F(KubernetesSourceTest, WatchesNamespacesThatAreNamed) {
  options_.namespaces = {"a", "b"};
  translate_.default_backend = "sys/fallback:80";
  server_.refuse_next("ingressclasses", {.verb = "watch", .status = 403}, 100'000);
  server_.refuse_next("ingressclasses", {.verb = "list", .status = 403}, 100'000);
  for (const char* ns : {"a", "b", "c"}) put_ingress(ns, "front");
  server_.put("services", fake_service("sys", "fallback"));
  server_.put("services", fake_service("sys", "other"));
  first();
  EXPECT_THAT(names_,
              UnorderedElementsAre("Ingress a/front", "Ingress b/front", "Service sys/fallback"));
  put_ingress("c", "back");
  put_ingress("a", "back");
  wait_for({"Ingress a/front", "Ingress b/front", "Service sys/fallback", "Ingress a/back"});
  EXPECT_THAT(problems_, ElementsAre(HasSubstr("taken for none")));
}

TEST_F(KubernetesSourceTest, WatchesNamespacesThatASelectorHas) {
  options_.namespace_selector = "team=web";
  put_ingress("in", "front", "cert");
  put_ingress("out", "front", "cert");
  put_secret("in", "cert");
  put_secret("out", "cert");
  server_.put("namespaces", fake_object("Namespace", "", "in", ""));
  first();
  EXPECT_THAT(names_,
              UnorderedElementsAre("IngressClass ringway", "Ingress in/front", "Secret in/cert"));
  EXPECT_EQ(server_.requests("namespaces").at(0).parameter("labelSelector"), "team=web");
  server_.put("namespaces", fake_object("Namespace", "", "out", ""));  // It got the label.
  wait_for({"IngressClass ringway", "Ingress in/front", "Secret in/cert", "Ingress out/front",
            "Secret out/cert"});
  server_.remove("namespaces", "", "in");
  wait_for({"IngressClass ringway", "Ingress out/front", "Secret out/cert"});
  put_ingress("in", "back");
  put_ingress("out", "back");
  wait_for({"IngressClass ringway", "Ingress out/front", "Ingress out/back", "Secret out/cert"});
}

TEST_F(KubernetesSourceTest, AllSecretsAreListedByOption) {
  options_.all_secrets = true;
  put_secret("a", "one");
  put_secret("b", "two");
  first();
  EXPECT_THAT(names_, UnorderedElementsAre("IngressClass ringway", "Secret a/one", "Secret b/two"));
  EXPECT_EQ(server_.requests("secrets").at(0).parameter("fieldSelector"),
            "type!=helm.sh/release.v1");
}

TEST_F(KubernetesSourceTest, ReadsItsOwnConfigMapOnly) {
  options_.configmaps = {"sys/ringway"};
  server_.put("configmaps", fake_object("ConfigMap", "sys", "ringway", "1"));
  server_.put("configmaps", fake_object("ConfigMap", "sys", "other", "1"));
  first();
  EXPECT_THAT(names_, UnorderedElementsAre("IngressClass ringway", "ConfigMap sys/ringway"));
}

TEST_F(KubernetesSourceTest, ManyChangesAreFewBatches) {
  first();
  for (int i = 0; i < 200; ++i) put_ingress("shop", "i" + std::to_string(i));
  size_t batches = 0;
  while (names_.size() < 201) {
    take(*source().next(kLong));
    ++batches;
  }
  EXPECT_LT(batches, 150u);
}

TEST_F(KubernetesSourceTest, AChangeOfNothingReadIsNoBatch) {
  auto ingress = fake_ingress("shop", "front", "web");
  server_.put("ingresses", ingress);
  first();
  ingress["status"]["loadBalancer"]["ingress"][0]["ip"] = "203.0.113.9";
  server_.put("ingresses", ingress);
  put_ingress("shop", "back");
  const auto batch = source().next(kLong);
  ASSERT_EQ(batch->changes.upserts.size(), 1u);
  EXPECT_EQ(batch->changes.upserts[0]->key.name, "back");
}

TEST_F(KubernetesSourceTest, CountsWhatItFollows) {
  put_ingress("shop", "front", "cert");
  put_ingress("shop", "back", "missing");
  put_secret("shop", "cert");
  server_.put("services", fake_service("shop", "web"));
  first();
  server_.refuse_next("services", {.verb = "watch", .status = 410});
  server_.end_watches("services");
  server_.put("services", fake_service("shop", "other"));
  wait_for({"IngressClass ringway", "Ingress shop/front", "Ingress shop/back", "Service shop/web",
            "Service shop/other", "Secret shop/cert"});
  const auto counters = source().counters();
  EXPECT_EQ(counters.at("ingresses").objects, 2u);
  EXPECT_EQ(counters.at("services").objects, 2u);
  EXPECT_EQ(counters.at("services").relists_gone, 1u);
  EXPECT_GE(counters.at("services").lists, 2u);
  EXPECT_EQ(counters.at("secrets").named, 2u);
  EXPECT_EQ(counters.at("secrets").objects, 1u);
  for (const auto& [resource, some] : counters) EXPECT_EQ(some.unsynced, 0u) << resource;
  size_t samples = 0;
  for (const auto& family : Metrics(source()).Collect()) {
    for (const auto& metric : family.metric) {
      if (family.name != "ringway_controller_kube_relists_total") continue;
      ++samples;
      const bool services = metric.label[0].value == "services";
      const bool expired = metric.label[1].value == "expired";
      EXPECT_EQ(metric.counter.value, services && expired ? 1 : 0) << metric.label[0].value;
    }
  }
  EXPECT_EQ(samples, counters.size() * 3);
}

TEST_F(KubernetesSourceTest, StopEndsAWaitingNext) {
  first();
  std::thread stopper([&] { source().stop(); });
  EXPECT_EQ(source().next(kLong), std::nullopt);
  stopper.join();
  EXPECT_EQ(source().next(kLong), std::nullopt);
}

TEST_F(KubernetesSourceTest, EndsWithAClientThatWasStoppedBefore) {
  ApiClient client(Config{.server = server_.url()});
  KubernetesSource source(client, options_, translate_);
  while (!source.next(kLong)->full) continue;
  client.stop();
}

}  // namespace
}  // namespace ringway::kube
