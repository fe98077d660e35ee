// The writer between the real translation and an API server in memory, on a clock of the test's.
#include "controlplane/status/writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controlplane/kube/testing/fake_api.h"
#include "controlplane/translate/testing.h"

namespace ringway::status {
namespace {

using kube::testing::FakeApi;
using nlohmann::json;

constexpr int64_t kNow = 1'800'000'000;
constexpr char kService[] = "/api/v1/namespaces/ns/services/proxy";

std::string path_of(const std::string& name) {
  return "/apis/networking.k8s.io/v1/namespaces/shop/ingresses/" + name;
}

constexpr char kClasses[] = R"(
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: ringway}
spec: {controller: ringway.dev/ingress}
---
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: other}
spec: {controller: example.com/other}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {ports: [{port: 80}]}
)";

class WriterTest : public ::testing::Test {
 protected:
  WriterTest() {
    set_service("192.0.2.1");
    apply({.upserts = translate::objects_of(kClasses)});
  }

  void set_service(const std::string& ip) {
    api_.put(kService, {{"spec", {{"type", "LoadBalancer"}}},
                        {"status", {{"loadBalancer", {{"ingress", {{{"ip", ip}}}}}}}}});
  }
  // Stores an Ingress and shows it to the translation, as a watch would.
  void add(const std::string& name, const std::string& host = "a.example.com",
           const std::string& clazz = "ringway") {
    api_.put(
        path_of(name),
        json::parse(
            R"({"apiVersion":"networking.k8s.io/v1","kind":"Ingress","metadata":{"name":")" + name +
            R"(","namespace":"shop","uid":"u-)" + name + R"("},"spec":{"ingressClassName":")" +
            clazz + R"(","rules":[{"host":")" + host + R"(","http":{"paths":[{"path":"/)" + name +
            R"(","pathType":"Prefix","backend":{"service":{"name":"web","port":{"number":80}}}}]}}]}})"));
    show(name);
  }
  // The source sees what is stored now.
  void show(const std::string& name) {
    apply({.upserts = translate::objects_of(api_.get(path_of(name))->dump())});
  }
  void apply(const model::Changes& changes) { feed_.put(translator_.apply(changes, kNow)); }
  // As somebody else would write it.
  void set_status(const std::string& name, const char* status) {
    json object = *api_.get(path_of(name));
    object["status"] = json::parse(status);
    api_.put(path_of(name), object);
  }
  json status(const std::string& name) const {
    const auto object = api_.get(path_of(name));
    return object ? (*object).value("status", json()) : json("gone");
  }
  void run(double seconds, Writer& writer) {
    const uint64_t end_ns = now_ns_ + static_cast<uint64_t>(seconds * 1e9);
    while (now_ns_ < end_ns) {
      now_ns_ = std::max(now_ns_ + kNsPerMs, std::min(writer.step(now_ns_, wall_ns()), end_ns));
    }
  }
  void run(double seconds) { run(seconds, writer_); }
  int64_t wall_ns() const { return kNow * 1'000'000'000 + static_cast<int64_t>(now_ns_); }

  FakeApi api_;
  Feed feed_;
  bool leading_ = true;
  uint64_t now_ns_ = 1000 * kNsPerSecond;
  translate::Translator translator_{
      translate::Options{.classless = translate::Classless::kServedWithoutClasses}};
  PublishOptions publish_{.service_ns = "ns", .service_name = "proxy"};
  Writer writer_{api_, feed_, publish_, {.instance = "c-1"}, [this] { return leading_; }};
};

const json kFirst = json::parse(R"({"loadBalancer":{"ingress":[{"ip":"192.0.2.1"}]}})");

TEST_F(WriterTest, WritesWhatIsServedAndNothingElse) {
  add("a");
  add("b");
  add("other", "b.example.com", "other");
  run(3);
  EXPECT_EQ(status("a"), kFirst);
  EXPECT_EQ(status("b"), kFirst);
  EXPECT_EQ(status("other"), json());
  EXPECT_EQ(writer_.stats().status_writes, 2u);
}

