#include "dataplane/process/supervisor.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "base/clock.h"
#include "dataplane/process/limits.h"
#include "dataplane/process/restart_policy.h"
#include "dataplane/process/supervisor_protocol.h"

namespace ringway::process {
namespace {

constexpr int kSignals[] = {SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGCHLD};

uint64_t now_ms() { return monotonic_ns() / kNsPerMs; }

[[gnu::format(printf, 1, 2)]] void say(const char* format, ...) {
  char line[512];
  constexpr char kPrefix[] = "ringway-proxy supervisor: ";
  std::memcpy(line, kPrefix, sizeof kPrefix - 1);
  va_list arguments;
  va_start(arguments, format);
  const int size =
      std::vsnprintf(line + sizeof kPrefix - 1, sizeof line - sizeof kPrefix, format, arguments);
  va_end(arguments);
  const size_t used =
      std::min(sizeof kPrefix - 1 + static_cast<size_t>(std::max(size, 0)), sizeof line - 2);
  line[used] = '\n';
  const auto ignored = ::write(STDERR_FILENO, line, used + 1);
  static_cast<void>(ignored);
}

class Supervisor {
 public:
  Supervisor(const SupervisorOptions& options, const std::function<int(SupervisorLink)>& data_main)
      : options_(options),
        data_main_(data_main),
        policy_(options_),
        listeners_(options_.make_listeners) {}
  ~Supervisor() {
    close_if(control_);
    close_if(signals_);
    close_if(state_);
  }

  int run() {
    raise_file_limit();  // Sockets of every address and worker are held here, and the data process
                         // inherits the limit.
    sigset_t wanted;
    sigemptyset(&wanted);
    for (const int signal : kSignals) sigaddset(&wanted, signal);
    sigprocmask(SIG_BLOCK, &wanted, &old_mask_);
    signals_ = signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals_ < 0) {
      say("signalfd: %s", std::strerror(errno));
      return kExitEnvironment;
    }
    start_ms_ = now_ms();
    while (exit_code_ < 0) {
      if (child_ < 0 && now_ms() >= start_ms_) start();
      wait_and_handle();
    }
    sigprocmask(SIG_SETMASK, &old_mask_, nullptr);
    return exit_code_;
  }

 private:
  static void close_if(int& fd) {
    if (fd >= 0) ::close(fd);
    fd = -1;
  }

  void start() {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
      return start_failed("socketpair");
    std::fflush(nullptr);  // Else both processes would write what is buffered.
    const pid_t supervisor = getpid();
    const pid_t child = fork();
    if (child == 0) run_child(pair, supervisor);  // Does not return.
    ::close(pair[1]);
    if (child < 0) {
      ::close(pair[0]);
      return start_failed("fork");
    }
    child_ = child;
    control_ = pair[0];
    listeners_.forget_claims();
    policy_.on_start(now_ms());
    ++generation_;
  }

  void start_failed(const char* what) {
    say("%s: %s", what, std::strerror(errno));
    if (generation_ == 0) exit_code_ = kExitEnvironment;
    start_ms_ =
        now_ms() + 1000;  // Processes or descriptors are short: a moment later there may be some.
  }

