// ringway run: a controller and a proxy as children, over a Unix socket in a private directory.
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "base/clock.h"
#include "cli/child.h"
#include "cli/commands.h"
#include "cli/flags.h"

namespace ringway::cli {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kBackoffFirst = 100 * kNsPerMs;
constexpr uint64_t kBackoffMax = 5 * kNsPerSecond;
constexpr uint64_t kStable = 10 * kNsPerSecond;        // Running so long starts the back-off anew.
constexpr uint64_t kControllerEnd = 5 * kNsPerSecond;  // Then SIGKILL: it holds nothing to lose.

struct RunOptions {
  std::string directory;
  std::string http = "8080";
  std::string https = "8443";
  std::string admin = "127.0.0.1:10254";
  std::vector<std::string> controller_flags;
  std::vector<std::string> proxy_flags;
};

// "8080", "127.0.0.1:8080", "[::1]:8080" or "off".
std::optional<std::string> take_listen(std::string_view value, std::string& to) {
  const size_t colon = value.rfind(':');
  std::string port;
  const bool good = value == "off" ||
                    (colon != 0 && !take_number(value.substr(colon == value.npos ? 0 : colon + 1),
                                                port, 1, 65535));
  if (!good) return "must be PORT, ADDRESS:PORT or off";
  to = value;
  return std::nullopt;
}

std::optional<std::string> take_admin(std::string_view value, std::string& to) {
  const bool port_only = value.find(':') == value.npos && value != "off";
  if (port_only || take_listen(value, to)) return "must be ADDRESS:PORT or off";
  return std::nullopt;
}

// A flag that is handed to a child as it is.
Flag passed(std::string name, std::string value, std::string help, std::vector<std::string>& to,
            std::function<std::optional<std::string>(std::string_view, std::string&)> check) {
  return {name, std::move(value), std::move(help),
          [name, check = std::move(check), &to](std::string_view text) {
            std::string checked;
            auto wrong = check(text, checked);
            if (!wrong) to.insert(to.end(), {name, checked});
            return wrong;
          }};
}

Command command_of(RunOptions& options) {
  const auto number = [](uint32_t min, uint32_t max) {
    return [=](std::string_view text, std::string& to) { return take_number(text, to, min, max); };
  };
  const auto word = [](std::vector<std::string_view> words) {
    return [=](std::string_view text, std::string& to) { return take_word(text, to, words); };
  };
  return {
      .synopsis = "ringway run DIR [flags]",
      .description =
          "Serves the Ingress, Service, EndpointSlice and Secret manifests in DIR (*.yaml, *.yml,\n"
          "*.json, subdirectories too) and follows edits. Ctrl-C or SIGTERM drains and ends; a "
          "second\n"
          "one ends at once. Loopback addresses are allowed in EndpointSlices, and an Ingress "
          "without\n"
          "a class is served as long as DIR has no IngressClass.\n",
      .argument = "DIR",
      .flags = {{"--http", "PORT", "where to accept HTTP: PORT, ADDRESS:PORT or off; default 8080",
                 [&](auto value) { return take_listen(value, options.http); }},
                {"--https", "PORT",
                 "where to accept HTTPS: PORT, ADDRESS:PORT or off; default 8443",
                 [&](auto value) { return take_listen(value, options.https); }},
                {"--admin", "ADDRESS:PORT",
                 "metrics, health and configuration of the proxy, or off;\ndefault 127.0.0.1:10254",
                 [&](auto value) { return take_admin(value, options.admin); }},
                passed("--workers", "N", "threads that serve; default: the CPUs that may be used",
                       options.proxy_flags, number(1, 1024)),
                passed("--io", "auto|uring|epoll",
                       "how sockets are driven; default auto: io_uring if allowed",
                       options.proxy_flags, word({"auto", "uring", "epoll"})),
                passed("--access-log", "off|stdout|FILE", "one line for each request; default off",
                       options.proxy_flags, take_text),
                passed("--access-log-format", "json|combined", "default json", options.proxy_flags,
                       word({"json", "combined"})),
                passed("--drain-timeout", "SECONDS",
                       "how long requests may take to end; default 30", options.proxy_flags,
                       number(0, 86400)),
                passed("--state-dir", "DIR",
                       "where the proxy keeps its last configuration (no keys);\ndefault: nowhere",
                       options.proxy_flags, take_text),
                passed("--default-backend", "NAMESPACE/SERVICE:PORT",
                       "Service for requests that match no route; default: 404",
                       options.controller_flags, take_text),
                passed("--default-certificate", "NAMESPACE/SECRET",
                       "certificate for hosts without one; default: self-signed",
                       options.controller_flags, take_text),
                passed("--configmap", "NAMESPACE/NAME",
                       "ConfigMap with settings for everything: docs/configmap.md",
                       options.controller_flags, take_text),
                passed("--tcp-services-configmap", "NAMESPACE/NAME",
                       "ConfigMap of TCP ports: \"9000\": \"namespace/service:port\"",
                       options.controller_flags, take_text),
                passed("--udp-services-configmap", "NAMESPACE/NAME", "the same for UDP",
                       options.controller_flags, take_text),
                passed("--stream-address", "HOST",
                       "where those ports are bound; default 0.0.0.0", options.controller_flags,
                       take_text),
                {"--log-level", "LEVEL", "debug, info, warn, error or off; default info",
                 [&](auto value) {
                   std::string level;
                   auto wrong = take_word(value, level, {"debug", "info", "warn", "error", "off"});
                   if (!wrong) {
                     for (auto* flags : {&options.controller_flags, &options.proxy_flags}) {
                       flags->insert(flags->end(), {"--log-level", level});
                     }
                   }
                   return wrong;
                 }}},
      .epilogue = "Exit code: 0 ended by a signal, 1 the proxy failed, 2 wrong usage.\n"};
}

// A directory only we can enter, gone with us.
class PrivateDirectory {
 public:
  PrivateDirectory() {
    std::string pattern = (fs::temp_directory_path() / "ringway-XXXXXX").string();
    if (::mkdtemp(pattern.data()) != nullptr) path_ = pattern;
  }
  ~PrivateDirectory() {
    std::error_code ignored;
    if (!path_.empty()) fs::remove_all(path_, ignored);
  }
  PrivateDirectory(const PrivateDirectory&) = delete;
  PrivateDirectory& operator=(const PrivateDirectory&) = delete;
  const std::string& path() const { return path_; }  // "": it could not be made.

