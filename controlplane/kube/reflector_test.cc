// One reflector against a server that does what servers do, and worse.
#include "controlplane/kube/reflector.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <set>

#include "controlplane/kube/testing/fake_api_server.h"

namespace ringway::kube {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;
using Seen = FakeApiServer::Seen;

constexpr const char* kPlural = "services";

class ReflectorTest : public testing::Test {
 protected:
  ReflectorTest() {
    timings_.backoff = {.first = milliseconds(2), .most = milliseconds(10)};
    timings_.settle = milliseconds(5);
    timings_.compare_soon = milliseconds(5);
    timings_.compare_every = std::chrono::hours(1);
  }
  ~ReflectorTest() override {
    on_loop([this] { reflector_.reset(); });
  }

  void start(Reflector::Scope scope = {}) {
    client_ = std::make_unique<ApiClient>(Config{.server = server_.url()});
    on_loop([&] {
      reflector_ = std::make_unique<Reflector>(
          *client_, resource_of(model::Kind::kService), std::move(scope), timings_, traits_,
          random_,
          Reflector::Listener{
              .mirror = {.upserted = [this](const Item& item) { note(item.id(), true); },
                         .removed = [this](const Item& item) { note(item.id(), false); }},
              .changed = [this] { note("", true); }});
      reflector_->start();
    });
  }
  template <typename Action>
  void on_loop(Action action) {
    if (client_ == nullptr) return;
    std::promise<void> done;
    client_->loop().post([&] {
      action();
      done.set_value();
    });
    done.get_future().get();
  }
  // Everything told so far adds up to these.
  void wait_for(const std::set<std::string>& ids) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return known_ == ids; });
  }
  void wait_synced() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return synced_; });
  }
  // Problems there were since the last wait for none; they may be over again.
  std::vector<model::Problem> wait_problems(bool any) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return any ? !had_problems_.empty() : problems_.empty(); });
    return any ? had_problems_ : std::exchange(had_problems_, {});
  }
  Reflector::Counters counters() {
    Reflector::Counters out;
    on_loop([&] { out = reflector_->counters(); });
    return out;
  }
  void put(const std::string& name) { server_.put(kPlural, fake_service("n", name)); }
  void pages_only() { server_.behave(kPlural, {.streams_lists = false}); }

  FakeApiServer server_;
  Timings timings_;

  ServerTraits traits_;
  Random random_{5};
  std::unique_ptr<ApiClient> client_;

 private:
  void note(const std::string& id, bool there) {
    const std::lock_guard lock(mutex_);
    if (id.empty()) {
      synced_ = reflector_->synced();
      problems_.clear();
      reflector_->append_problems(problems_);
      if (!problems_.empty()) had_problems_ = problems_;
    } else if (there) {
      known_.insert(id);
    } else {
      known_.erase(id);
    }
    changed_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::set<std::string> known_;
  std::vector<model::Problem> problems_, had_problems_;
  bool synced_ = false;
  std::unique_ptr<Reflector> reflector_;
};

TEST_F(ReflectorTest, StreamsTheListAndFollows) {
  put("a");
  put("b");
  start();
  wait_synced();
  wait_for({"n/a", "n/b"});
  server_.remove(kPlural, "n", "a");
  put("c");
  wait_for({"n/b", "n/c"});
  EXPECT_EQ(server_.seen(kPlural).streams, 1u);
  EXPECT_EQ(server_.seen(kPlural).lists, 0u);
}

TEST_F(ReflectorTest, ReadsPagesWhereListsAreNotStreamed) {
  pages_only();
  std::set<std::string> all;
  for (int i = 0; i < 25; ++i) {
    put("s" + std::to_string(i));
    all.insert("n/s" + std::to_string(i));
  }
  timings_.page_items = 10;
  start();
  wait_for(all);
  EXPECT_EQ(server_.seen(kPlural).pages, 3u);
  EXPECT_EQ(server_.seen(kPlural).lists, 1u);
  server_.wait(kPlural, [](const Seen& seen) { return seen.watches == 1; });
  put("later");
  all.insert("n/later");
  wait_for(all);
}

