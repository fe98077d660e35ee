#include "controlplane/status/events.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "controlplane/kube/testing/fake_api.h"
#include "controlplane/model/manifest.h"

namespace ringway::status {
namespace {

using kube::testing::FakeApi;
using nlohmann::json;

constexpr int64_t kWall = 1'800'000'000'123'456'789;

model::Problem problem(const std::string& name, const std::string& message) {
  return {.object = {model::Kind::kIngress, "shop", name},
          .field = "spec.rules[0]",
          .reason = model::Reason::kServiceNotFound,
          .message = message};
}

class EventsTest : public ::testing::Test {
 protected:
  void update(const std::vector<model::Problem>& problems) {
    std::vector<EventWriter::Due> due;
    for (const model::Problem& one : problems) due.push_back({&one, "uid-" + one.object.name});
    events_.update(due, kWall);
  }
  // Until nothing is left, on a clock that goes as it asks.
  void post_all() {
    for (uint64_t next = 0; (next = events_.post(now_ns_)) != kNever; now_ns_ = next) {
      ASSERT_LT(now_ns_, uint64_t{100'000} * kNsPerSecond);
    }
  }
  size_t stored() const { return api_.paths_under("/apis/events.k8s.io/v1/").size(); }
  FakeApi api_;
  EventWriter events_{api_, "controller-1"};
  uint64_t now_ns_ = 1000 * kNsPerSecond;
};

TEST_F(EventsTest, IsWhatTheApiTakes) {
  const EventText text =
      write_event(problem("front", "Service shop/web does not exist"), "u-1", "c-1", kWall);
  const json event = json::parse(text.body);
  EXPECT_EQ(event["eventTime"], "2027-01-15T08:00:00.123456Z");
  EXPECT_EQ(event["reason"], "ServiceNotFound");
  EXPECT_EQ(event["note"], "spec.rules[0]: Service shop/web does not exist");
  EXPECT_EQ(event["type"], "Warning");
  EXPECT_EQ(event["regarding"]["uid"], "u-1");
  EXPECT_EQ(event["metadata"]["name"], text.name);
  EXPECT_TRUE(model::valid_name(text.name)) << text.name;
  const EventText longest =
      write_event(problem(std::string(252, 'a') + ".b", std::string(5000, '\xFF')), "u",
                  std::string(500, 'i'), kWall);
  EXPECT_TRUE(model::valid_name(longest.name)) << longest.name;
  EXPECT_TRUE(json::accept(longest.body));
  EXPECT_LE(json::parse(longest.body)["reportingInstance"].get<std::string>().size(), 128u);
}

TEST_F(EventsTest, OneForEachProblemWhileItStands) {
  const std::vector<model::Problem> problems = {problem("a", "x"), problem("a", "y"),
                                                problem("b", "x")};
  update(problems);
  post_all();
  EXPECT_EQ(stored(), 3u);
  EXPECT_EQ(events_.writes(), 3u);
  for (int i = 0; i < 100; ++i) {
    update(problems);
    post_all();
  }
  EXPECT_EQ(events_.writes(), 3u);
  update({});
  update({problem("a", "z")});
  post_all();
  EXPECT_EQ(events_.writes(), 4u);
}

TEST_F(EventsTest, WhatAnotherLeaderSaidIsNotSaidTwice) {
  update({problem("a", "x")});
  post_all();
  EventWriter other(api_, "controller-2");
  const model::Problem same = problem("a", "x");
  other.update({{&same, "uid-a"}}, kWall + 5);
  EXPECT_EQ(other.post(now_ns_), kNever);
  EXPECT_EQ(stored(), 1u) << "the name is the same: 409";
  EXPECT_EQ(other.waiting(), 0u);
}

TEST_F(EventsTest, MendedBeforeItWasSaid) {
  api_.set_cut_off(true);
  update({problem("a", "x")});
  EXPECT_NE(events_.post(now_ns_), kNever);
  update({});
  api_.set_cut_off(false);
  post_all();
  EXPECT_EQ(stored(), 0u);
}

TEST_F(EventsTest, ManyProblemsAreSaidSlowlyAndFewOfEachObject) {
  std::vector<model::Problem> problems;
  for (int i = 0; i < 500; ++i) problems.push_back(problem("i" + std::to_string(i), "x"));
  for (int i = 0; i < 500; ++i) problems.push_back(problem("one", std::to_string(i)));
  update(problems);
  events_.post(now_ns_);
  EXPECT_EQ(stored(), 100u) << "a burst";
  const uint64_t start_ns = now_ns_;
  post_all();
  EXPECT_EQ(stored(), 500u + EventWriter::kPerObjectMax);
  EXPECT_GT(now_ns_ - start_ns, 60 * kNsPerSecond);
}

TEST_F(EventsTest, ARefusedOneIsDroppedAndABusyServerIsWaitedFor) {
  int calls = 0;
  api_.set_fault([&](const kube::Request&) -> std::optional<kube::Result> {
    switch (++calls) {
      case 1:
        return kube::Response{.status = 403, .body = "{}"};
      case 2:
        return kube::Response{.status = 500, .body = "{}"};
      default:
        return std::nullopt;
    }
  });
  update({problem("a", "x"), problem("b", "x")});
  post_all();
  EXPECT_EQ(calls, 3);
  EXPECT_EQ(stored(), 1u);
}

}  // namespace
}  // namespace ringway::status
