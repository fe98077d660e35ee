// Several candidates around one API server in memory, on a clock of the test's own.
#include "controlplane/leader/elector.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "controlplane/kube/testing/fake_api.h"
#include "controlplane/leader/silence.h"

namespace ringway::leader {
namespace {

using kube::testing::FakeApi;
using nlohmann::json;

constexpr char kPath[] = "/apis/coordination.k8s.io/v1/namespaces/ns/leases/ringway";

// A candidate that reaches the server through a line of its own.
struct Candidate : kube::Caller {
  Candidate(FakeApi& server, const std::string& name, uint64_t seed)
      : server(server), elector(*this, {.ns = "ns", .name = "ringway", .identity = name}, seed) {}
  kube::Result call(kube::Request request) override {
    if (cut_off) return std::unexpected(kube::Failure{kube::Fault::kUnreachable, "cut off"});
    return server.call(std::move(request));
  }
  FakeApi& server;
  bool cut_off = false;
  bool stopped = false;  // SIGSTOP, or dead.
  uint64_t due_ns = 0;
  Elector elector;
};

class ElectorTest : public ::testing::Test {
 protected:
  Candidate& add(const std::string& name) {
    candidates_.push_back(std::make_unique<Candidate>(api_, name, candidates_.size()));
    candidates_.back()->due_ns = now_ns_;
    return *candidates_.back();
  }
  // Runs everybody in steps of 100 ms. At no moment may two believe that they lead.
  void run(double seconds) {
    const uint64_t end_ns = now_ns_ + static_cast<uint64_t>(seconds * 1e9);
    for (; now_ns_ < end_ns; now_ns_ += 100 * kNsPerMs) {
      for (auto& candidate : candidates_) {
        if (candidate->stopped || now_ns_ < candidate->due_ns) continue;
        candidate->due_ns = candidate->elector.step(now_ns_, wall_ns());
      }
      int leaders = 0;
      for (auto& candidate : candidates_) leaders += candidate->elector.is_leader(now_ns_) ? 1 : 0;
      ASSERT_LE(leaders, 1) << now_ns_ / kNsPerMs << " ms";
      without_leader_ns_ = leaders == 0 ? without_leader_ns_ + 100 * kNsPerMs : 0;
      longest_without_ns_ = std::max(longest_without_ns_, without_leader_ns_);
    }
  }
  bool leads(const Candidate& candidate) const { return candidate.elector.is_leader(now_ns_); }
  int64_t wall_ns() const { return 1'800'000'000'123'456'000 + static_cast<int64_t>(now_ns_); }
  json spec() const { return (*api_.get(kPath))["spec"]; }