TEST_F(ReflectorTest, AServerThatIgnoresTheStreamIsFoundOut) {
  server_.behave(kPlural, {.ignores_stream = true});
  timings_.list_max = milliseconds(30);
  put("a");
  start();
  wait_synced();
  wait_for({"n/a"});
  EXPECT_GE(server_.seen(kPlural).lists, 1u);
}

TEST_F(ReflectorTest, AnEmptyCollectionIsSyncedToo) {
  start();
  wait_synced();
  put("a");
  wait_for({"n/a"});
}

TEST_F(ReflectorTest, GoesOnWhereAWatchEnded) {
  pages_only();
  put("a");
  start();
  server_.wait(kPlural, [](const Seen& seen) { return seen.watching == 1; });
  server_.bookmark(kPlural);
  server_.end_watches(kPlural);
  put("b");
  wait_for({"n/a", "n/b"});
  server_.wait(kPlural, [](const Seen& seen) { return seen.watches == 2; });
  EXPECT_EQ(server_.seen(kPlural).lists, 1u);
}

TEST_F(ReflectorTest, A410OfEitherFormListsAgain) {
  pages_only();
  put("a");
  start();
  server_.wait(kPlural, [](const Seen& seen) { return seen.watching == 1; });
  server_.refuse_next(kPlural, {.verb = "watch", .status = 410});
  server_.end_watches(kPlural);
  server_.wait(kPlural, [](const Seen& seen) { return seen.lists >= 2 && seen.watching == 1; });
  // Now as an event: the place is compacted while the watch is away.
  server_.refuse_next(kPlural, {.verb = "watch", .status = 503});
  server_.end_watches(kPlural);
  server_.remove(kPlural, "n", "a");
  server_.compact();
  put("b");
  wait_for({"n/b"});
  EXPECT_GE(server_.seen(kPlural).lists, 3u);
}

TEST_F(ReflectorTest, APlaceInAListThatIsTooOldBeginsAgainWithoutPages) {
  pages_only();
  for (int i = 0; i < 25; ++i) put("s" + std::to_string(i));
  timings_.page_items = 10;
  server_.refuse_next(kPlural, {.verb = "list", .status = 410, .after = 1});
  start();
  wait_synced();
  const auto requests = server_.requests(kPlural);
  EXPECT_TRUE(std::ranges::any_of(requests, [](const auto& request) {
    return request.parameter("watch").empty() && request.parameter("limit").empty();
  }));
  on_loop([] {});
}

TEST_F(ReflectorTest, ASilentWatchListsAgain) {
  pages_only();
  timings_.silence_max = milliseconds(30);
  put("a");
  server_.behave(kPlural, {.streams_lists = false, .silent_watches = true});
  start();
  wait_for({"n/a"});
  put("b");  // The watch does not say so.
  wait_for({"n/a", "n/b"});
  EXPECT_GE(server_.seen(kPlural).lists, 2u);
}

TEST_F(ReflectorTest, ABrokenConnectionGoesOnAndComparesSoon) {
  pages_only();
  put("a");
  start();
  server_.wait(kPlural, [](const Seen& seen) { return seen.watching == 1; });
  put("b");  // By the watch: it is open on our side too, or curl would try anew unseen.
  wait_for({"n/a", "n/b"});
  server_.http().cut_all();
  put("c");
  wait_for({"n/a", "n/b", "n/c"});
  server_.wait(kPlural, [](const Seen& seen) { return seen.lists >= 2; });
}

