// Gives away what a running proxy does not need.
#pragma once

#include <expected>
#include <string>

namespace ringway::process {

// Core dumps of a proxy hold private keys: RLIMIT_CORE 0 and not dumpable (prctl(2),
// PR_SET_DUMPABLE), which also keeps other processes of the same user from reading its memory
// (ptrace, /proc/PID/mem).
void forbid_core_dumps();

// Nothing started from here gains rights by a set-user-id or file capability (PR_SET_NO_NEW_PRIVS).
std::expected<void, std::string> forbid_new_privileges();

struct KeepCapabilities {
  bool net_bind_service = false;  // Low ports.
  bool transparent_source =
      false;  // NET_RAW; where that is not held, NET_ADMIN, which can do more.
};
// Empties the capability sets of this thread (call before others start) but for what is kept.
// Without any: nothing to do.
std::expected<void, std::string> drop_capabilities(KeepCapabilities keep);

// A seccomp filter for this thread and those it starts: execve, execveat, ptrace,
// process_vm_readv/writev, personality changes, module loading, mounts and keyrings answer EPERM.
// REQUIRES: forbid_new_privileges(). An unknown architecture is an error and nothing is installed.
std::expected<void, std::string> forbid_exec();

}  // namespace ringway::process