  FakeApi api_;
  std::vector<std::unique_ptr<Candidate>> candidates_;
  uint64_t now_ns_ = 1000 * kNsPerSecond;
  uint64_t without_leader_ns_ = 0;
  uint64_t longest_without_ns_ = 0;
};

TEST_F(ElectorTest, OneTakesTheLeaseAndRenewsIt) {
  Candidate& a = add("a");
  run(1);
  EXPECT_TRUE(leads(a));
  EXPECT_EQ(spec(), json::parse(R"({"holderIdentity":"a","leaseDurationSeconds":15,
    "acquireTime":"2027-01-15T08:16:40.123456Z","renewTime":"2027-01-15T08:16:40.123456Z",
    "leaseTransitions":0})"));
  run(60);
  EXPECT_TRUE(leads(a));
  EXPECT_EQ(spec()["leaseTransitions"], 0);
  EXPECT_EQ(spec()["acquireTime"], "2027-01-15T08:16:40.123456Z");
  EXPECT_EQ(spec()["renewTime"], "2027-01-15T08:17:40.123456Z");
  EXPECT_EQ(a.elector.transitions(), 1u);
  EXPECT_EQ(api_.reads(), 1u) << "a holder writes without looking";
}

TEST_F(ElectorTest, OthersWaitAndOneFollowsWhenTheLeaderDies) {
  Candidate& a = add("a");
  run(1);
  Candidate& b = add("b");
  Candidate& c = add("c");
  run(60);
  EXPECT_TRUE(leads(a));
  EXPECT_EQ(b.elector.holder(), "a");
  a.stopped = true;
  longest_without_ns_ = 0;
  run(25);
  EXPECT_TRUE(leads(b) != leads(c));
  EXPECT_LT(longest_without_ns_, 20 * kNsPerSecond);
  EXPECT_EQ(spec()["leaseTransitions"], 1);
}

TEST_F(ElectorTest, WhoIsCutOffStopsBelievingBeforeAnotherBegins) {
  Candidate& a = add("a");
  run(1);
  Candidate& b = add("b");
  run(20);
  a.cut_off = true;
  run(10.5);
  EXPECT_FALSE(leads(a));
  EXPECT_FALSE(leads(b)) << "not before the Lease is over";
  run(15);
  EXPECT_TRUE(leads(b));
  a.cut_off = false;
  run(20);
  EXPECT_FALSE(leads(a));
  EXPECT_TRUE(leads(b));
}

TEST_F(ElectorTest, KnowsWhenTheApiServerAnsweredLast) {
  Candidate& a = add("a");
  EXPECT_EQ(a.elector.heard_ns(), 0u);
  run(10);
  Candidate& b = add("b");
  run(10);
  for (const Candidate* one : {&a, &b})
    EXPECT_GT(one->elector.heard_ns() + 4 * kNsPerSecond, now_ns_);
  a.cut_off = true;
  const uint64_t cut_ns = now_ns_;
  run(30);
  EXPECT_LE(a.elector.heard_ns(), cut_ns);
  EXPECT_GT(b.elector.heard_ns() + 4 * kNsPerSecond, now_ns_);
  a.cut_off = false;
  run(5);
  EXPECT_GT(a.elector.heard_ns(), cut_ns);
}

TEST(SilenceTest, NotReadyFirstThenAwayOnce) {
  constexpr uint64_t kStart = 100 * kNsPerSecond;
  Silence silence(kStart);
  EXPECT_FALSE(silence.unready(kStart + Silence::kUnreadyNs - 1));
  EXPECT_TRUE(silence.unready(kStart + Silence::kUnreadyNs));
  EXPECT_FALSE(silence.send_away(kStart + Silence::kSendAwayNs - 1));
  EXPECT_TRUE(silence.send_away(kStart + Silence::kSendAwayNs));
  EXPECT_FALSE(silence.send_away(kStart + 10 * Silence::kSendAwayNs))
      << "they came back: nobody hears";
  silence.heard(kStart);
  EXPECT_TRUE(silence.unready(kStart + Silence::kSendAwayNs)) << "nothing new";
  const uint64_t back_ns = kStart + 2 * Silence::kSendAwayNs;
  silence.heard(back_ns);
  EXPECT_FALSE(silence.unready(back_ns + 1));
  EXPECT_FALSE(silence.send_away(back_ns + 1));
  EXPECT_TRUE(silence.send_away(back_ns + Silence::kSendAwayNs)) << "another silence";
}

TEST_F(ElectorTest, AStoppedLeaderThatWakesUpDoesNotLead) {
  Candidate& a = add("a");
  run(1);
  Candidate& b = add("b");
  run(5);
  a.stopped = true;
  run(40);
  EXPECT_TRUE(leads(b));
  a.stopped = false;
  EXPECT_FALSE(leads(a)) << "by time alone, before it has asked anybody";
  run(20);
  EXPECT_TRUE(leads(b));
}

TEST_F(ElectorTest, AShortOutageChangesNothing) {
  Candidate& a = add("a");
  add("b");
  run(5);
  api_.set_cut_off(true);
  run(7);
  api_.set_cut_off(false);
  run(10);
  EXPECT_TRUE(leads(a));
  EXPECT_EQ(a.elector.transitions(), 1u);
}

TEST_F(ElectorTest, AReleasedLeaseIsTakenAtOnce) {
  Candidate& a = add("a");
  run(1);
  Candidate& b = add("b");
  run(5);
  a.elector.release(now_ns_, wall_ns());
  a.stopped = true;
  EXPECT_FALSE(leads(a));
  EXPECT_EQ(spec()["holderIdentity"], "");
  EXPECT_EQ(spec()["leaseDurationSeconds"], 1);
  run(5);
  EXPECT_TRUE(leads(b));
}

TEST_F(ElectorTest, OnlyTheHolderReleases) {
  add("a");
  run(1);
  Candidate& b = add("b");
  run(5);
  const uint64_t writes = api_.writes();
  b.elector.release(now_ns_, wall_ns());
  EXPECT_EQ(api_.writes(), writes);
}

TEST_F(ElectorTest, TwoAtOnceOneWins) {
  for (int round = 0; round < 20; ++round) {
    add("r" + std::to_string(round));
  }
  run(30);
  int leaders = 0;
  for (auto& candidate : candidates_) leaders += leads(*candidate) ? 1 : 0;
  EXPECT_EQ(leaders, 1);
}

TEST_F(ElectorTest, ADeletedLeaseIsMadeAgain) {
  Candidate& a = add("a");
  run(3);
  api_.erase(kPath);
  run(5);
  EXPECT_TRUE(api_.get(kPath).has_value());
  EXPECT_TRUE(leads(a));
}

TEST_F(ElectorTest, WhatOthersWroteIntoTheLeaseStays) {
  Candidate& a = add("a");
  run(1);
  json lease = *api_.get(kPath);
  lease["metadata"]["labels"] = {{"team", "edge"}};
  api_.put(kPath, lease);
  run(10);
  EXPECT_TRUE(leads(a));
  EXPECT_EQ((*api_.get(kPath))["metadata"]["labels"]["team"], "edge");
}

TEST_F(ElectorTest, AnyContentOfTheLeaseEndsInALeader) {
  for (const char* spec : {R"({})", R"(null)", R"("x")", R"({"holderIdentity":7})",
                           R"({"holderIdentity":"dead","leaseDurationSeconds":"long"})",
                           R"({"holderIdentity":"dead","leaseDurationSeconds":-5})",
                           R"({"holderIdentity":"dead","renewTime":{},"leaseDurationSeconds":15})",
                           R"({"holderIdentity":"","leaseTransitions":"many"})"}) {
    candidates_.clear();
    api_.put(kPath, {{"metadata", {{"name", "ringway"}}}, {"spec", json::parse(spec)}});
    Candidate& a = add("a");
    run(25);
    EXPECT_TRUE(leads(a)) << spec;
  }
}

TEST_F(ElectorTest, AnAnswerThatIsNoJsonIsAFailureAndNotAnEnd) {
  Candidate& a = add("a");
  api_.set_fault([](const kube::Request&) -> std::optional<kube::Result> {
    return kube::Response{.status = 200, .body = "<html>proxy</html>"};
  });
  run(10);
  EXPECT_FALSE(leads(a));
  api_.set_fault(nullptr);
  run(5);
  EXPECT_TRUE(leads(a));
}

TEST_F(ElectorTest, RandomFaultsNeverMakeTwoLeaders) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    candidates_.clear();
    api_.erase(kPath);
    for (int i = 0; i < 3; ++i) add("c" + std::to_string(i));
    for (int i = 0; i < 60; ++i) {
      Candidate& one = *candidates_[random.below(3)];
      switch (random.below(4)) {
        case 0:
          one.cut_off = !one.cut_off;
          break;
        case 1:
          one.stopped = !one.stopped;
          break;
        case 2:
          one.elector.release(now_ns_, wall_ns());
          break;
        default:
          break;
      }
      run(1 + random.below(12));
      if (HasFatalFailure()) return;
    }
    for (auto& candidate : candidates_) candidate->stopped = candidate->cut_off = false;
    run(40);
    int leaders = 0;
    for (auto& candidate : candidates_) leaders += leads(*candidate) ? 1 : 0;
    EXPECT_EQ(leaders, 1);
  }
}

}  // namespace
}  // namespace ringway::leader
