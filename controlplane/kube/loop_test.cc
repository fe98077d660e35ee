#include "controlplane/kube/loop.h"

#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <future>

namespace ringway::kube {
namespace {

using std::chrono::milliseconds;

TEST(LoopTest, RunsPostedTasksInOrderOnItsThread) {
  Loop loop;
  std::vector<int> seen;
  std::promise<bool> done;
  for (int i = 0; i < 100; ++i) {
    loop.post([&, i] { seen.push_back(i); });
  }
  loop.post([&] { done.set_value(loop.on_thread()); });
  EXPECT_TRUE(done.get_future().get());
  EXPECT_FALSE(loop.on_thread());
  ASSERT_EQ(seen.size(), 100u);
  EXPECT_TRUE(std::ranges::is_sorted(seen));
}

TEST(LoopTest, TimersRunInOrderOfTheirDeadlines) {
  Loop loop;
  std::vector<int> seen;
  std::promise<void> done;
  loop.post([&] {
    loop.after(milliseconds(2000), [&] {
      seen.push_back(3);
      done.set_value();
    });
    loop.after(milliseconds(1), [&] { seen.push_back(1); });
    loop.after(milliseconds(1), [&] { seen.push_back(2); });
    Loop::TimerId cancelled = loop.after(milliseconds(1), [&] { seen.push_back(9); });
    loop.cancel(cancelled);
    EXPECT_EQ(cancelled, 0u);
    loop.cancel(cancelled);
  });
  done.get_future().get();
  EXPECT_EQ(seen, (std::vector<int>{1, 2, 3}));
}

TEST(LoopTest, ATimerThatArmsItselfDoesNotStarveTasks) {
  Loop loop;
  std::atomic<bool> end = false;
  std::function<void()> again = [&] {
    if (!end) loop.after(milliseconds(0), again);
  };
  loop.post(again);
  std::promise<void> done;
  loop.post([&] { done.set_value(); });
  done.get_future().get();
  end = true;
  loop.stop();
}

TEST(LoopTest, WatchesDescriptors) {
  Loop loop;
  const int fd = ::eventfd(1, EFD_NONBLOCK);
  std::promise<uint32_t> ready;
  loop.post([&] {
    loop.watch(fd, EPOLLIN, [&](uint32_t events) {
      loop.unwatch(fd);
      ready.set_value(events);
    });
  });
  EXPECT_EQ(ready.get_future().get(), uint32_t{EPOLLIN});
  loop.stop();
  ::close(fd);
}

TEST(LoopTest, StopRunsWhatWasPostedAndRefusesTheRest) {
  Loop loop;
  std::atomic<int> ran = 0;
  for (int i = 0; i < 10; ++i) loop.post([&] { ++ran; });
  loop.post([&] { loop.after(std::chrono::hours(1), [&] { ++ran; }); });
  loop.stop();
  EXPECT_EQ(ran, 10);
  EXPECT_FALSE(loop.post([&] { ++ran; }));
  EXPECT_EQ(ran, 10);
}

}  // namespace
}  // namespace ringway::kube
