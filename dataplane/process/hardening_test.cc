#include "dataplane/process/hardening.h"

#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <fstream>

#include "dataplane/io/ring.h"
#include "dataplane/net/client_source.h"
#include "dataplane/process/forked_for_test.h"

namespace ringway::process {
namespace {

std::string status_line(const std::string& key) {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(key + ":"))
      return line.substr(line.find_first_not_of(" \t", key.size() + 1));
  }
  return {};
}

TEST(HardeningTest, CoreDumpsAreOff) {
  const Ended ended = run_forked([] {
    forbid_core_dumps();
    rlimit limit{};
    getrlimit(RLIMIT_CORE, &limit);
    return limit.rlim_max == 0 && prctl(PR_GET_DUMPABLE) == 0 ? 0 : 1;
  });
  EXPECT_EQ(ended.status, 0);
}

TEST(HardeningTest, CapabilitiesAreGone) {
  const Ended ended = run_forked([] {
    if (!drop_capabilities({})) return 1;
    return status_line("CapPrm") == "0000000000000000" &&
                   status_line("CapEff") == "0000000000000000"
               ? 0
               : 2;
  });
  EXPECT_EQ(ended.status, 0);
}

TEST(HardeningTest, OneCapabilityCanStay) {
  if (status_line("CapEff").back() == '0' && geteuid() != 0)
    GTEST_SKIP() << "needs a capability to keep";
  const Ended ended = run_forked([] {
    if (!drop_capabilities({.net_bind_service = true})) return 1;
    return status_line("CapPrm") == "0000000000000400" &&
                   status_line("CapEff") == "0000000000000400"
               ? 0
               : 2;
  });
  EXPECT_EQ(ended.status, 0);
}

// Of the two that allow it, the one that cannot change the network.
TEST(HardeningTest, ClientsAddressesTakeOneCapability) {
  if (status_line("CapEff").back() == '0' && geteuid() != 0)
    GTEST_SKIP() << "needs a capability to keep";
  const std::pair<int, const char*> cases[] = {{-1, "0000000000002000"},
                                               {CAP_NET_RAW, "0000000000001000"}};
  for (const auto& [missing, left] : cases) {
    const Ended ended = run_forked([&] {
      __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
      __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3]{};
      if (syscall(SYS_capget, &header, data) != 0) return 1;
      if (missing >= 0) data[0].effective &= ~(1u << missing), data[0].permitted = data[0].effective;
      if (syscall(SYS_capset, &header, data) != 0) return 2;
      if (!drop_capabilities({.transparent_source = true})) return 3;
      if (status_line("CapPrm") != left || status_line("CapEff") != left) return 4;
      return net::may_use_client_source() ? 0 : 5;
    });
    EXPECT_EQ(ended.status, 0) << left;
  }
}

TEST(HardeningTest, WithoutItTheRefusalSaysWhatToDo) {
  const Ended ended = run_forked([] {
    if (!drop_capabilities({.net_bind_service = true})) return 1;
    const auto refused = net::may_use_client_source();
    if (refused || refused.error().find('\n') != std::string::npos) return 2;
    return refused.error().find("NET_RAW") != std::string::npos &&
                   refused.error().find("--transparent-source") != std::string::npos
               ? 0
               : 3;
  });
  EXPECT_EQ(ended.status, 0);
}

TEST(HardeningTest, ExecIsRefusedAndTheRestGoesOn) {
  const Ended ended = run_forked([] {
    if (!forbid_new_privileges() || !forbid_exec()) return 1;
    char* const arguments[] = {nullptr};
    if (execve("/bin/true", arguments, arguments) != -1 || errno != EPERM) return 2;
    if (syscall(SYS_ptrace, 0, 0, 0, 0) != -1 || errno != EPERM) return 3;
    // What a proxy does still works: sockets, a ring, fork.
    if (socket(AF_INET, SOCK_STREAM, 0) < 0) return 4;
    const auto choice = io::choose_backend(io::BackendChoice::kAuto);
    if (!choice) return 5;
    auto ring = io::make_ring(choice->backend, {});
    ring->turn(0);
    const pid_t child = fork();
    if (child == 0) _exit(0);
    int status = 1;
    return waitpid(child, &status, 0) == child && status == 0 ? 0 : 6;
  });
  EXPECT_EQ(ended.status, 0) << ended.error_output;
}

TEST(HardeningTest, FilterWithoutNoNewPrivilegesIsRefusedWhenUnprivileged) {
  if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1) GTEST_SKIP() << "started with no_new_privs, which can't be taken back";
  const Ended ended = run_forked([] {
    if (!drop_capabilities({})) return 1;
    const auto refused = forbid_exec();
    return !refused && refused.error().find("seccomp") != std::string::npos ? 0 : 2;
  });
  EXPECT_EQ(ended.status, 0);
}

}  // namespace
}  // namespace ringway::process
