// ringway-controller: objects in, configuration of proxies out.
#include <grpc/support/log.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <exception>
#include <memory>
#include <thread>

#include "base/clock.h"
#include "base/log.h"
#include "controlplane/controller_flags.h"
#include "controlplane/pipeline.h"
#include "controlplane/serve/admin.h"
#include "controlplane/source/directory_source.h"

namespace ringway {
namespace {

// gRPC's own lines (TLS handshakes of strangers, mostly) in the form of ours, and not for every
// port scan.
void log_grpc(gpr_log_func_args* line) {
  static LogLimiter limiter;
  log_limited(limiter, monotonic_ns(),
              line->severity == GPR_LOG_SEVERITY_ERROR ? LogLevel::kWarning : LogLevel::kDebug,
              "grpc: {}", line->message);
}

sigset_t end_signals() {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGTERM);
  ::sigaddset(&set, SIGINT);
  return set;
}

int fail(const std::string& text) {
  std::fprintf(stderr, "ringway-controller: %s\n", text.c_str());
  return 1;
}

int serve_until_signal(const ControllerOptions& options) {
  // Blocked before any thread exists, so that only sigwait() below sees them.
  const sigset_t signals = end_signals();
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  ::signal(SIGPIPE, SIG_IGN);

  source::DirectorySource source(options.directory);
  snapshot::Store store;
  serve::PipelineStats stats;
  auto server = serve::DiscoveryServer::start(options.server, store);
  if (!server) return fail(server.error());
  std::unique_ptr<serve::AdminServer> admin;
  if (options.admin != "off") {
    auto started = serve::AdminServer::start(options.admin, **server, store, stats);
    if (!started) return fail(started.error());
    admin = std::move(*started);
  }
  log_info("ringway-controller {}: {} for proxies at {}", RINGWAY_VERSION, options.directory,
           options.server.listen);

  std::atomic<bool> stopping = false;
  std::atomic<bool> failed = false;
  std::thread pipeline_thread([&] {
    try {
      Pipeline pipeline(source, options.translate, options.guard, store, **server, stats);
      pipeline.run(stopping);
    } catch (const std::exception& error) {
      log_error("the pipeline ended: {}", error.what());
      failed = true;
      ::kill(::getpid(), SIGTERM);
    }
  });
  int signal_number = 0;
  ::sigwait(&signals, &signal_number);
  log_info("signal {}: ending", signal_number);
  stopping = true;
  source.stop();
  pipeline_thread.join();
  (*server)->stop();
  admin.reset();
  return failed ? 1 : 0;
}

}  // namespace
}  // namespace ringway

int main(int argc, char** argv) {
  const auto options = ringway::parse_controller_flags(argc, argv);
  if (!options) {
    std::fprintf(stderr, "ringway-controller: %s\n", options.error().c_str());
    return 2;
  }
  if (options->help) return std::fputs(ringway::controller_usage().c_str(), stdout) < 0 ? 1 : 0;
  if (options->version) return std::puts("ringway-controller " RINGWAY_VERSION) < 0 ? 1 : 0;
  ringway::setup_log({.level = options->log_level,
                      .format = options->log_format,
                      .program = "ringway-controller"});
  gpr_set_log_function(ringway::log_grpc);
  try {
    return ringway::serve_until_signal(*options);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "ringway-controller: %s\n", error.what());
    return 1;
  }
}
