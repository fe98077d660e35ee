#include "cli/child.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/check.h"

namespace ringway::cli {
namespace {

// Runs in the child between fork and exec. Returns only when exec failed.
void become(const std::vector<char*>& arguments, pid_t parent) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (::getppid() != parent) ::_exit(1);  // It died before the line above.
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  const int null = ::open("/dev/null", O_RDONLY);
  if (null >= 0) ::dup2(null, STDIN_FILENO);
  ::execv(arguments[0], arguments.data());
}

}  // namespace

std::expected<void, std::string> Child::start() {
  CHECK(!running());
  std::vector<char*> arguments;
  for (std::string& argument : arguments_) arguments.push_back(argument.data());
  arguments.push_back(nullptr);
  // exec's error comes back over a pipe that a good exec closes.
  int pipe_fds[2];
  if (::pipe2(pipe_fds, O_CLOEXEC) != 0) return std::unexpected(std::strerror(errno));
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid == 0) {
    become(arguments, parent);
    const int error = errno;
    [[maybe_unused]] const ssize_t written = ::write(pipe_fds[1], &error, sizeof error);
    ::_exit(127);
  }
  ::close(pipe_fds[1]);
  int error = pid < 0 ? errno : 0;
  if (pid > 0 && ::read(pipe_fds[0], &error, sizeof error) > 0) ::waitpid(pid, nullptr, 0);
  ::close(pipe_fds[0]);
  if (error != 0) return std::unexpected(arguments_[0] + ": " + std::strerror(error));
  pid_ = pid;
  return {};
}

Child::~Child() {
  if (!running()) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

void Child::signal(int number) {
  if (running()) ::kill(pid_, number);
}

bool Child::reap() {
  if (!running()) return false;
  int status = 0;
  if (::waitpid(pid_, &status, WNOHANG) != pid_) return false;
  pid_ = 0;
  if (WIFEXITED(status)) {
    exit_code_ = WEXITSTATUS(status);
    how_it_ended_ = "exit code " + std::to_string(exit_code_);
  } else {
    exit_code_ = -1;
    const int number = WTERMSIG(status);
    how_it_ended_ = "signal " + std::to_string(number) + " (" + ::strsignal(number) + ")";
  }
  return true;
}

std::string Child::name() const { return arguments_[0].substr(arguments_[0].rfind('/') + 1); }

}  // namespace ringway::cli