TEST_F(WriterTest, TenMinutesWithoutAChangeAreTenMinutesWithoutAWrite) {
  for (int i = 0; i < 200; ++i)
    add("i" + std::to_string(i), "h" + std::to_string(i) + ".example.com");
  add("bad", "NOT A HOST");
  run(60);
  for (int i = 0; i < 200; ++i) show("i" + std::to_string(i));  // The watch shows our own writes.
  show("bad");
  run(5);
  const uint64_t before = api_.writes();
  EXPECT_GT(before, 200u);
  for (int minute = 0; minute < 10; ++minute) {
    show("i" + std::to_string(minute));  // Objects come again, as after a re-list.
    run(60);
  }
  EXPECT_EQ(api_.writes() - before, 0u);
}

TEST_F(WriterTest, OneWithTheRightStatusIsNeverWritten) {
  api_.put(path_of("a"), json::parse(R"({"apiVersion":"networking.k8s.io/v1","kind":"Ingress",
    "metadata":{"name":"a","namespace":"shop"},"spec":{"ingressClassName":"ringway","defaultBackend":{"service":{"name":"web","port":{"number":80}}}},
    "status":{"loadBalancer":{"ingress":[{"ip":"192.0.2.1","ports":[{"port":80}]}]}}})"));
  show("a");
  run(60);
  EXPECT_EQ(writer_.stats().status_writes, 0u);
}

TEST_F(WriterTest, FollowsTheServiceAndRepairsWhatOthersWrote) {
  add("a");
  run(3);
  set_service("192.0.2.77");
  run(12);
  EXPECT_EQ(status("a")["loadBalancer"]["ingress"][0]["ip"], "192.0.2.77");
  json object = *api_.get(path_of("a"));
  object["status"] = json::parse(R"({"loadBalancer":{"ingress":[{"ip":"203.0.113.9"}]}})");
  api_.put(path_of("a"), object);
  run(301);
  EXPECT_EQ(status("a")["loadBalancer"]["ingress"][0]["ip"], "192.0.2.77");
}

TEST_F(WriterTest, NoAddressIsNeverWritten) {
  add("a");
  run(3);
  api_.put(kService, {{"spec", {{"type", "LoadBalancer"}}}});
  run(30);
  EXPECT_EQ(status("a"), kFirst) << "the load balancer is being made again";
  api_.erase(kService);
  run(30);
  EXPECT_EQ(status("a"), kFirst) << "or the name was mistyped";
  add("b");
  run(30);
  EXPECT_EQ(status("b"), kFirst) << "what was known last";
}

TEST_F(WriterTest, WhoDoesNotLeadWritesNothing) {
  leading_ = false;
  add("a");
  add("bad", "NOT A HOST");
  run(60);
  EXPECT_EQ(api_.writes(), 0u);
  EXPECT_EQ(api_.reads(), 0u);
  leading_ = true;
  run(3);
  EXPECT_EQ(status("a"), kFirst);
  leading_ = false;
  const uint64_t before = api_.writes();
  set_service("192.0.2.77");
  add("c");
  run(60);
  EXPECT_EQ(api_.writes(), before);
}

TEST_F(WriterTest, LeadershipThatEndsInTheMiddleEndsTheWrites) {
  for (int i = 0; i < 20; ++i)
    add("i" + std::to_string(i), "h" + std::to_string(i) + ".example.com");
  int writes = 0;
  api_.set_fault([&](const kube::Request& request) -> std::optional<kube::Result> {
    if (request.method == "PATCH" && ++writes == 7) leading_ = false;
    return std::nullopt;
  });
  run(60);
  EXPECT_EQ(writes, 7);
}

TEST_F(WriterTest, FailuresWaitAndAreMadeUpFor) {
  add("a");
  add("b", "b.example.com");
  int calls = 0;
  bool broken = true;
  api_.set_fault([&](const kube::Request& request) -> std::optional<kube::Result> {
    if (request.method != "PATCH" || !broken) return std::nullopt;
    ++calls;
    return kube::Response{.status = 500, .body = "{}"};
  });
  run(600);
  EXPECT_LT(calls, 70) << "ten seconds apart at last";
  EXPECT_GT(calls, 50);
  broken = false;
  run(11);
  EXPECT_EQ(status("a"), kFirst);
  EXPECT_EQ(status("b"), kFirst);
}