 private:
  std::string path_;
};

void add_listener(std::vector<std::string>& to, const std::string& scheme,
                  const std::string& value) {
  if (value == "off") {
    to.insert(to.end(), {"--" + scheme + "-port", "0"});
  } else if (const size_t colon = value.rfind(':'); colon == std::string::npos) {
    to.insert(to.end(), {"--" + scheme + "-port", value});
  } else {
    // The port as well: redirects and forwarded headers name it.
    to.insert(to.end(), {"--" + scheme + "-port", value.substr(colon + 1)});
    to.insert(to.end(), {"--" + scheme + "-address", value});
  }
}

void say(const std::string& text) { std::fprintf(stderr, "ringway: %s\n", text.c_str()); }

class Runner {
 public:
  Runner(std::vector<std::string> controller, std::vector<std::string> proxy, std::string socket)
      : controller_(std::move(controller)), proxy_(std::move(proxy)), socket_(std::move(socket)) {}

  // Returns the exit code. REQUIRES: the signals of wait_set() are blocked.
  int run() {
    if (const auto started = controller_.start(); !started) return fail(started.error());
    await_socket();
    if (const auto started = proxy_.start(); !started) return fail(started.error());
    started_ns_ = monotonic_ns();
    while (!done_) {
      on_signal(wait());
      if (controller_.reap()) on_controller_ended();
      if (proxy_.reap()) on_proxy_ended();
      on_time(monotonic_ns());
    }
    return exit_code_;
  }

  static sigset_t wait_set() {
    sigset_t set;
    ::sigemptyset(&set);
    for (const int number : {SIGTERM, SIGINT, SIGHUP, SIGCHLD}) ::sigaddset(&set, number);
    return set;
  }

 private:
  int fail(const std::string& why) {
    say(why);
    return kExitFailed;
  }

  // Spares the proxy a first connect that fails and its back-off. It would do without.
  void await_socket() const {
    constexpr int kSteps = 100;
    constexpr int kStepMs = 5;
    for (int i = 0; i < kSteps && ::access(socket_.c_str(), F_OK) != 0; ++i) {
      ::poll(nullptr, 0, kStepMs);
    }
  }

  // 0: the next deadline came.
  int wait() const {
    const uint64_t now = monotonic_ns();
    const uint64_t deadline = std::min(restart_at_ns_, kill_at_ns_);
    const uint64_t left = deadline > now ? deadline - now : 0;
    const sigset_t set = wait_set();
    if (deadline == kNever) return ::sigwaitinfo(&set, nullptr);
    const timespec timeout = {static_cast<time_t>(left / kNsPerSecond),
                              static_cast<long>(left % kNsPerSecond)};
    const int number = ::sigtimedwait(&set, nullptr, &timeout);
    return std::max(number, 0);
  }

  // The proxy drains while the controller is still there; the controller ends after it.
  void on_signal(int number) {
    if (number != SIGTERM && number != SIGINT && number != SIGHUP) return;
    if (ending_) {
      say("second signal: ending at once");
      proxy_.signal(SIGKILL);
      controller_.signal(SIGKILL);
      return;
    }
    say(std::string(::strsignal(number)) + ": draining (again to end at once)");
    ending_ = true;
    restart_at_ns_ = kNever;
    proxy_.signal(SIGTERM);
  }

