// The process that outlives crashes: holds the listening sockets and the last configuration, starts
// the data process and starts it again when it dies. Forked before anything else; it has one
// thread, uses no library but libc, and writes plain lines to stderr.
//
// Restart policy. A death is an end by a signal, or by an exit code other than 0 after the process
// had been ready. It is quick when the process lived less than `quick_death_ms`. The first
// `free_restarts` quick deaths in a row are followed by a new process at once, later ones after
// delays that double from `delay_min_ms` to `delay_max_ms`. When `deaths_max` processes died within
// `deaths_window_ms` and no process ever became ready, the supervisor gives up with kExitCrashLoop:
// nothing serves, and the container's own back-off is visible to people. Once a process was ready
// it never gives up: clients wait in the listening sockets' queues meanwhile. An exit by its own
// will ends the supervisor with the same code: any code while stopping, 0 always, others (wrong
// options, port in use) when no process was ever ready.
//
// Signals: SIGTERM, SIGINT and SIGQUIT are passed on as SIGTERM (each time: the second one means
// "now") and start the deadline after which the data process is killed; SIGHUP and SIGUSR1 are
// passed on. The data process has a process group of its own, so that Ctrl-C reaches it once, and
// dies (SIGKILL) with its supervisor. As PID 1 the supervisor reaps every orphan.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>

#include "dataplane/process/listener_sockets.h"

namespace ringway::process {

inline constexpr int kExitCrashLoop = 70;  // EX_SOFTWARE
inline constexpr int kExitKilled =
    137;  // The drain deadline passed: 128 + SIGKILL, as shells say it.
inline constexpr int kExitEnvironment = 71;  // EX_OSERR: fork, socketpair or signalfd failed.

struct SupervisorOptions {
  uint32_t drain_timeout_ms = 30'000;  // Of the data process; it is killed `kill_grace_ms` later.
  uint32_t kill_grace_ms = 5'000;
  uint32_t quick_death_ms = 10'000;
  uint32_t free_restarts = 5;
  uint32_t delay_min_ms = 100;
  uint32_t delay_max_ms = 10'000;
  uint32_t deaths_max = 10;
  uint32_t deaths_window_ms = 60'000;
  MakeListeners make_listeners = process::make_listeners;
};

// What a data process is told.
struct SupervisorLink {
  int fd = -1;  // For SupervisorClient.
  uint32_t generation =
      0;  // 0: the first; counts the processes before this one. A metric: restarts.
};

// Forks the data process, which runs `data_main` and exits with its result; returns the exit code
// of the whole when all is over (in the supervisor only). REQUIRES: one thread, SIGCHLD not
// ignored.
int run_supervisor(const SupervisorOptions& options,
                   const std::function<int(SupervisorLink)>& data_main);

}  // namespace ringway::process