// The Lease was lost while the API server was away, and is taken as soon as it is back.
TEST_F(WriterTest, WhoLeadsAgainDoesNotSitOutAWait) {
  add("a");
  run(1);
  set_service("192.0.2.2");
  api_.set_fault([&](const kube::Request& request) -> std::optional<kube::Result> {
    if (request.method != "PATCH") return std::nullopt;
    return kube::Response{.status = 503, .body = "{}"};
  });
  run(100);
  leading_ = false;
  run(2);
  api_.set_fault(nullptr);
  leading_ = true;
  writer_.step(now_ns_, wall_ns());
  EXPECT_EQ(status("a").dump(), R"({"loadBalancer":{"ingress":[{"ip":"192.0.2.2"}]}})");
}

TEST_F(WriterTest, OneThatIsGoneOrRefusedDoesNotHoldUpTheOthers) {
  add("a");
  add("b", "b.example.com");
  add("c", "c.example.com");
  api_.erase(path_of("a"));
  api_.set_fault([&](const kube::Request& request) -> std::optional<kube::Result> {
    if (!request.path.ends_with("/ingresses/b/status")) return std::nullopt;
    return kube::Response{.status = 422, .body = R"({"message":"no"})"};
  });
  run(60);
  EXPECT_EQ(status("c"), kFirst);
  EXPECT_EQ(writer_.stats().status_writes, 2u) << "each once, the first not at all";
  api_.set_fault(nullptr);
  show("b");
  run(3);
  EXPECT_EQ(status("b"), kFirst) << "it may be tried again when it changed";
}

TEST_F(WriterTest, WhatCannotBeListedIsNotWritten) {
  add("a");
  bool broken = true;
  api_.set_fault([&](const kube::Request& request) -> std::optional<kube::Result> {
    if (!broken || !request.path.ends_with("/ingresses")) return std::nullopt;
    return kube::Response{.status = 200, .body = "[]"};
  });
  run(30);
  EXPECT_EQ(writer_.stats().status_writes, 0u);
  broken = false;
  run(60);
  EXPECT_EQ(status("a"), kFirst);
}

TEST_F(WriterTest, AnotherOfTheSameNameIsWrittenAnew) {
  add("a");
  run(3);
  json object = *api_.get(path_of("a"));
  object["metadata"]["uid"] = "another";
  object.erase("status");
  api_.put(path_of("a"), object);
  show("a");
  run(3);
  EXPECT_EQ(status("a"), kFirst);
}

TEST_F(WriterTest, ProblemsOfTheControllersConfigMapBecomeEventsToo) {
  translate::Translator translator(translate::Options{.config_map = "sys/ringway"});
  const auto map = [&](const std::string& name, const std::string& key) {
    feed_.put(
        translator.apply({.upserts = translate::objects_of(
                              "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name +
                              ", namespace: sys, uid: u-" + name + "}\ndata: {" + key + ": x}\n")},
                         kNow));
    run(3);
    return api_.paths_under("/apis/events.k8s.io/v1/namespaces/sys/events");
  };
  EXPECT_TRUE(map("another", "main-snippet").empty());
  const auto events = map("ringway", "main-snippet");
  ASSERT_EQ(events.size(), 1u);
  const json event = *api_.get(events[0]);
  EXPECT_EQ(event["regarding"]["apiVersion"], "v1");
  EXPECT_EQ(event["regarding"]["kind"], "ConfigMap");
  EXPECT_EQ(event["regarding"]["uid"], "u-ringway");
  EXPECT_EQ(event["reason"], "UnsupportedKey");
  EXPECT_EQ(map("ringway", "server-snippet").size(), 2u);
}