  void on_controller_ended() {
    if (proxy_ended_) {
      done_ = true;
      return;
    }
    if (ending_) return;
    if (controller_.exit_code() == kExitUsage) {
      // Its flags are refused, and will be every time.
      say("ringway-controller refused its flags; ending");
      exit_code_ = kExitUsage;
      ending_ = true;
      proxy_.signal(SIGTERM);
      return;
    }
    const uint64_t now = monotonic_ns();
    if (now - started_ns_ >= kStable) backoff_ns_ = kBackoffFirst;
    say("ringway-controller ended: " + controller_.how_it_ended() +
        "; the proxy goes on, restart in " + std::to_string(backoff_ns_ / kNsPerMs) + " ms");
    restart_at_ns_ = now + backoff_ns_;
    backoff_ns_ = std::min(2 * backoff_ns_, kBackoffMax);
  }

  void on_proxy_ended() {
    proxy_ended_ = true;
    const bool good = ending_ && proxy_.exit_code() == 0;
    say("ringway-proxy ended: " + proxy_.how_it_ended());
    if (!good && exit_code_ == kExitGood) exit_code_ = kExitFailed;
    ending_ = true;
    restart_at_ns_ = kNever;
    if (!controller_.running()) {
      done_ = true;
      return;
    }
    controller_.signal(SIGTERM);
    kill_at_ns_ = monotonic_ns() + kControllerEnd;
  }

  void on_time(uint64_t now) {
    if (now >= kill_at_ns_) {
      kill_at_ns_ = kNever;
      controller_.signal(SIGKILL);
    }
    if (now < restart_at_ns_) return;
    restart_at_ns_ = kNever;
    started_ns_ = now;
    if (const auto started = controller_.start(); !started) {
      say(started.error());
      restart_at_ns_ = now + backoff_ns_;
      backoff_ns_ = std::min(2 * backoff_ns_, kBackoffMax);
    }
  }

  Child controller_;
  Child proxy_;
  const std::string socket_;  // Path of the controller's.
  bool ending_ = false;
  bool proxy_ended_ = false;
  bool done_ = false;
  int exit_code_ = kExitGood;
  uint64_t started_ns_ = 0;  // Of the controller.
  uint64_t backoff_ns_ = kBackoffFirst;
  uint64_t restart_at_ns_ = kNever;
  uint64_t kill_at_ns_ = kNever;
};

std::string describe(const RunOptions& options) {
  std::string text = "serving " + options.directory;
  const auto add = [&](const std::string& scheme, const std::string& value) {
    if (value == "off") return;
    const bool port = value.find(':') == std::string::npos;
    text += ", " + scheme + "://" + (port ? "0.0.0.0:" : "") + value;
  };
  add("http", options.http);
  add("https", options.https);
  if (options.admin != "off") text += ", admin http://" + options.admin;
  return text;
}

}  // namespace

int run_command(const std::vector<std::string>& arguments) {
  RunOptions options;
  const Command command = command_of(options);
  const auto parsed = parse(command, arguments);
  if (!parsed) return usage_error("run", parsed.error());
  if (parsed->help) {
    std::fputs(help_text(command).c_str(), stdout);
    return kExitGood;
  }
  options.directory = parsed->argument;
  struct stat info{};
  if (::stat(options.directory.c_str(), &info) != 0) {
    return usage_error("run", options.directory + ": " + std::strerror(errno));
  }
  if (!S_ISDIR(info.st_mode)) return usage_error("run", options.directory + ": not a directory");
  if (options.http == "off" && options.https == "off") {
    return usage_error("run", "--http and --https are both off: there is nothing to serve");
  }
  const sigset_t signals = Runner::wait_set();
  ::sigprocmask(SIG_BLOCK, &signals, nullptr);
  std::error_code error;
  const std::string beside = fs::read_symlink("/proc/self/exe", error).parent_path().string();
  const PrivateDirectory socket_directory;
  if (socket_directory.path().empty()) {
    say(std::string("no private directory for the socket: ") + std::strerror(errno));
    return kExitFailed;
  }
  const std::string socket = socket_directory.path() + "/controller.sock";
  const std::string address = "unix:" + socket;
  std::vector<std::string> controller = {beside + "/ringway-controller", "--source",
                                         "dir:" + options.directory, "--listen", address};
  add_listener(controller, "http", options.http);
  add_listener(controller, "https", options.https);
  controller.insert(controller.end(), options.controller_flags.begin(),
                    options.controller_flags.end());
  std::vector<std::string> proxy = {beside + "/ringway-proxy", "--controller", address, "--admin",
                                    options.admin};
  proxy.insert(proxy.end(), options.proxy_flags.begin(), options.proxy_flags.end());
  say(describe(options));
  return Runner(std::move(controller), std::move(proxy), socket).run();
}

}  // namespace ringway::cli
