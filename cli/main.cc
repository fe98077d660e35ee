// ringway: what a person types.
#include <cstdio>
#include <string>
#include <vector>

#include "cli/commands.h"

namespace {

constexpr char kHelp[] =
    R"(Usage: ringway COMMAND [flags]

Ringway serves Kubernetes Ingress manifests, in a cluster or from a directory.

Commands:
  run DIR    serve the manifests in DIR; edits are live in milliseconds
  check DIR  print every problem of the manifests in DIR with file and line
  config     print what a running proxy is configured with

For pods, whose image has no shell:
  probe URL  request a page and compare the answer's status
  pause      do nothing until SIGTERM
  install-file FILE --to PATH   copy a file whole or not at all

"ringway COMMAND --help" tells more. Flags of all: --help, --version.

A first try, with Ingress, Service and EndpointSlice objects in ./site:
  ringway check ./site
  ringway run ./site --http 8080
  curl -H 'Host: a.example.com' http://127.0.0.1:8080/
)";

}  // namespace

namespace ringway::cli {

int usage_error(const std::string& name, const std::string& message) {
  std::fprintf(stderr, "ringway %s: %s (see ringway %s --help)\n", name.c_str(), message.c_str(),
               name.c_str());
  return kExitUsage;
}

}  // namespace ringway::cli

int main(int argc, char** argv) {
  using namespace ringway::cli;
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  if (arguments.empty()) {
    std::fputs(kHelp, stderr);
    return kExitUsage;
  }
  const std::string& command = arguments.front();
  const std::vector<std::string> rest(arguments.begin() + 1, arguments.end());
  if (command == "run") return run_command(rest);
  if (command == "check") return check_command(rest);
  if (command == "config") return config_command(rest);
  if (command == "probe") return probe_command(rest);
  if (command == "pause") return pause_command(rest);
  if (command == "install-file") return install_file_command(rest);
  if (command == "--help" || command == "-h" || command == "help") {
    std::fputs(kHelp, stdout);
    return kExitGood;
  }
  if (command == "--version") {
    std::puts("ringway " RINGWAY_VERSION);
    return kExitGood;
  }
  std::fprintf(stderr, "ringway: unknown command \"%s\" (see ringway --help)\n", command.c_str());
  return kExitUsage;
}
