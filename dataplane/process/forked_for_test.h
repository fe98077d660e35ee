// A piece of code in a process of its own, with its stderr and its end, for tests.
#pragma once

#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <string>

namespace ringway::process {

struct Ended {
  int status = 0;  // waitpid(2)
  std::string error_output;
};

// Runs `body` in a forked process, which exits with its result.
inline Ended run_forked(const std::function<int()>& body) {
  int pipe_fds[2];
  if (pipe(pipe_fds) != 0) return {-1, "pipe"};
  const pid_t child = fork();
  if (child == 0) {
    dup2(pipe_fds[1], STDERR_FILENO);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    _exit(body());
  }
  close(pipe_fds[1]);
  Ended ended;
  char piece[4096];
  for (ssize_t n; (n = read(pipe_fds[0], piece, sizeof piece)) > 0;)
    ended.error_output.append(piece, static_cast<size_t>(n));
  close(pipe_fds[0]);
  waitpid(child, &ended.status, 0);
  return ended;
}

}  // namespace ringway::process
