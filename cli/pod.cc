// ringway pause, ringway install-file: what pods of the chart do in an image without a shell.
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>

#include "cli/commands.h"
#include "cli/flags.h"

namespace ringway::cli {
namespace {

namespace fs = std::filesystem;

// Before the first wait: PID 1 has no default action for signals, so they are waited for instead.
sigset_t block_end_signals() {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGTERM);
  ::sigaddset(&set, SIGINT);
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  return set;
}

// Until SIGTERM or SIGINT, or for `seconds`.
void wait(const sigset_t& set, std::optional<long> seconds) {
  if (!seconds) {
    int signal = 0;
    ::sigwait(&set, &signal);
    return;
  }
  const timespec time = {*seconds, 0};
  while (::sigtimedwait(&set, nullptr, &time) < 0 && errno == EINTR) {
  }
}

std::optional<std::string> read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return std::nullopt;
  return std::string(std::istreambuf_iterator<char>(file), {});
}

// Whole or not at all: a reader sees the old file or the new one. Returns what went wrong.
std::optional<std::string> place(const std::string& content, const std::string& path) {
  std::error_code error;
  if (const fs::path folder = fs::path(path).parent_path(); !folder.empty()) {
    fs::create_directories(folder, error);
    if (error) return folder.string() + ": " + error.message();
  }
  const std::string fresh = path + ".new";
  const int fd = ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
  if (fd < 0) return fresh + ": " + std::strerror(errno);
  size_t written = 0;
  while (written < content.size()) {
    const ssize_t got = ::write(fd, content.data() + written, content.size() - written);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    written += static_cast<size_t>(got);
  }
  const bool good = written == content.size() && ::fchmod(fd, 0644) == 0 && ::fsync(fd) == 0;
  const int cause = errno;
  ::close(fd);
  if (!good) return fresh + ": " + std::strerror(cause);
  if (::rename(fresh.c_str(), path.c_str()) != 0) return path + ": " + std::strerror(errno);
  return std::nullopt;
}

}  // namespace

int pause_command(const std::vector<std::string>& arguments) {
  std::string seconds;
  const Command command = {
      .synopsis = "ringway pause [--seconds N]",
      .description = "Does nothing until SIGTERM or SIGINT, or for N seconds.\n",
      .flags = {{"--seconds", "N", "at most so long; default without end",
                 [&](auto value) { return take_number(value, seconds, 0, 86400); }}},
      .epilogue = ""};
  const auto parsed = parse(command, arguments);
  if (!parsed) return usage_error("pause", parsed.error());
  if (parsed->help) {
    std::fputs(help_text(command).c_str(), stdout);
    return kExitGood;
  }
  const sigset_t set = block_end_signals();
  wait(set, seconds.empty() ? std::nullopt : std::optional<long>(std::stol(seconds)));
  return kExitGood;
}

int install_file_command(const std::vector<std::string>& arguments) {
  std::string to;
  bool stay = false;
  const Command command = {
      .synopsis = "ringway install-file FILE --to PATH [--stay]",
      .description =
          "Copies FILE to PATH whole or not at all, and makes the folders on the way.\n"
          "A PATH that has the content already is left alone.\n",
      .argument = "FILE",
      .flags = {{"--to", "PATH", "where it goes", [&](auto value) { return take_text(value, to); }},
                {"--stay", "", "then do nothing until SIGTERM or SIGINT, as a pod must",
                 [&](auto) -> std::optional<std::string> {
                   stay = true;
                   return std::nullopt;
                 }}},
      .epilogue = "Exit code: 0 PATH has the content, 1 not, 2 wrong usage.\n"};
  const auto parsed = parse(command, arguments);
  if (!parsed) return usage_error("install-file", parsed.error());
  if (parsed->help) {
    std::fputs(help_text(command).c_str(), stdout);
    return kExitGood;
  }
  if (to.empty()) return usage_error("install-file", "--to is missing");
  const sigset_t set = block_end_signals();
  const auto content = read_file(parsed->argument);
  if (!content) {
    std::fprintf(stderr, "ringway install-file: %s: cannot be read\n", parsed->argument.c_str());
    return kExitFailed;
  }
  const bool same = read_file(to) == content;
  if (!same) {
    if (const auto problem = place(*content, to)) {
      std::fprintf(stderr, "ringway install-file: %s\n", problem->c_str());
      return kExitFailed;
    }
  }
  std::printf("%s: %s, %zu bytes\n", to.c_str(), same ? "is there already" : "installed",
              content->size());
  std::fflush(stdout);
  if (stay) wait(set, std::nullopt);
  return kExitGood;
}

}  // namespace ringway::cli
