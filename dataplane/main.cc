// ringway-proxy: the data plane. Options, then the supervisor (before any thread or library is there), then the data process.
#include <signal.h>

#include <cstdio>

#include "base/check.h"
#include "base/log.h"
#include "dataplane/control/control.h"
#include "dataplane/net/client_source.h"
#include "dataplane/process/crash.h"
#include "dataplane/process/flags.h"
#include "dataplane/process/hardening.h"
#include "dataplane/process/limits.h"
#include "dataplane/process/supervisor.h"
#include "dataplane/process/supervisor_client.h"

namespace {

using namespace ringway;

constexpr int kExitUsage = 2;
constexpr int kExitFailure = 1;

#ifdef __SANITIZE_ADDRESS__
// The leak check at the end attaches to the process, which is what hardening forbids.
constexpr bool kHardened = false;
#else
constexpr bool kHardened = true;
#endif

control::Control* running = nullptr;   // For the signal handlers; set before they are installed.

void on_stop_signal(int) { running->request_stop(); }
void on_reopen_signal(int) { running->request_reopen(); }

void handle(int signal, void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  sigaction(signal, &action, nullptr);
}

void install_signals(control::Control& control) {
  running = &control;
  handle(SIGTERM, on_stop_signal);
  handle(SIGINT, on_stop_signal);
  handle(SIGUSR1, on_reopen_signal);
  handle(SIGHUP, SIG_IGN);    // Configuration is streamed: there is nothing to reload.
  handle(SIGPIPE, SIG_IGN);
}

void report(const std::expected<void, std::string>& hardened) {
  if (!hardened) log_warning("{}", hardened.error());
}

// `keep`: what clients' addresses take, and binding low ports when no supervisor does it.
int run_data_process(process::ProxyOptions options, process::ListenerSockets& sockets, uint32_t restarts,
                     process::KeepCapabilities keep) {
  setup_log({.level = options.log_level, .format = options.log_format, .program = "ringway-proxy"});
  process::install_crash_handlers("ringway-proxy");
  if (kHardened && !options.core_dumps) process::forbid_core_dumps();
  const uint64_t files = process::raise_file_limit();
  options.connections_max = process::connections_for(files, options.connections_max);
  // Before io_uring is probed: with kernel.io_uring_disabled=1 it takes a capability that later threads would not have.
  if (kHardened) report(process::drop_capabilities(keep));
  const auto choice = io::choose_backend(options.io);
  if (!choice) {
    log_error("{}", choice.error());
    return kExitFailure;
  }
  if (kHardened) {
    report(process::forbid_new_privileges());
    report(process::forbid_exec());
  }
  io::RingOptions ring_options;
  ring_options.entries = 256;
  ring_options.sockets_max = 8192;   // The admin endpoint's, health checks' and the controller's.
  ring_options.small = {4096, 256, 256};
  ring_options.bulk = {65536, 4, 4};
  ring_options.output = {4096, 64, 65536};
  const std::unique_ptr<io::Ring> ring = io::make_ring(choice->backend, ring_options);
  control::Control control(options, *choice, *ring, sockets, restarts);
  install_signals(control);
  if (auto started = control.start(); !started) {
    log_error("{}", started.error());
    return kExitFailure;
  }
  control.run();
  // The handlers' control is gone in a moment, and the process soon after: a late signal has nothing left to ask for.
  for (const int signal : {SIGTERM, SIGINT, SIGUSR1}) handle(signal, SIG_IGN);
  return control.exit_code();
}

}  // namespace

int main(int argc, char** argv) {
  const auto options = process::parse_flags(argc, argv);
  if (!options) {
    std::fprintf(stderr, "ringway-proxy: %s\n", options.error().c_str());
    return kExitUsage;
  }
  if (options->help || options->version) {
    std::printf("%s\n", options->help ? process::usage().c_str() : process::version_line().c_str());
    return 0;
  }
  if (options->transparent_source) {
    if (const auto may = net::may_use_client_source(); !may) {
      std::fprintf(stderr, "ringway-proxy: --transparent-source: %s\n", may.error().c_str());
      return kExitUsage;
    }
  }
  process::KeepCapabilities keep{.transparent_source = options->transparent_source};
  if (!options->supervisor) {
    process::OwnListenerSockets sockets;
    keep.net_bind_service = true;
    return run_data_process(*options, sockets, 0, keep);
  }
  process::SupervisorOptions supervisor;
  supervisor.drain_timeout_ms = options->drain_timeout_seconds * 1000;
  return process::run_supervisor(supervisor, [&](process::SupervisorLink link) {
    process::SupervisorClient sockets(link.fd);
    return run_data_process(*options, sockets, link.generation, keep);
  });
}
