// One child process: started, watched, ended. One thread.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <expected>
#include <string>
#include <vector>

namespace ringway::cli {

class Child {
 public:
  // `arguments[0]` is the path of the program.
  explicit Child(std::vector<std::string> arguments) : arguments_(std::move(arguments)) {}
  ~Child();  // A child that still runs is killed and waited for.
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  // Starts it in a process group of its own (a Ctrl-C in the terminal must reach it through us, in
  // order), with signals unblocked and stdin closed off. It gets SIGTERM when we die.
  // REQUIRES: !running().
  std::expected<void, std::string> start();

  bool running() const { return pid_ > 0; }
  pid_t pid() const { return pid_; }
  void signal(int number);  // Nothing when it does not run.

  // Whether it has ended since; then exit_code() and how_it_ended() tell.
  bool reap();
  int exit_code() const { return exit_code_; }  // -1: by a signal.
  const std::string& how_it_ended() const {
    return how_it_ended_;
  }  // "exit code 1", "signal 9 (Killed)"
  std::string name() const;

 private:
  std::vector<std::string> arguments_;
  pid_t pid_ = 0;
  int exit_code_ = 0;
  std::string how_it_ended_;
};

}  // namespace ringway::cli