  [[noreturn]] void run_child(const int (&pair)[2], pid_t supervisor) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != supervisor) _exit(kExitKilled);  // It died before the line above.
    setpgid(0, 0);
    // Copies of the sockets would keep an address open after unbind().
    listeners_.close_all();
    close_if(state_);
    close_if(signals_);
    ::close(pair[0]);
    sigprocmask(SIG_SETMASK, &old_mask_, nullptr);
    std::exit(data_main_(SupervisorLink{pair[1], generation_}));
  }

  int poll_timeout_ms() const {
    uint64_t deadline = UINT64_MAX;
    if (child_ < 0) deadline = start_ms_;
    if (kill_ms_ != 0) deadline = std::min(deadline, kill_ms_);
    if (deadline == UINT64_MAX) return -1;
    const uint64_t now = now_ms();
    return deadline <= now ? 0 : static_cast<int>(std::min<uint64_t>(deadline - now, 60'000));
  }

  void wait_and_handle() {
    if (exit_code_ >= 0) return;
    pollfd ready[2]{{.fd = signals_, .events = POLLIN}, {.fd = control_, .events = POLLIN}};
    if (poll(ready, 2, poll_timeout_ms()) < 0 && errno != EINTR)
      say("poll: %s", std::strerror(errno));
    // Requests before deaths: what a process handed over just before it died counts.
    if (control_ >= 0 && (ready[1].revents & (POLLIN | POLLHUP)) != 0) handle_request();
    if ((ready[0].revents & POLLIN) != 0) handle_signals();
    if (kill_ms_ != 0 && now_ms() >= kill_ms_ && child_ > 0) {
      say("process %d did not end in time: killed", child_);
      killed_ = true;
      kill_ms_ = 0;
      kill(child_, SIGKILL);
    }
  }

  void handle_request() {
    Message request;
    if (!receive_message(control_, request)) {
      if (errno != EMSGSIZE)
        return close_if(control_);  // The end of the process is told by SIGCHLD.
      send_message(control_, "error message too long");
      return;
    }
    answer(request);
    for (const int fd : request.fds) ::close(fd);
  }

  void answer(Message& request) {
    const std::string_view text = request.text;
    if (text.starts_with("bind ")) return answer_bind(text.substr(5));
    if (text.starts_with("unbind ")) {
      listeners_.unbind(text.substr(7));
    } else if (text == "keep" && request.fds.size() == 1) {
      close_if(state_);
      state_ = request.fds.front();
      request.fds.clear();
    } else if (text == "take") {
      if (state_ >= 0) {
        send_message(control_, "ok 1", {&state_, 1});
        return;
      }
    } else if (text == "ready") {
      listeners_.close_unclaimed();
      policy_.on_ready();
    } else {
      send_message(control_, "error unknown request");
      return;
    }
    send_message(control_, "ok 0");
  }

  void answer_bind(std::string_view arguments) {
    uint32_t count = 0;
    const auto [end, error] =
        std::from_chars(arguments.data(), arguments.data() + arguments.size(), count);
    if (error != std::errc() || count < 1 || count > kSocketsPerAddressMax ||
        end == arguments.data() + arguments.size() || *end != ' ') {
      send_message(control_, "error bad bind request");
      return;
    }
    const std::string_view address =
        arguments.substr(static_cast<size_t>(end - arguments.data()) + 1);
    const auto sockets = listeners_.bind(address, count);
    if (!sockets) {
      send_message(control_, "error " + sockets.error());
      return;
    }
    send_message(control_, "ok " + std::to_string(count), *sockets);
  }

  void handle_signals() {
    signalfd_siginfo info;
    while (read(signals_, &info, sizeof info) == sizeof info) {
      switch (info.ssi_signo) {
        case SIGCHLD:
          reap();
          break;
        case SIGHUP:
        case SIGUSR1:
          if (child_ > 0) kill(child_, static_cast<int>(info.ssi_signo));
          break;
        default:
          stop();
          break;
      }
    }
  }

  void stop() {
    if (child_ < 0) {
      exit_code_ = 0;
      return;
    }
    if (!stopping_) kill_ms_ = now_ms() + options_.drain_timeout_ms + options_.kill_grace_ms;
    stopping_ = true;
    kill(child_, SIGTERM);
  }

  void reap() {
    int status = 0;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
      if (pid != child_) continue;  // An orphan that PID 1 inherited.
      // Requests that were sent before the end.
      pollfd ready{.fd = control_, .events = POLLIN};
      while (control_ >= 0 && poll(&ready, 1, 0) == 1 && (ready.revents & POLLIN) != 0) {
        handle_request();
        ready.fd = control_;
      }
      child_ = -1;
      close_if(control_);
      on_end(pid, status);
    }
  }

  void on_end(pid_t pid, int status) {
    const bool exited = WIFEXITED(status);
    const int code = exited ? WEXITSTATUS(status) : 0;
    const int signal = exited ? 0 : WTERMSIG(status);
    if (stopping_) {
      // SIGTERM before the process could catch it: it had nothing to drain.
      exit_code_ = exited ? code : signal == SIGTERM ? 0 : killed_ ? kExitKilled : 128 + signal;
      if (!exited && signal != SIGTERM && !killed_)
        say("process %d died of signal %d (%s) while it ended", pid, signal, strsignal(signal));
      return;
    }
    if (exited && (code == 0 || !policy_.ever_ready())) {
      exit_code_ = code;
      return;
    }
    const std::optional<uint32_t> delay = policy_.on_death(now_ms());
    char how[96];
    if (exited) {
      std::snprintf(how, sizeof how, "ended with code %d", code);
    } else {
      std::snprintf(how, sizeof how, "died of signal %d (%s)", signal, strsignal(signal));
    }
    if (!delay) {
      say("process %d %s; %u processes died without ever becoming ready: giving up", pid, how,
          options_.deaths_max);
      exit_code_ = kExitCrashLoop;
      return;
    }
    say("process %d %s; the next one starts in %u ms; %zu listening addresses are kept", pid, how,
        *delay, listeners_.addresses());
    start_ms_ = now_ms() + *delay;
  }

  const SupervisorOptions options_;
  const std::function<int(SupervisorLink)>& data_main_;
  RestartPolicy policy_;
  ListenerTable listeners_;
  sigset_t old_mask_{};
  int signals_ = -1;
  int control_ = -1;  // Of the process that runs.
  int state_ = -1;    // Sealed memory file with the last configuration.
  pid_t child_ = -1;
  uint32_t generation_ = 0;
  uint64_t start_ms_ = 0;  // When the next process starts, while none runs.
  uint64_t kill_ms_ = 0;   // 0: no deadline.
  bool stopping_ = false;
  bool killed_ = false;
  int exit_code_ = -1;
};

}  // namespace

int run_supervisor(const SupervisorOptions& options,
                   const std::function<int(SupervisorLink)>& data_main) {
  return Supervisor(options, data_main).run();
}

}  // namespace ringway::process
