#include "dataplane/process/limits.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace ringway::process {
namespace {

namespace fs = std::filesystem;

class CgroupTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/ringway-cgroup-XXXXXX";
    root_ = mkdtemp(name);
  }
  void TearDown() override { fs::remove_all(root_); }
  void write(const std::string& path, const std::string& text) {
    fs::create_directories(fs::path(root_ + path).parent_path());
    std::ofstream(root_ + path) << text;
  }
  std::string root_;
};

TEST_F(CgroupTest, V2) {
  write("/proc/self/cgroup", "0::/\n");
  write("/sys/fs/cgroup/cpu.max", "150000 100000\n");
  EXPECT_EQ(cgroup_cpu_milli(root_), 1500u);
}

TEST_F(CgroupTest, V2WithoutQuota) {
  write("/proc/self/cgroup", "0::/\n");
  write("/sys/fs/cgroup/cpu.max", "max 100000\n");
  EXPECT_EQ(cgroup_cpu_milli(root_), 0u);
}

TEST_F(CgroupTest, V2SmallestOnTheWayToTheRoot) {
  write("/proc/self/cgroup", "0::/kubepods/pod1/box\n");
  write("/sys/fs/cgroup/kubepods/pod1/box/cpu.max", "max 100000\n");
  write("/sys/fs/cgroup/kubepods/pod1/cpu.max", "50000 100000\n");
  write("/sys/fs/cgroup/kubepods/cpu.max", "400000 100000\n");
  EXPECT_EQ(cgroup_cpu_milli(root_), 500u);
}

TEST_F(CgroupTest, V1) {
  write("/proc/self/cgroup", "11:memory:/a\n4:cpu,cpuacct:/docker/box\n0::/\n");
  write("/sys/fs/cgroup/cpu,cpuacct/docker/box/cpu.cfs_quota_us", "250000\n");
  write("/sys/fs/cgroup/cpu,cpuacct/docker/box/cpu.cfs_period_us", "100000\n");
  write("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
  write("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(cgroup_cpu_milli(root_), 2500u);
}

// A container without a cgroup namespace: /proc names a group of the host, the mount shows the
// container's own as the root.
TEST_F(CgroupTest, V1GroupAboveTheMount) {
  write("/proc/self/cgroup", "4:cpu:/kubepods/pod1/box\n");
  write("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "100000\n");
  write("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(cgroup_cpu_milli(root_), 1000u);
}

TEST_F(CgroupTest, NothingToReadIsNoQuota) { EXPECT_EQ(cgroup_cpu_milli(root_), 0u); }

TEST_F(CgroupTest, GarbageIsNoQuota) {
  write("/proc/self/cgroup", "0::/\nnonsense\n");
  write("/sys/fs/cgroup/cpu.max", "lots\n");
  EXPECT_EQ(cgroup_cpu_milli(root_), 0u);
}

TEST(LimitsTest, WorkersFollowCpusAndQuota) {
  EXPECT_EQ(worker_count(8, 0), 8u);
  EXPECT_EQ(worker_count(8, 500), 1u);
  EXPECT_EQ(worker_count(8, 1500), 2u);
  EXPECT_EQ(worker_count(2, 16000), 2u);
  EXPECT_EQ(worker_count(0, 0), 1u);
}

TEST(LimitsTest, ConnectionsLeaveHeadroom) {
  EXPECT_EQ(connections_for(1'048'576, 50'000), 50'000u);
  EXPECT_EQ(connections_for(1024, 50'000), 384u);
  EXPECT_EQ(connections_for(64, 50'000), 16u);
}

TEST(LimitsTest, FileLimitGoesToTheHardLimit) {
  const pid_t child = fork();
  if (child == 0) {
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    const rlim_t hard = std::min<rlim_t>(limit.rlim_max, 1'048'576);
    limit.rlim_cur = 64;
    setrlimit(RLIMIT_NOFILE, &limit);
    const bool raised = raise_file_limit() == hard && getrlimit(RLIMIT_NOFILE, &limit) == 0 &&
                        limit.rlim_cur == hard;
    _exit(raised ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST(LimitsTest, PinsToAnAllowedCpuOnly) {
  const pid_t child = fork();
  if (child == 0) {
    const auto cpus = allowed_cpus();
    const bool pinned =
        pin_to_cpu(cpus.back()) && allowed_cpus() == std::vector<uint32_t>{cpus.back()};
    _exit(pinned && !pin_to_cpu(5000) ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace ringway::process
