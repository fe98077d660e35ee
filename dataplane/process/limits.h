// What the environment grants: descriptors, processors.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <vector>

namespace ringway::process {

// Descriptors that are not connections: rings, listeners, logs, the controller, the admin endpoint.
inline constexpr uint64_t kFileHeadroom = 256;

// Raises RLIMIT_NOFILE to its hard limit (at most 1,048,576: some containers say "infinity") and
// returns what holds now.
uint64_t raise_file_limit();

// How many client connections fit: a request may need two descriptors (client and upstream), and
// some stay in reserve. min(`wanted`, (limit - kFileHeadroom) / 2), at least 16.
uint32_t connections_for(uint64_t file_limit, uint32_t wanted);

// CPUs of the cgroup's quota, in thousandths (1500: one and a half); 0: no quota. The smallest on
// the way from the process' group to the root counts. cgroup v2: cpu.max; v1: cpu.cfs_quota_us and
// cpu.cfs_period_us (Documentation/admin-guide/cgroup-v2.rst, sched-bwc.rst). `root`: "/" but for
// tests.
uint32_t cgroup_cpu_milli(const std::string& root = "/");

// CPUs this process may run on (sched_getaffinity(2)), ascending.
std::vector<uint32_t> allowed_cpus();

// One worker per CPU, as many as the quota pays for (rounded up), at least one.
uint32_t worker_count(uint32_t cpus, uint32_t quota_milli);

// Pins the calling thread. False: refused.
bool pin_to_cpu(uint32_t cpu);

}  // namespace ringway::process
