#include "dataplane/process/limits.h"

#include <sched.h>
#include <sys/resource.h>

#include <algorithm>
#include <fstream>
#include <sstream>

namespace ringway::process {
namespace {

constexpr uint64_t kFileLimitMax =
    1'048'576;  // fs.nr_open's default: more cannot be had, and tables are sized by it.

std::string read_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// "150000 100000" or "max 100000"; 0: no quota.
uint32_t milli_of(const std::string& quota_text, const std::string& period_text) {
  char* end = nullptr;
  const long long quota = std::strtoll(quota_text.c_str(), &end, 10);
  if (end == quota_text.c_str() || quota <= 0) return 0;  // "max", "-1", or not there.
  const long long period = std::strtoll(period_text.c_str(), nullptr, 10);
  if (period <= 0) return 0;
  return static_cast<uint32_t>(std::clamp<long long>(quota * 1000 / period, 1, 1'000'000'000));
}

uint32_t quota_v2(const std::string& directory) {
  const std::string line = read_line(directory + "/cpu.max");
  const size_t space = line.find(' ');
  return space == std::string::npos ? 0 : milli_of(line.substr(0, space), line.substr(space + 1));
}

uint32_t quota_v1(const std::string& directory) {
  return milli_of(read_line(directory + "/cpu.cfs_quota_us"),
                  read_line(directory + "/cpu.cfs_period_us"));
}

// The smallest quota from `group` up to the root of the hierarchy mounted at `mount`. In a
// container with a cgroup namespace of its own the group is
// "/"; without one, the path names groups above the mount, which then are not there: absent files
// are no quota.
uint32_t smallest_quota(const std::string& mount, std::string group,
                        uint32_t (*quota)(const std::string&)) {
  uint32_t smallest = 0;
  while (true) {
    if (group == "/") group.clear();
    const uint32_t here = quota(mount + group);
    if (here != 0 && (smallest == 0 || here < smallest)) smallest = here;
    if (group.empty()) return smallest;
    group.erase(group.rfind('/') == std::string::npos ? 0 : group.rfind('/'));
  }
}

bool names_cpu(const std::string& controllers) {
  std::istringstream words(controllers);
  for (std::string word; std::getline(words, word, ',');) {
    if (word == "cpu") return true;
  }
  return false;
}

}  // namespace

uint64_t raise_file_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1024;
  const rlim_t wanted = std::min<rlim_t>(limit.rlim_max, kFileLimitMax);
  if (limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur < wanted) {
    const rlimit raised{.rlim_cur = wanted, .rlim_max = limit.rlim_max};
    if (setrlimit(RLIMIT_NOFILE, &raised) == 0) return wanted;
  }
  return limit.rlim_cur == RLIM_INFINITY ? kFileLimitMax : limit.rlim_cur;
}

uint32_t connections_for(uint64_t file_limit, uint32_t wanted) {
  const uint64_t room = file_limit > kFileHeadroom ? (file_limit - kFileHeadroom) / 2 : 0;
  return static_cast<uint32_t>(std::max<uint64_t>(std::min<uint64_t>(wanted, room), 16));
}

uint32_t cgroup_cpu_milli(const std::string& root) {
  const std::string base = root == "/" ? "" : root;
  std::ifstream groups(base + "/proc/self/cgroup");
  uint32_t smallest = 0;
  for (std::string line; std::getline(groups, line);) {
    // cgroups(7): hierarchy-ID:controller-list:path; v2 is "0::path".
    const size_t first = line.find(':');
    const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::string group = line.substr(second + 1);
    uint32_t quota = 0;
    if (controllers.empty()) {
      quota = smallest_quota(base + "/sys/fs/cgroup", group, quota_v2);
    } else if (names_cpu(controllers)) {
      quota = smallest_quota(base + "/sys/fs/cgroup/" + controllers, group, quota_v1);
      if (quota == 0) quota = smallest_quota(base + "/sys/fs/cgroup/cpu", group, quota_v1);
    }
    if (quota != 0 && (smallest == 0 || quota < smallest)) smallest = quota;
  }
  return smallest;
}

std::vector<uint32_t> allowed_cpus() {
  std::vector<uint32_t> result;
  // A fixed cpu_set_t ends at 1024 CPUs; the kernel refuses a set that is too small for the
  // machine.
  for (int cpus = CPU_SETSIZE; cpus <= 1 << 16; cpus *= 2) {
    cpu_set_t* set = CPU_ALLOC(cpus);
    const size_t bytes = CPU_ALLOC_SIZE(cpus);
    const bool ok = sched_getaffinity(0, bytes, set) == 0;
    for (int cpu = 0; ok && cpu < cpus; ++cpu) {
      if (CPU_ISSET_S(cpu, bytes, set)) result.push_back(static_cast<uint32_t>(cpu));
    }
    CPU_FREE(set);
    if (ok) break;
  }
  if (result.empty()) result.push_back(0);
  return result;
}

uint32_t worker_count(uint32_t cpus, uint32_t quota_milli) {
  const uint32_t paid = quota_milli == 0 ? cpus : (quota_milli + 999) / 1000;
  return std::max(1u, std::min(cpus, paid));
}

bool pin_to_cpu(uint32_t cpu) {
  cpu_set_t* set = CPU_ALLOC(cpu + 1);
  const size_t bytes = CPU_ALLOC_SIZE(cpu + 1);
  CPU_ZERO_S(bytes, set);
  CPU_SET_S(cpu, bytes, set);
  const bool ok = sched_setaffinity(0, bytes, set) == 0;
  CPU_FREE(set);
  return ok;
}

}  // namespace ringway::process
