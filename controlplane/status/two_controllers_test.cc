// Two controllers, each with its elector and its writer: one writes, and when it dies the other.
#include <gtest/gtest.h>

#include <memory>

#include "controlplane/kube/testing/fake_api.h"
#include "controlplane/leader/elector.h"
#include "controlplane/status/writer.h"
#include "controlplane/translate/testing.h"

namespace ringway::status {
namespace {

using kube::testing::FakeApi;
using nlohmann::json;

constexpr int64_t kNow = 1'800'000'000;
constexpr char kIngress[] = "/apis/networking.k8s.io/v1/namespaces/shop/ingresses/front";

struct Controller : kube::Caller {
  Controller(FakeApi& server, const uint64_t& clock, const std::string& name, uint64_t seed)
      : server(server),
        elector(*this, {.ns = "ns", .name = "ringway", .identity = name}, seed),
        writer(*this, feed, {.service_ns = "ns", .service_name = "proxy"}, {.instance = name},
               [this, &clock] { return elector.is_leader(clock); }) {}
  kube::Result call(kube::Request request) override {
    if (cut_off) return std::unexpected(kube::Failure{kube::Fault::kUnreachable, "cut off"});
    if (request.method == "PATCH") ++patches;
    return server.call(std::move(request));
  }
  FakeApi& server;
  bool cut_off = false, dead = false;
  int patches = 0;
  uint64_t elect_at_ns = 0, write_at_ns = 0;
  Feed feed;
  leader::Elector elector;
  Writer writer;
};

class TwoControllersTest : public ::testing::Test {
 protected:
  TwoControllersTest() {
    set_address("192.0.2.1");
    api_.put(kIngress,
             json::parse(R"({"apiVersion":"networking.k8s.io/v1","kind":"Ingress","metadata":{
      "name":"front","namespace":"shop","uid":"u"},"spec":{"defaultBackend":{"service":{
      "name":"web","port":{"number":80}}}}})"));
  }
  void set_address(const std::string& ip) {
    api_.put("/api/v1/namespaces/ns/services/proxy",
             {{"spec", {{"type", "LoadBalancer"}}},
              {"status", {{"loadBalancer", {{"ingress", {{{"ip", ip}}}}}}}}});
  }
  std::string address() const {
    const json object = *api_.get(kIngress);
    return object.value("/status/loadBalancer/ingress/0/ip"_json_pointer, "");
  }
  void run(double seconds) {
    const uint64_t end_ns = now_ns_ + static_cast<uint64_t>(seconds * 1e9);
    for (; now_ns_ < end_ns; now_ns_ += 100 * kNsPerMs) {
      const int64_t wall_ns = kNow * 1'000'000'000 + static_cast<int64_t>(now_ns_);
      for (Controller* one : {&a_, &b_}) {
        if (one->dead) continue;
        if (now_ns_ >= one->elect_at_ns) one->elect_at_ns = one->elector.step(now_ns_, wall_ns);
        if (now_ns_ >= one->write_at_ns) one->write_at_ns = one->writer.step(now_ns_, wall_ns);
      }
    }
  }
  // The watch of both shows what is stored.
  void show() {
    for (Controller* one : {&a_, &b_}) {
      translate::Translator translator({.classless = translate::Classless::kServedWithoutClasses});
      one->feed.put(
          translator.apply({.upserts = translate::objects_of(api_.get(kIngress)->dump())}, kNow));
    }
  }
  FakeApi api_;
  uint64_t now_ns_ = 1000 * kNsPerSecond;
  Controller a_{api_, now_ns_, "a", 1}, b_{api_, now_ns_, "b", 2};
};

TEST_F(TwoControllersTest, OneWritesAndOnlyTheLeaseInTenQuietMinutes) {
  show();
  run(30);
  EXPECT_EQ(address(), "192.0.2.1");
  EXPECT_EQ(a_.patches + b_.patches, 1);
  show();
  run(5);
  size_t before = api_.written().size();
  run(600);
  for (const auto& written = api_.written(); before < written.size(); ++before)
    EXPECT_TRUE(written[before].path.ends_with("/leases/ringway")) << written[before].path;
}

TEST_F(TwoControllersTest, ALeaderThatDiesIsFollowedWithinTwentySeconds) {
  show();
  run(30);
  Controller& leader = a_.elector.is_leader(now_ns_) ? a_ : b_;
  Controller& other = &leader == &a_ ? b_ : a_;
  leader.dead = true;
  set_address("192.0.2.2");
  run(20);
  EXPECT_EQ(address(), "192.0.2.2");
  EXPECT_EQ(other.patches, 1);
}

TEST_F(TwoControllersTest, ALeaderThatIsCutOffWritesNothingWhenItIsBack) {
  show();
  run(30);
  Controller& leader = a_.elector.is_leader(now_ns_) ? a_ : b_;
  Controller& other = &leader == &a_ ? b_ : a_;
  leader.cut_off = true;
  set_address("192.0.2.2");
  run(30);
  EXPECT_EQ(other.patches, 1);
  const int before = leader.patches;
  leader.cut_off = false;
  set_address("192.0.2.3");
  run(30);
  EXPECT_EQ(address(), "192.0.2.3");
  EXPECT_EQ(leader.patches, before);
  EXPECT_EQ(other.patches, 2);
}

}  // namespace
}  // namespace ringway::status
