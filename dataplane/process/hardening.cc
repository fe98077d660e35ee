#include "dataplane/process/hardening.h"

#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace ringway::process {
namespace {

std::unexpected<std::string> failed(const char* what) {
  return std::unexpected(std::string(what) + ": " + std::strerror(errno));
}

#if defined(__x86_64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#else
constexpr uint32_t kArchitecture = 0;
#endif

// What a process that was taken over would want and a proxy never does.
constexpr uint32_t kForbidden[] = {
    SYS_execve,
    SYS_execveat,
    SYS_ptrace,
    SYS_process_vm_readv,
    SYS_process_vm_writev,
    SYS_personality,
    SYS_init_module,
    SYS_finit_module,
    SYS_delete_module,
    SYS_kexec_load,
    SYS_mount,
    SYS_umount2,
    SYS_pivot_root,
    SYS_chroot,
    SYS_setns,
    SYS_unshare,
    SYS_bpf,
    SYS_perf_event_open,
    SYS_userfaultfd,
    SYS_add_key,
    SYS_request_key,
    SYS_keyctl,
    SYS_open_by_handle_at,
    SYS_swapon,
    SYS_swapoff,
    SYS_reboot,
};

}  // namespace

void forbid_core_dumps() {
  const rlimit none{.rlim_cur = 0, .rlim_max = 0};
  setrlimit(RLIMIT_CORE, &none);
  prctl(PR_SET_DUMPABLE, 0);
}

std::expected<void, std::string> forbid_new_privileges() {
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return failed("PR_SET_NO_NEW_PRIVS");
  return {};
}

std::expected<void, std::string> drop_capabilities(KeepCapabilities keep) {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3]{};
  if (syscall(SYS_capget, &header, data) != 0) return failed("capget");
  const auto held = [&data](int capability) {
    return (data[capability / 32].permitted & (1u << (capability % 32))) != 0;
  };
  uint64_t kept = 0;
  if (keep.net_bind_service) kept |= uint64_t{1} << CAP_NET_BIND_SERVICE;
  if (keep.transparent_source)
    kept |= uint64_t{1} << (held(CAP_NET_RAW) ? CAP_NET_RAW : CAP_NET_ADMIN);
  prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  if ((data[CAP_SETPCAP / 32].effective & (1u << (CAP_SETPCAP % 32))) != 0) {
    // The bounding set: what an exec could give back. The kernel answers EINVAL beyond its last
    // capability.
    for (int capability = 0; capability < 64; ++capability) {
      if ((kept >> capability & 1) == 0 && prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0 &&
          errno == EINVAL)
        break;
    }
  }
  for (int word = 0; word < _LINUX_CAPABILITY_U32S_3; ++word) {
    const auto mask = static_cast<uint32_t>(kept >> (32 * word));
    data[word].permitted &= mask;
    data[word].effective &= mask;
    data[word].inheritable = 0;
  }
  if (syscall(SYS_capset, &header, data) != 0) return failed("capset");
  return {};
}

std::expected<void, std::string> forbid_exec() {
  if (kArchitecture == 0) return std::unexpected("no seccomp filter for this architecture");
  std::vector<sock_filter> filter;
  const auto add = [&filter](uint16_t code, uint32_t value, uint8_t if_true = 0,
                             uint8_t if_false = 0) {
    filter.push_back({code, if_true, if_false, value});
  };
  constexpr uint16_t kLoad = BPF_LD | BPF_W | BPF_ABS, kEqual = BPF_JMP | BPF_JEQ | BPF_K,
                     kAtLeast = BPF_JMP | BPF_JGE | BPF_K, kReturn = BPF_RET | BPF_K;
  constexpr uint32_t kRefuse = SECCOMP_RET_ERRNO | (EPERM & SECCOMP_RET_DATA);
  // A system call by another convention (32-bit, x32) would have other numbers: refused.
  add(kLoad, offsetof(seccomp_data, arch));
  add(kEqual, kArchitecture, 1, 0);
  add(kReturn, kRefuse);
  add(kLoad, offsetof(seccomp_data, nr));
#if defined(__x86_64__)
  add(kAtLeast, 0x40000000, 0, 1);  // __X32_SYSCALL_BIT
  add(kReturn, kRefuse);
#else
  static_cast<void>(kAtLeast);
#endif
  for (const uint32_t call : kForbidden) {
    add(kEqual, call, 0, 1);
    add(kReturn, kRefuse);
  }
  add(kReturn, SECCOMP_RET_ALLOW);
  const sock_fprog program{static_cast<unsigned short>(filter.size()), filter.data()};
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) != 0)
    return failed("seccomp filter");
  return {};
}

}  // namespace ringway::process