// kubernetes#107457: after a restore of etcd the versions go backwards, and a watch from one of the
// future hears nothing.
TEST_F(ReflectorTest, ComparesWithAnotherListingWhenVersionsGoBackwards) {
  timings_.compare_every = milliseconds(40);
  put("kept");
  put("lost");
  start();
  wait_for({"n/kept", "n/lost"});
  server_.restore(kPlural, {fake_service("n", "kept"), fake_service("n", "found")}, 3);
  wait_for({"n/kept", "n/found"});
  put("after");
  wait_for({"n/kept", "n/found", "n/after"});
  EXPECT_GT(counters().differences, 0u);
}

TEST_F(ReflectorTest, ComparisonsThatFindNothingDisturbNothing) {
  timings_.compare_every = milliseconds(5);
  put("a");
  start();
  server_.wait(kPlural, [](const Seen& seen) { return seen.lists >= 4; });
  put("b");
  wait_for({"n/a", "n/b"});
  EXPECT_EQ(counters().differences, 0u);
  EXPECT_EQ(server_.seen(kPlural).streams, 1u) << "one watch all the while";
  EXPECT_EQ(server_.seen(kPlural).watches, 0u);
}

TEST_F(ReflectorTest, ARefusalIsSaidAndGoesAway) {
  server_.refuse_next(kPlural, {.verb = "watch", .status = 403}, 2);
  server_.refuse_next(kPlural, {.verb = "list", .status = 403}, 1);
  put("a");
  start();
  const auto problems = wait_problems(true);
  EXPECT_THAT(model::format(problems.at(0)), HasSubstr("cannot read services: HTTP 403"));
  EXPECT_EQ(problems.at(0).reason, model::Reason::kUnreadable);
  wait_problems(false);
  wait_for({"n/a"});
}

TEST_F(ReflectorTest, WhereItIsOptionalARefusalMeansNone) {
  server_.refuse_next(kPlural, {.verb = "watch", .status = 403}, 100);
  server_.refuse_next(kPlural, {.verb = "list", .status = 403}, 100);
  start({.optional = true});
  wait_synced();
  const auto problems = wait_problems(true);
  EXPECT_EQ(problems.at(0).severity, model::Severity::kWarning);
}

TEST_F(ReflectorTest, BusyServersAreWaitedFor) {
  server_.refuse_next(kPlural, {.verb = "watch", .status = 429, .headers = {{"Retry-After", "0"}}});
  server_.refuse_next(kPlural, {.verb = "watch", .status = 503});
  server_.refuse_next(kPlural, {.verb = "list", .status = 500}, 2);
  put("a");
  start();
  wait_for({"n/a"});
}

// 503 with a wait of an hour, until another collection of the same server gets through.
TEST_F(ReflectorTest, AnotherCollectionsSuccessEndsTheWait) {
  timings_.backoff = {.first = std::chrono::hours(100), .most = std::chrono::hours(100)};
  server_.refuse_next(kPlural, {.verb = "watch", .status = 503});
  server_.refuse_next("endpointslices", {.verb = "watch", .status = 503});
  put("a");
  start();
  size_t waiting = 0;
  while (waiting == 0) on_loop([&] { waiting = traits_.retries.waiting(); });
  Timings quick = timings_;
  quick.backoff = {.first = milliseconds(2), .most = milliseconds(10)};
  std::unique_ptr<Reflector> other;
  on_loop([&] {
    other = std::make_unique<Reflector>(
        *client_, resource_of(model::Kind::kEndpointSlice), Reflector::Scope(), quick, traits_,
        random_,
        Reflector::Listener{
            .mirror = {.upserted = [](const Item&) {}, .removed = [](const Item&) {}},
            .changed = [] {}});
    other->start();
  });
  wait_for({"n/a"});
  on_loop([&] { other.reset(); });
}

// The first 410 after a good listing is answered by another listing, not by a wait.
TEST_F(ReflectorTest, APlaceThatIsTooOldIsListedAnewAtOnce) {
  pages_only();
  timings_.backoff = {.first = std::chrono::hours(100), .most = std::chrono::hours(100)};
  put("a");
  start();
  server_.wait(kPlural, [](const Seen& seen) { return seen.watching == 1; });
  server_.refuse_next(kPlural, {.verb = "watch", .status = 410});
  server_.end_watches(kPlural);
  put("b");
  wait_for({"n/a", "n/b"});
  EXPECT_EQ(server_.seen(kPlural).lists, 2u);
}

