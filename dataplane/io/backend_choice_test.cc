// The choice of the backend, in children whose seccomp filter forbids io_uring as container
// runtimes do.
#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

#include "dataplane/io/ring_world.h"
#include "dataplane/io/uring_queue.h"

namespace ringway::io {
namespace {

// From here on the three calls of io_uring answer `error`. Cannot be undone: for child processes.
void forbid_uring(int error) {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, SYS_io_uring_setup, 0, 2),
      BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, SYS_io_uring_register, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<uint32_t>(error)),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  sock_fprog filter{.len = std::size(program), .filter = program};
  CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
  CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0);
}

struct Outcome {
  bool had = false;
  Backend backend = Backend::kSim;
  char text[200] = {};
  bool echoed = false;
};

// A byte through a ring of the chosen backend.
bool echo(Backend backend) {
  RingOptions options;
  options.small = {256, 8, 8};
  options.bulk = {1024, 2, 2};
  auto world = make_world(backend, options);
  const Socket socket = world->ring().open_stream(AF_INET, {}).value();
  Logged<ConnectOp> connect;
  world->ring().connect(connect.op, socket, world->server_address());
  if (!world->run_until([&] { return connect.done(); }) || connect.last() != 0) return false;
  Far* far = nullptr;
  if (!world->run_until([&] { return (far = world->served()) != nullptr; })) return false;
  far->write("x");
  Logged<Op> receive, closing;
  world->ring().recv(receive.op, socket, RecvMode::kOnce);
  if (!world->run_until([&] { return receive.done(); })) return false;
  world->ring().close(closing.op, socket);
  if (!world->run_until([&] { return closing.done(); })) return false;
  return receive.text == "x";
}

// What a child finds that has `error` as io_uring's answer (0: as this machine is).
Outcome choose_in_child(int error, BackendChoice choice) {
  int ends[2];
  CHECK(pipe(ends) == 0);
  const pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    if (error != 0) forbid_uring(error);
    Outcome outcome;
    const auto chosen = choose_backend(choice);
    outcome.had = chosen.has_value();
    const std::string& text = chosen ? chosen->reason : chosen.error();
    std::strncpy(outcome.text, text.c_str(), sizeof outcome.text - 1);
    if (chosen) {
      outcome.backend = chosen->backend;
      outcome.echoed = echo(chosen->backend);
    }
    const ssize_t size = ::write(ends[1], &outcome, sizeof outcome);
    _exit(size == sizeof outcome ? 0 : 1);
  }
  ::close(ends[1]);
  Outcome outcome;
  const ssize_t size = ::read(ends[0], &outcome, sizeof outcome);
  EXPECT_EQ(size, static_cast<ssize_t>(sizeof outcome));
  ::close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  return outcome;
}

TEST(BackendChoice, EpollNeedsNoProbe) {
  const Outcome outcome = choose_in_child(EPERM, BackendChoice::kEpoll);
  ASSERT_TRUE(outcome.had);
  EXPECT_EQ(outcome.backend, Backend::kEpoll);
  EXPECT_STREQ(outcome.text, "");
}

struct Forbidden {
  int error;
  const char* reason;
};

class ForbiddenUring : public ::testing::TestWithParam<Forbidden> {};

INSTANTIATE_TEST_SUITE_P(
    All, ForbiddenUring,
    ::testing::Values(Forbidden{EPERM, "io_uring_setup: Operation not permitted"},
                      Forbidden{ENOSYS, "io_uring_setup: Function not implemented"},
                      Forbidden{ENOMEM, "io_uring_setup: Cannot allocate memory"}));

TEST_P(ForbiddenUring, AutoFallsBackAndWorks) {
  const Outcome outcome = choose_in_child(GetParam().error, BackendChoice::kAuto);
  ASSERT_TRUE(outcome.had) << outcome.text;
  EXPECT_EQ(outcome.backend, Backend::kEpoll);
  EXPECT_STREQ(outcome.text, GetParam().reason);
  EXPECT_TRUE(outcome.echoed);
}

TEST_P(ForbiddenUring, UringSaysWhatIsMissingInOneLine) {
  const Outcome outcome = choose_in_child(GetParam().error, BackendChoice::kUring);
  EXPECT_FALSE(outcome.had);
  EXPECT_EQ(std::string(outcome.text),
            std::string("io_uring cannot be used: ") + GetParam().reason);
}

TEST(BackendChoice, AutoTakesUringWhereItIs) {
  if (!probe_uring()) GTEST_SKIP() << "this machine has no io_uring";
  const Outcome outcome = choose_in_child(0, BackendChoice::kAuto);
  ASSERT_TRUE(outcome.had) << outcome.text;
  EXPECT_EQ(outcome.backend, Backend::kUring);
  EXPECT_STREQ(outcome.text, "");
  EXPECT_TRUE(outcome.echoed);
}

}  // namespace
}  // namespace ringway::io