TEST_F(WriterTest, ProblemsBecomeEventsOfTheirIngress) {
  add("bad", "NOT A HOST");
  run(3);
  const auto events = api_.paths_under("/apis/events.k8s.io/v1/namespaces/shop/events/bad.");
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ((*api_.get(events[0]))["regarding"]["uid"], "u-bad");
  EXPECT_EQ((*api_.get(events[0]))["reason"], "InvalidValue");
  EXPECT_EQ(writer_.stats().events, 1u);
}

TEST_F(WriterTest, AtTheEndOfAnInstallationTheAddressesGo) {
  add("a");
  add("b", "b.example.com");
  run(3);
  set_status("b", R"({"loadBalancer":{"ingress":[{"ip":"203.0.113.9"}]}})");
  leading_ = false;
  show("b");
  writer_.finish(now_ns_, [] { return true; });
  EXPECT_EQ(status("a"), kFirst) << "the Service is there: a restart";
  api_.erase(kService);
  writer_.finish(now_ns_, [] { return false; });
  EXPECT_EQ(status("a"), json::parse(R"({"loadBalancer":{"ingress":[]}})"));
  EXPECT_EQ(status("b")["loadBalancer"]["ingress"][0]["ip"], "203.0.113.9") << "not ours";
}

TEST_F(WriterTest, BeforeAnUninstallationTheAddressesGoWhileTheServiceIsThere) {
  add("a");
  add("b", "b.example.com");
  run(3);
  set_status("b", R"({"loadBalancer":{"ingress":[{"ip":"203.0.113.9"}]}})");
  Feed feed;
  translate::Translator translator({});
  std::string all = kClasses;
  for (const char* name : {"a", "b"}) all += "---\n" + api_.get(path_of(name))->dump() + "\n";
  feed.put(translator.apply({.upserts = translate::objects_of(all)}, kNow));
  Writer leaving(api_, feed, publish_, {}, [] { return false; });
  EXPECT_TRUE(leaving.take_out(now_ns_, ~uint64_t{0})) << "it need not lead";
  EXPECT_EQ(status("a")["loadBalancer"]["ingress"], json::array());
  EXPECT_EQ(status("b")["loadBalancer"]["ingress"][0]["ip"], "203.0.113.9") << "not ours";
  const uint64_t writes = leaving.stats().status_writes;
  EXPECT_TRUE(leaving.take_out(now_ns_, ~uint64_t{0}));
  EXPECT_EQ(leaving.stats().status_writes, writes) << "nothing of ours is left";
}

TEST_F(WriterTest, WhatCouldNotBeTakenOutIsSaid) {
  add("a");
  run(3);
  EXPECT_FALSE(writer_.take_out(now_ns_, 0)) << "no time";
  api_.erase(kService);
  EXPECT_TRUE(writer_.take_out(now_ns_, ~uint64_t{0})) << "whose address it was is not known";
  Writer off(api_, feed_, publish_, {.update_status = false}, [] { return true; });
  EXPECT_TRUE(off.take_out(now_ns_, ~uint64_t{0}));
}

TEST_F(WriterTest, AFixedAddressGoesWithTheLastController) {
  Writer writer(api_, feed_, {.fixed = {address_of("192.0.2.1")}}, {}, [] { return true; });
  add("a");
  run(3, writer);
  EXPECT_EQ(status("a"), kFirst);
  writer.finish(now_ns_, [] { return false; });
  EXPECT_EQ(status("a"), kFirst);
  writer.finish(now_ns_, [] { return true; });
  EXPECT_EQ(status("a")["loadBalancer"]["ingress"], json::array());
}

TEST_F(WriterTest, OptionsTurnItOff) {
  Writer quiet(api_, feed_, publish_, {.update_status = false}, [] { return true; });
  add("a");
  run(30, quiet);
  EXPECT_EQ(quiet.stats().status_writes, 0u);
  api_.erase(kService);
  Writer stays(api_, feed_, {.fixed = {address_of("192.0.2.1")}}, {.on_shutdown = false},
               [] { return true; });
  show("a");
  run(3, stays);
  EXPECT_EQ(status("a"), kFirst);
  stays.finish(now_ns_, [] { return true; });
  EXPECT_EQ(status("a"), kFirst);
}

}  // namespace
}  // namespace ringway::status