TEST_F(ReflectorTest, ABadObjectCostsItselfOnly) {
  put("good");
  server_.put_text(kPlural, "n", "bad",
                   R"({"metadata":{"name":"bad","namespace":"n","resourceVersion":"1001"},)"
                   R"("spec":{"ports":[{"port":"eighty"}]}})");
  start();
  wait_for({"n/good"});
  auto problems = wait_problems(true);
  ASSERT_EQ(problems.size(), 1u);
  EXPECT_EQ(problems[0].object.name, "bad");
  EXPECT_EQ(problems[0].field, "spec.ports[0].port");
  put("bad");
  wait_problems(false);
  wait_for({"n/bad", "n/good"});
  // What it was before stays.
  server_.put_text(kPlural, "n", "bad",
                   R"({"metadata":{"name":"bad","namespace":"n"},"spec":{"ports":7}})");
  wait_problems(true);
  wait_for({"n/bad", "n/good"});
  server_.put_text(kPlural, "n", "bad", R"({"metadata":{"name":"bad","namespace":"n"},"spec":7})");
  server_.end_watches(kPlural);
  put("last");
  wait_for({"n/bad", "n/good", "n/last"});
}

TEST_F(ReflectorTest, GarbageInAWatchBeginsAnew) {
  pages_only();
  put("a");
  start();
  server_.wait(kPlural, [](const Seen& seen) { return seen.watching == 1; });
  for (const char* garbage : {"not json\n", "{\"type\":\"ADDED\"}\n",
                              "{\"type\":\"ADDED\",\"object\":7}\n", "\n\n", "{}\n"}) {
    server_.write_raw(kPlural, garbage);
  }
  put("b");
  wait_for({"n/a", "n/b"});
}

TEST_F(ReflectorTest, ALineWithoutEndIsBounded) {
  timings_.line_bytes_max = 1 << 16;
  put("a");
  start();
  server_.wait(kPlural, [](const Seen& seen) { return seen.watching == 1; });
  server_.write_raw(kPlural, std::string(1 << 18, 'x'));
  put("b");
  wait_for({"n/a", "n/b"});
}

TEST_F(ReflectorTest, ALongLineInManyPartsIsRead) {
  start();
  wait_synced();
  auto big = fake_service("n", "big");
  big["metadata"]["annotations"] = {{"text", std::string(1 << 20, 'y')}};
  server_.put(kPlural, big);
  wait_for({"n/big"});
}

TEST_F(ReflectorTest, WatchesThatCloseAtOnceAreNotAskedInATightLoop) {
  timings_.backoff = {.first = milliseconds(20), .most = milliseconds(40)};
  server_.behave(kPlural, {.streams_lists = false, .closes_watches = true});
  put("a");
  start();
  // After a few the place is given up and everything listed.
  server_.wait(kPlural, [](const Seen& seen) { return seen.lists >= 3; });
  EXPECT_LE(server_.seen(kPlural).watches, 6 * server_.seen(kPlural).lists);
}

TEST_F(ReflectorTest, PassesSelectorsAndNamespace) {
  start({.ns = "shop", .field_selector = "type!=a/b", .label_selector = "x=y"});
  wait_synced();
  const auto request = server_.requests(kPlural).at(0);
  EXPECT_EQ(request.path, "/api/v1/namespaces/shop/services");
  EXPECT_EQ(request.parameter("fieldSelector"), "type!=a/b");
  EXPECT_EQ(request.parameter("labelSelector"), "x=y");
  EXPECT_EQ(request.parameter("allowWatchBookmarks"), "true");
  EXPECT_NE(request.parameter("timeoutSeconds"), "");
}

}  // namespace
}  // namespace ringway::kube
