#include "dataplane/process/crash.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <thread>

#include "base/check.h"
#include "dataplane/process/forked_for_test.h"

namespace ringway::process {

// With external linkage and calls behind them, so that they are frames with names.
[[gnu::noinline]] int crash_test_write_to_nowhere(volatile int* address) {
  *address = 1;
  return *address + 1;
}

[[gnu::noinline]] int crash_test_recurse(int depth) {
  volatile char frame[512];
  frame[0] = static_cast<char>(depth);
  if (depth == 0) return frame[0];
  return crash_test_recurse(depth + 1) + frame[0];
}

namespace {

TEST(CrashTest, TellsSignalAddressVersionAndFunction) {
  const Ended ended = run_forked([] {
    install_crash_handlers("crash-test");
    return crash_test_write_to_nowhere(reinterpret_cast<volatile int*>(0xdead0));
  });
  ASSERT_TRUE(WIFSIGNALED(ended.status)) << ended.error_output;
  EXPECT_EQ(WTERMSIG(ended.status), SIGSEGV);
  EXPECT_NE(ended.error_output.find("crash-test " RINGWAY_VERSION), std::string::npos)
      << ended.error_output;
  EXPECT_NE(ended.error_output.find("SIGSEGV at address 0xdead0"), std::string::npos)
      << ended.error_output;
  EXPECT_NE(ended.error_output.find("crash_test_write_to_nowhere"), std::string::npos)
      << ended.error_output;
}

TEST(CrashTest, CheckPrintsItsExpressionThenTheStack) {
  const Ended ended = run_forked([] {
    install_crash_handlers("crash-test");
    const int two = 2;
    CHECK(two + two == 5);
    return 0;
  });
  ASSERT_TRUE(WIFSIGNALED(ended.status));
  EXPECT_EQ(WTERMSIG(ended.status), SIGABRT);
  EXPECT_NE(ended.error_output.find("CHECK failed: two + two == 5"), std::string::npos)
      << ended.error_output;
  EXPECT_NE(ended.error_output.find("check_failed"), std::string::npos) << ended.error_output;
}

TEST(CrashTest, StackOverflowOfAThreadIsTold) {
  const Ended ended = run_forked([] {
    install_crash_handlers("crash-test");
    std::thread([] {
      install_crash_stack();
      crash_test_recurse(1);
    }).join();
    return 0;
  });
  ASSERT_TRUE(WIFSIGNALED(ended.status));
  EXPECT_EQ(WTERMSIG(ended.status), SIGSEGV);
  EXPECT_NE(ended.error_output.find("crash_test_recurse"), std::string::npos)
      << ended.error_output.substr(0, 2000);
}

TEST(CrashTest, ASignalOfSomebodyElseNamesTheSender) {
  const Ended ended = run_forked([] {
    install_crash_handlers("crash-test");
    kill(getpid(), SIGBUS);
    return 0;
  });
  ASSERT_TRUE(WIFSIGNALED(ended.status));
  EXPECT_EQ(WTERMSIG(ended.status), SIGBUS);
  EXPECT_NE(ended.error_output.find("SIGBUS sent by pid"), std::string::npos) << ended.error_output;
}

}  // namespace
}  // namespace ringway::process
