// discovery_test_server as a child process, driven by lines on its standard input.
#pragma once

#include <sys/types.h>

#include <cstdio>
#include <string>
#include <vector>

namespace ringway::config::testing {

class TestServer {
 public:
  static std::string program();  // Path; tests skip themselves when it is not built.

  // Starts and waits until it listens.
  explicit TestServer(const std::vector<std::string>& arguments);
  ~TestServer();  // kill().
  TestServer(const TestServer&) = delete;
  TestServer& operator=(const TestServer&) = delete;

  std::string command(const std::string& line);  // Its answer, without the newline.
  void kill();                                   // SIGKILL; idempotent.
  int port() const { return port_; }

 private:
  std::string read_line();
  pid_t pid_ = -1;
  FILE* in_ = nullptr;
  FILE* out_ = nullptr;
  int port_ = 0;
};

}  // namespace ringway::config::testing
