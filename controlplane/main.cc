// ringway-controller: objects in, configuration of proxies out.
#include <grpc/support/log.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <exception>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "base/clock.h"
#include "base/log.h"
#include "controlplane/admission/metrics.h"
#include "controlplane/admission/webhook.h"
#include "controlplane/cluster.h"
#include "controlplane/controller_flags.h"
#include "controlplane/identity/names.h"
#include "controlplane/kube/api_client.h"
#include "controlplane/kube/kubernetes_source.h"
#include "controlplane/kube/metrics.h"
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

// Where objects come from, and what it needs.
struct Objects {
  std::unique_ptr<kube::ApiClient> client;  // Only of a cluster.
  std::unique_ptr<source::Source> source;
  std::unique_ptr<kube::Metrics> metrics;  // Likewise; of `source`.
  std::string origin;                      // For the log.
};

std::expected<Objects, std::string> open_source(const ControllerOptions& options) {
  Objects objects;
  if (!options.kubernetes) {
    objects.source = std::make_unique<source::DirectorySource>(options.directory);
    objects.origin = options.directory;
    return objects;
  }
  auto config = kube::load_config(options.kube.api);
  if (!config) return std::unexpected(std::move(config).error());
  objects.origin = config->server + " by " + config->origin;
  if (config->insecure) log_warning("{}: its certificate is not checked", config->server);
  objects.client = std::make_unique<kube::ApiClient>(*std::move(config));
  kube::SourceOptions source = options.kube.source;
  // Replicas that start together must not wait in step.
  source.seed = static_cast<uint64_t>(wall_clock_ns()) ^ static_cast<uint64_t>(::getpid());
  auto followed = std::make_unique<kube::KubernetesSource>(*objects.client, std::move(source),
                                                           options.translate);
  objects.metrics = std::make_unique<kube::Metrics>(*followed);
  objects.source = std::move(followed);
  return objects;
}

// Waits until there are certificates for the link to the proxies. false: a signal came first.
bool wait_for_link(Cluster& cluster, ControllerOptions& options, const sigset_t& signals) {
  constexpr timespec kRetry{.tv_sec = 2};
  std::string complaint;
  for (;;) {
    const auto ready = cluster.prepare_link(options.server, options.cluster.webhook);
    if (ready) return true;
    if (ready.error() != complaint)
      log_warning("discovery certificates: {}; trying again until there are some", ready.error());
    complaint = ready.error();
    if (::sigtimedwait(&signals, nullptr, &kRetry) > 0) return false;
  }
}

// Before an uninstallation: what is served is read once, and our addresses are taken out of it.
int take_out_status(const ControllerOptions& options) {
  constexpr uint64_t kReadMaxNs = 60 * kNsPerSecond;
  auto cluster = Cluster::make(options.cluster, false);
  if (!cluster) return fail(cluster.error());
  auto objects = open_source(options);
  if (!objects) return fail(objects.error());
  const uint64_t until_ns = monotonic_ns() + kReadMaxNs;
  std::optional<source::Batch> batch;
  do {  // Before the whole there may be complaints.
    batch = objects->source->next(std::chrono::seconds(1));
  } while ((!batch || !batch->full) && monotonic_ns() < until_ns);
  if (!batch || !batch->full) return fail("the objects could not be read in time");
  translate::Translator translator(options.translate);
  const int64_t now_s = wall_clock_ns() / static_cast<int64_t>(kNsPerSecond);
  (*cluster)->translated(translator.apply(batch->changes, now_s));
  return (*cluster)->take_out_status() ? 0 : fail("addresses are left in the status of Ingresses");
}

void watch_silence(Cluster& cluster, serve::PipelineStats& stats, const std::string& listen,
                   serve::DiscoveryServer& server) {
  cluster.on_silence = [&stats](bool silent) {
    if (stats.api_silent.exchange(silent) == silent) return;
    if (silent) log_warning("the API server does not answer: what is served grows old");
    if (!silent) log_info("the API server answers again");
  };
  if (listen.starts_with("unix:")) return;  // Leads to nobody else.
  cluster.on_send_away = [&server] {
    log_warning("the API server does not answer: proxies are sent to other controllers");
    server.send_away("this controller does not hear the API server");
  };
}

int serve_until_signal(ControllerOptions options) {
  // Blocked before any thread exists, so that only sigwait() below sees them.
  const sigset_t signals = end_signals();
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  ::signal(SIGPIPE, SIG_IGN);

  auto cluster = Cluster::make(options.cluster, !options.server.listen.starts_with("unix:"));
  if (!cluster) return fail(cluster.error());
  options.server.authenticate = identity::authenticate;
  if (!wait_for_link(**cluster, options, signals)) return 0;
  auto objects = open_source(options);
  if (!objects) return fail(objects.error());
  source::Source& source = *objects->source;
  snapshot::Store store;
  serve::PipelineStats stats;
  auto server = serve::DiscoveryServer::start(options.server, store);
  if (!server) return fail(server.error());
  admission::WebhookStats webhook_stats;
  admission::Metrics webhook_metrics(webhook_stats);
  std::unique_ptr<serve::AdminServer> admin;
  if (options.admin != "off") {
    std::vector<const prometheus::Collectable*> more = (*cluster)->metrics();
    if (objects->metrics != nullptr) more.push_back(objects->metrics.get());
    if (!options.cluster.webhook.address.empty()) more.push_back(&webhook_metrics);
    auto started = serve::AdminServer::start(options.admin, **server, store, stats,
                                             options.nginx_metrics, std::move(more));
    if (!started) return fail(started.error());
    admin = std::move(*started);
  }
  log_info("ringway-controller {}: {} for proxies at {}", RINGWAY_VERSION, objects->origin,
           options.server.listen);
  Pipeline pipeline(source, options.translate, options.guard, store, **server, stats);
  pipeline.on_translation = [&](const translate::Translation& translation) {
    (*cluster)->translated(translation);
  };
  std::unique_ptr<admission::Webhook> webhook;
  if (!options.cluster.webhook.address.empty()) {
    auto started = admission::Webhook::start(
        options.cluster.webhook,
        [&pipeline](const model::Object& ingress) { return pipeline.preview(ingress); },
        webhook_stats);
    if (!started) return fail(started.error());
    webhook = std::move(*started);
  }
  watch_silence(**cluster, stats, options.server.listen, **server);
  (*cluster)->start();

  std::atomic<bool> stopping = false;
  std::atomic<bool> failed = false;
  std::thread pipeline_thread([&] {
    try {
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
  webhook.reset();
  source.stop();
  pipeline_thread.join();
  (*server)->stop();
  admin.reset();
  (*cluster)->stop();
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
    return options->cluster.take_out ? ringway::take_out_status(*options)
                                     : ringway::serve_until_signal(*options);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "ringway-controller: %s\n", error.what());
    return 1;
  }
}
