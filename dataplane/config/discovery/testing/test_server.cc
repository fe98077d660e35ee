#include "dataplane/config/discovery/testing/test_server.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"

namespace ringway::config::testing {

std::string TestServer::program() { return std::string(BINARY_DIR) + "/bin/discovery_test_server"; }

TestServer::TestServer(const std::vector<std::string>& arguments) {
  int to[2], from[2];
  CHECK(::pipe2(to, O_CLOEXEC) == 0 && ::pipe2(from, O_CLOEXEC) == 0);
  const std::string path = program();
  std::vector<char*> argv{const_cast<char*>(path.c_str())};
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  pid_ = ::fork();
  CHECK(pid_ >= 0);
  if (pid_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::dup2(to[0], 0);
    ::dup2(from[1], 1);
    ::execv(argv[0], argv.data());
    ::_exit(127);
  }
  ::close(to[0]);
  ::close(from[1]);
  in_ = ::fdopen(to[1], "w");
  out_ = ::fdopen(from[0], "r");
  port_ = std::atoi(read_line().c_str());
}

TestServer::~TestServer() {
  kill();
  std::fclose(in_);
  std::fclose(out_);
}

std::string TestServer::read_line() {
  std::string line;
  for (int c = std::fgetc(out_); c != EOF && c != '\n'; c = std::fgetc(out_))
    line.push_back(static_cast<char>(c));
  return line;
}

std::string TestServer::command(const std::string& line) {
  std::fputs((line + "\n").c_str(), in_);
  std::fflush(in_);
  return read_line();
}

void TestServer::kill() {
  if (pid_ < 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

}  // namespace ringway::config::testing
