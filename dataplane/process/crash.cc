#include "dataplane/process/crash.h"

#include <execinfo.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>

#include "base/check.h"

namespace ringway::process {
namespace {

constexpr size_t kStackBytes = 64 * 1024;  // backtrace() takes some 10 KiB.
constexpr int kSignals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS};

std::string_view program = "ringway";
std::atomic<bool> telling{false};

// Text without allocation or locks: nothing else is allowed in a signal handler (signal-safety(7)).
class Line {
 public:
  Line& text(std::string_view text) {
    const size_t count = std::min(text.size(), sizeof bytes_ - size_);
    std::memcpy(bytes_ + size_, text.data(), count);
    size_ += count;
    return *this;
  }
  Line& number(uint64_t value, unsigned base = 10) {
    char digits[20];
    size_t at = sizeof digits;
    do {
      digits[--at] = "0123456789abcdef"[value % base];
      value /= base;
    } while (value != 0);
    return text({digits + at, sizeof digits - at});
  }
  void print() {
    const auto ignored = ::write(STDERR_FILENO, bytes_, size_);
    static_cast<void>(ignored);
  }

 private:
  char bytes_[512];
  size_t size_ = 0;
};

std::string_view signal_name(int signal) {
  switch (signal) {
    case SIGSEGV:
      return "SIGSEGV";
    case SIGBUS:
      return "SIGBUS";
    case SIGILL:
      return "SIGILL";
    case SIGFPE:
      return "SIGFPE";
    case SIGABRT:
      return "SIGABRT";
    case SIGSYS:
      return "SIGSYS";
    default:
      return "signal";
  }
}

uint64_t program_counter([[maybe_unused]] const ucontext_t& context) {
#if defined(__x86_64__)
  return static_cast<uint64_t>(context.uc_mcontext.gregs[REG_RIP]);
#elif defined(__aarch64__)
  return context.uc_mcontext.pc;
#else
  return 0;
#endif
}

void on_fatal_signal(int signal, siginfo_t* info, void* context) {
  // SA_RESETHAND has put the default back: a fault in here ends the process. A second thread that
  // crashes waits for the first to end it.
  if (telling.exchange(true)) {
    while (true) pause();
  }
  Line head;
  head.text(program)
      .text(" " RINGWAY_VERSION " (pid ")
      .number(static_cast<uint64_t>(getpid()))
      .text(", thread ");
  head.number(static_cast<uint64_t>(syscall(SYS_gettid))).text("): ").text(signal_name(signal));
  if (info->si_code > 0) {  // By the kernel; otherwise si_addr means nothing.
    head.text(" at address 0x").number(reinterpret_cast<uint64_t>(info->si_addr), 16);
  } else {
    head.text(" sent by pid ").number(static_cast<uint64_t>(info->si_pid));
  }
  const auto at =
      reinterpret_cast<void*>(program_counter(*static_cast<const ucontext_t*>(context)));
  head.text(", program counter 0x").number(reinterpret_cast<uint64_t>(at), 16).text("\nstack:\n");
  head.print();

  std::array<void*, 64> frames;
  void** end = frames.data() + backtrace(frames.data(), static_cast<int>(frames.size()));
  void** first =
      std::find(frames.data(), end, at);  // Before it: this handler and the kernel's trampoline.
  if (first == end) first = frames.data();
  // The others are return addresses: behind a call at the very end of a function they are in the
  // next one, so the call itself is named.
  for (void** frame = first; frame != end; ++frame) {
    if (*frame != at) *frame = static_cast<char*>(*frame) - 1;
  }
  backtrace_symbols_fd(first, static_cast<int>(end - first), STDERR_FILENO);
  Line().text("end of stack\n").print();

  // The default action, with this signal: exit status and core dump are as if nobody had looked. It
  // is blocked until the handler returns.
  ::signal(signal, SIG_DFL);
  raise(signal);
}

// An alternate stack of a thread with a guard page below.
class AlternateStack {
 public:
  AlternateStack() {
    const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    bytes_ = kStackBytes + page;
    memory_ = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK,
                   -1, 0);
    if (memory_ == MAP_FAILED) return;  // A crash then ends without last words.
    mprotect(memory_, page, PROT_NONE);
    const stack_t stack{
        .ss_sp = static_cast<char*>(memory_) + page, .ss_flags = 0, .ss_size = kStackBytes};
    sigaltstack(&stack, nullptr);
  }
  ~AlternateStack() {
    if (memory_ == MAP_FAILED) return;
    const stack_t none{.ss_sp = nullptr, .ss_flags = SS_DISABLE, .ss_size = 0};
    sigaltstack(&none, nullptr);
    munmap(memory_, bytes_);
  }
  AlternateStack(const AlternateStack&) = delete;
  AlternateStack& operator=(const AlternateStack&) = delete;

 private:
  void* memory_;
  size_t bytes_;
};

}  // namespace

void install_crash_stack() { static thread_local AlternateStack stack; }

void install_crash_handlers(std::string_view name) {
  program = name;
  install_crash_stack();
  // The first backtrace() loads libgcc_s, which allocates: not to be done in the handler.
  std::array<void*, 4> frames;
  static_cast<void>(backtrace(frames.data(), static_cast<int>(frames.size())));
  struct sigaction action{};
  action.sa_sigaction = on_fatal_signal;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESETHAND;
  sigfillset(&action.sa_mask);
  for (const int signal : kSignals) CHECK(sigaction(signal, &action, nullptr) == 0);
}

}  // namespace ringway::process
