// What this process takes of the machine, from /proc/self.
#pragma once

#include <cstdint>

namespace ringway::observe {

struct ProcessUsage {
  uint64_t resident_bytes = 0;
  uint64_t virtual_bytes = 0;
  uint64_t open_fds = 0;
  uint64_t max_fds = 0;           // RLIMIT_NOFILE; 0: unlimited.
  double cpu_seconds = 0;         // User and system, all threads.
  double start_time_seconds = 0;  // Since the epoch.
  uint32_t threads = 0;
  uint64_t storage_read_bytes = 0, storage_written_bytes = 0;  // Of disks, not of sockets.
};

// Reads /proc; some 100 microseconds with thousands of descriptors. What cannot be read stays 0.
ProcessUsage read_process_usage();

}  // namespace ringway::observe
