#include "controlplane/kube/mirror.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/check.h"
#include "base/random.h"

namespace ringway::kube {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

class MirrorTest : public testing::Test {
 protected:
  static Item item(const std::string& name, const std::string& value,
                   const std::string& uid = "u") {
    auto read = read_item(resource_of(model::Kind::kConfigMap),
                          R"({"metadata":{"namespace":"n","name":")" + name + R"(","uid":")" + uid +
                              R"("},"data":{"v":")" + value + "\"}}");
    CHECK(read.has_value());
    return *std::move(read);
  }
  std::vector<std::string> take_log() { return std::exchange(log_, {}); }

  static std::string value_of(const Item& item) {
    return std::get<kubernetes::ConfigMap>(item.object->body).data().at("v");
  }

  std::vector<std::string> log_;
  Mirror mirror_{
      {.upserted = [this](const Item& item) { log_.push_back(item.name + "=" + value_of(item)); },
       .removed = [this](const Item& item) { log_.push_back("-" + item.name); }}};
};

TEST_F(MirrorTest, TellsWhatChangesOnce) {
  mirror_.upsert(item("a", "1"));
  mirror_.upsert(item("a", "1"));
  mirror_.upsert(item("a", "2"));
  mirror_.remove("n/a");
  mirror_.remove("n/a");
  EXPECT_THAT(take_log(), ElementsAre("a=1", "a=2", "-a"));
}

TEST_F(MirrorTest, AnotherUidIsAnotherObject) {
  mirror_.upsert(item("a", "1", "u1"));
  mirror_.upsert(item("a", "1", "u2"));
  EXPECT_THAT(take_log(), ElementsAre("a=1", "a=1"));
}

TEST_F(MirrorTest, AListingReplacesAllInOneStep) {
  mirror_.upsert(item("stays", "1"));
  mirror_.upsert(item("changes", "1"));
  mirror_.upsert(item("goes", "1"));
  take_log();
  mirror_.begin_listing();
  mirror_.listed(item("stays", "1"));
  mirror_.listed(item("changes", "2"));
  mirror_.listed(item("comes", "1"));
  EXPECT_THAT(take_log(), IsEmpty()) << "nothing before its end";
  EXPECT_EQ(mirror_.finish_listing(), 3u);
  EXPECT_THAT(take_log(), UnorderedElementsAre("-goes", "changes=2", "comes=1"));
  EXPECT_EQ(mirror_.size(), 3u);
}

TEST_F(MirrorTest, EventsDuringAListingAreNewer) {
  mirror_.upsert(item("old", "1"));
  mirror_.upsert(item("other", "1"));
  take_log();
  mirror_.begin_listing();
  mirror_.upsert(item("new", "1"));  // Not in the list, which is older.
  mirror_.upsert(item("other", "2"));
  mirror_.listed(item("other", "1"));
  mirror_.remove("n/old");
  mirror_.listed(item("old", "1"));
  take_log();
  EXPECT_EQ(mirror_.finish_listing(), 0u);
  EXPECT_THAT(take_log(), IsEmpty());
  EXPECT_EQ(value_of(*mirror_.find("n/other")), "2");
  EXPECT_EQ(mirror_.find("n/old"), nullptr);
  EXPECT_NE(mirror_.find("n/new"), nullptr);
}

TEST_F(MirrorTest, WhatCannotBeReadStaysAsItWas) {
  mirror_.upsert(item("bad", "1"));
  take_log();
  mirror_.begin_listing();
  mirror_.keep("n/bad");
  mirror_.keep("n/unknown");
  EXPECT_EQ(mirror_.finish_listing(), 0u);
  EXPECT_EQ(mirror_.size(), 1u);
}

TEST_F(MirrorTest, AListedObjectThatGoesBeforeTheEndIsGone) {
  mirror_.upsert(item("a", "1"));
  take_log();
  mirror_.begin_listing();
  mirror_.listed(item("a", "2"));
  mirror_.listed(item("b", "1"));
  mirror_.unlist("n/a");
  mirror_.unlist("n/b");
  mirror_.finish_listing();
  EXPECT_THAT(take_log(), ElementsAre("-a"));
}

TEST_F(MirrorTest, ADroppedListingChangesNothing) {
  mirror_.upsert(item("a", "1"));
  take_log();
  mirror_.begin_listing();
  mirror_.listed(item("b", "1"));
  mirror_.drop_listing();
  mirror_.begin_listing();
  mirror_.listed(item("a", "1"));
  EXPECT_EQ(mirror_.finish_listing(), 0u);
  EXPECT_THAT(take_log(), IsEmpty());
}

// Any order of events and listings: what was told adds up to what is there.
TEST_F(MirrorTest, WhatIsToldAddsUp) {
  std::map<std::string, std::string> told, truth;
  Mirror mirror({.upserted = [&](const Item& item) { told[item.id()] = value_of(item); },
                 .removed = [&](const Item& item) { told.erase(item.id()); }});
  Random random(3);
  for (int round = 0; round < 2'000; ++round) {
    const std::string name(1, static_cast<char>('a' + random.below(6)));
    const std::string value = std::to_string(random.below(3));
    switch (random.below(4)) {
      case 0:
        mirror.upsert(item(name, value));
        truth["n/" + name] = value;
        break;
      case 1:
        mirror.remove("n/" + name);
        truth.erase("n/" + name);
        break;
      case 2: {  // A listing of the truth, with an event in the middle.
        mirror.begin_listing();
        for (const auto& [id, text] : truth) mirror.listed(item(id.substr(2), text));
        if (random.chance(50)) {
          mirror.upsert(item(name, value));
          truth["n/" + name] = value;
        }
        mirror.finish_listing();
        break;
      }
      default:  // Another truth, learnt by a listing only.
        truth.clear();
        truth["n/" + name] = value;
        mirror.begin_listing();
        mirror.listed(item(name, value));
        mirror.finish_listing();
    }
    ASSERT_EQ(told, truth) << round;
    ASSERT_EQ(mirror.size(), truth.size());
  }
}

}  // namespace
}  // namespace ringway::kube
