#include "dataplane/process/flags.h"

#include <getopt.h>
#include <unistd.h>

#include <charconv>
#include <cstring>
#include <optional>

#include "dataplane/net/address.h"
#include "dataplane/observe/grpc_method_stats.h"

namespace ringway::process {
namespace {

enum Option : int {
  kController = 1,
  kControllerCa,
  kControllerCertificate,
  kControllerKey,
  kControllerName,
  kAdmin,
  kWorkers,
  kPinWorkers,
  kIo,
  kStateDir,
  kNodeId,
  kClass,
  kAccessLog,
  kNginxMetrics,
  kMetricsPerHost,
  kMetricsNamespace,
  kMetricsClass,
  kMetricsPod,
  kGrpcMethodMetrics,
  kAccessLogFormat,
  kTransparentSource,
  kDrainTimeout,
  kLogLevel,
  kLogFormat,
  kNoSupervisor,
  kCoreDumps,
  kBuffersSmall,
  kBuffersBulk,
  kConnectionsMax,
  kHelp,
  kVersion,
};

const option kOptions[] = {
    {"controller", required_argument, nullptr, kController},
    {"controller-ca", required_argument, nullptr, kControllerCa},
    {"controller-cert", required_argument, nullptr, kControllerCertificate},
    {"controller-key", required_argument, nullptr, kControllerKey},
    {"controller-name", required_argument, nullptr, kControllerName},
    {"admin", required_argument, nullptr, kAdmin},
    {"workers", required_argument, nullptr, kWorkers},
    {"pin-workers", no_argument, nullptr, kPinWorkers},
    {"io", required_argument, nullptr, kIo},
    {"state-dir", required_argument, nullptr, kStateDir},
    {"node-id", required_argument, nullptr, kNodeId},
    {"class", required_argument, nullptr, kClass},
    {"access-log", required_argument, nullptr, kAccessLog},
    {"nginx-metrics", required_argument, nullptr, kNginxMetrics},
    {"metrics-per-host", required_argument, nullptr, kMetricsPerHost},
    {"metrics-namespace", required_argument, nullptr, kMetricsNamespace},
    {"metrics-class", required_argument, nullptr, kMetricsClass},
    {"metrics-pod", required_argument, nullptr, kMetricsPod},
    {"grpc-method-metrics", required_argument, nullptr, kGrpcMethodMetrics},
    {"access-log-format", required_argument, nullptr, kAccessLogFormat},
    {"transparent-source", no_argument, nullptr, kTransparentSource},
    {"drain-timeout", required_argument, nullptr, kDrainTimeout},
    {"log-level", required_argument, nullptr, kLogLevel},
    {"log-format", required_argument, nullptr, kLogFormat},
    {"no-supervisor", no_argument, nullptr, kNoSupervisor},
    {"core-dumps", no_argument, nullptr, kCoreDumps},
    {"buffers-small", required_argument, nullptr, kBuffersSmall},
    {"buffers-bulk", required_argument, nullptr, kBuffersBulk},
    {"connections-max", required_argument, nullptr, kConnectionsMax},
    {"help", no_argument, nullptr, kHelp},
    {"version", no_argument, nullptr, kVersion},
    {nullptr, 0, nullptr, 0},
};

using Refusal = std::optional<std::string>;  // What is wrong with the value.

Refusal number(std::string_view text, uint32_t min, uint32_t max, uint32_t& out) {
  uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < min || value > max) {
    return "a number from " + std::to_string(min) + " to " + std::to_string(max) + " is wanted";
  }
  out = value;
  return std::nullopt;
}

// io_uring_register_buf_ring(3): the entries of a provided-buffer ring are a power of two, at most
// 32768.
Refusal power_of_two(std::string_view text, uint32_t min, uint32_t& out) {
  uint32_t value = 0;
  if (number(text, min, 32768, value) || (value & (value - 1)) != 0)
    return "a power of two from " + std::to_string(min) + " to 32768 is wanted";
  out = value;
  return std::nullopt;
}

Refusal not_empty(std::string_view text, std::string& out) {
  if (text.empty()) return "must not be empty";
  out = text;
  return std::nullopt;
}

Refusal admin_address(std::string_view text, std::string& out) {
  if (text != "off") {
    const auto address = net::parse_address(text);
    if (!address) return "HOST:PORT or off is wanted; the host is an IP address";
  }
  out = text;
  return std::nullopt;
}

Refusal controller_address(std::string_view text, std::string& out) {
  const bool unix_path = text.starts_with("unix:") && text.size() > 5;
  const size_t colon = text.rfind(':');
  uint32_t port = 0;
  const bool host_port = !text.starts_with("unix:") && colon != std::string_view::npos &&
                         colon > 0 && !number(text.substr(colon + 1), 1, 65535, port);
  if (!unix_path && !host_port) return "unix:/PATH or HOST:PORT is wanted";
  out = text;
  return std::nullopt;
}

template <typename T>
Refusal word(std::string_view text, std::initializer_list<std::pair<std::string_view, T>> words,
             T& out) {
  std::string wanted;
  for (const auto& [name, value] : words) {
    if (text == name) {
      out = value;
      return std::nullopt;
    }
    wanted += (wanted.empty() ? "" : ", ") + std::string(name);
  }
  return "one of " + wanted + " is wanted";
}

Refusal level(std::string_view text, LogLevel& out) {
  const auto parsed = parse_log_level(text);
  if (!parsed) return "one of debug, info, warn, error, off is wanted";
  out = *parsed;
  return std::nullopt;
}

// What concerns the metrics page.
Refusal apply_metrics(int option, std::string_view text, ProxyOptions& options) {
  switch (option) {
    case kNginxMetrics:
      return word<bool>(text, {{"on", true}, {"off", false}}, options.nginx_metrics);
    case kMetricsPerHost:
      return word<bool>(text, {{"on", true}, {"off", false}}, options.metrics_per_host);
    case kMetricsNamespace:
      return options.metrics_namespace = text, std::nullopt;
    case kMetricsClass:
      return not_empty(text, options.metrics_class);
    case kMetricsPod:
      return not_empty(text, options.metrics_pod);
    case kGrpcMethodMetrics:
      return number(text, 0, observe::kGrpcMethodsMax, options.grpc_method_metrics);
    default:
      return "unknown";
  }
}

Refusal apply(int option, std::string_view text, ProxyOptions& options) {
  switch (option) {
    case kController:
      return controller_address(text, options.controller);
    case kControllerCa:
      return not_empty(text, options.controller_ca);
    case kControllerCertificate:
      return not_empty(text, options.controller_certificate);
    case kControllerKey:
      return not_empty(text, options.controller_key);
    case kControllerName:
      return not_empty(text, options.controller_name);
    case kAdmin:
      return admin_address(text, options.admin);
    case kWorkers:
      if (text == "auto") return options.workers = 0, std::nullopt;
      return number(text, 1, 253, options.workers)
                 ? Refusal("auto or a number from 1 to 253 is wanted")
                 : std::nullopt;
    case kPinWorkers:
      return options.pin_workers = true, std::nullopt;
    case kIo:
      return word<io::BackendChoice>(text,
                                     {{"auto", io::BackendChoice::kAuto},
                                      {"uring", io::BackendChoice::kUring},
                                      {"epoll", io::BackendChoice::kEpoll}},
                                     options.io);
    case kStateDir:
      return not_empty(text, options.state_dir);
    case kNodeId:
      return not_empty(text, options.node_id);
    case kClass:
      options.config_class = text;
      return std::nullopt;
    case kAccessLog:
      return not_empty(text, options.access_log);
    case kAccessLogFormat:
      return word<observe::AccessLogFormat>(text,
                                            {{"json", observe::AccessLogFormat::kJson},
                                             {"combined", observe::AccessLogFormat::kCombined}},
                                            options.access_log_format);
    case kTransparentSource:
      return options.transparent_source = true, std::nullopt;
    case kDrainTimeout:
      return number(text, 0, 86400, options.drain_timeout_seconds);
    case kLogLevel:
      return level(text, options.log_level);
    case kLogFormat:
      return word<LogFormat>(text, {{"text", LogFormat::kText}, {"json", LogFormat::kJson}},
                             options.log_format);
    case kNoSupervisor:
      return options.supervisor = false, std::nullopt;
    case kCoreDumps:
      return options.core_dumps = true, std::nullopt;
    case kBuffersSmall:
      return power_of_two(text, 16, options.buffers_small);
    case kBuffersBulk:
      return power_of_two(text, 2, options.buffers_bulk);
    case kConnectionsMax:
      return number(text, 16, 1'000'000, options.connections_max);
    case kHelp:
      return options.help = true, std::nullopt;
    case kVersion:
      return options.version = true, std::nullopt;
    default:
      return apply_metrics(option, text, options);
  }
}

std::string fits_together(const ProxyOptions& options) {
  const bool tls = !options.controller_ca.empty();
  if (options.controller_certificate.empty() != options.controller_key.empty())
    return "--controller-cert and --controller-key go together";
  if (!options.controller_certificate.empty() && !tls)
    return "--controller-cert needs --controller-ca";
  if (tls && options.controller.starts_with("unix:"))
    return "--controller-ca is for HOST:PORT, not for a Unix socket";
  if (tls && options.controller.empty()) return "--controller-ca needs --controller";
  if (!options.controller_name.empty() && !tls) return "--controller-name needs --controller-ca";
  if (options.controller.empty() && options.state_dir.empty())
    return "--controller or --state-dir is needed: there is nothing to serve";
  return {};
}

std::string host_name() {
  char name[256] = "";
  if (gethostname(name, sizeof name - 1) != 0 || name[0] == '\0') return "ringway";
  return name;
}

}  // namespace

std::expected<ProxyOptions, std::string> parse_flags(int argc, char** argv) {
  ProxyOptions options;
  optind = 0;  // glibc: begin anew, whatever was parsed before (getopt(3)).
  opterr = 0;
  while (true) {
    const int at = std::max(optind, 1);
    int index = -1;
    const int option = getopt_long(argc, argv, "+:", kOptions, &index);
    if (option == -1) break;
    if (option == '?') {
      const std::string_view text = at < argc ? argv[at] : "";
      // A known flag that takes no value was given one.
      if (optopt != 0)
        return std::unexpected("option " + std::string(text.substr(0, text.find('='))) +
                               " is unknown or takes no value; --help lists them");
      return std::unexpected("unknown option " + std::string(text) + "; --help lists them");
    }
    if (option == ':')
      return std::unexpected("option " + std::string(at < argc ? argv[at] : "") + " needs a value");
    const std::string_view value = optarg == nullptr ? "" : optarg;
    const std::string name = index >= 0 ? kOptions[index].name : "";
    if (const Refusal refusal = apply(option, value, options)) {
      return std::unexpected("--" + name + ": \"" + std::string(value) + "\": " + *refusal);
    }
    if (options.help || options.version) return options;
  }
  if (optind < argc)
    return std::unexpected("unexpected argument " + std::string(argv[optind]) +
                           "; --help lists the options");
  if (std::string refusal = fits_together(options); !refusal.empty())
    return std::unexpected(std::move(refusal));
  if (options.node_id.empty()) options.node_id = host_name();
  if (options.metrics_pod.empty()) options.metrics_pod = options.node_id;
  return options;
}

std::string version_line() { return "ringway-proxy " RINGWAY_VERSION; }

std::string usage() {
  return
      R"(Usage: ringway-proxy --controller ADDRESS [OPTION]...

The data plane of Ringway: takes its configuration from a controller and serves it. A change is applied
without a reload; without the controller the last configuration goes on.

Configuration
  --controller ADDRESS     unix:/PATH or HOST:PORT of the controller
  --controller-ca FILE     PEM: speak TLS and believe certificates of this authority
  --controller-cert FILE   PEM: our certificate, for mutual TLS; with --controller-key FILE
  --controller-name NAME   name in the controller's certificate, default: the host of ADDRESS
  --node-id ID             unique name of this proxy, default: the host name
  --class CLASS            which configuration to ask for, default: the controller's
  --state-dir DIR          keep the last configuration here (without private keys) for the next start

Serving
  --workers N|auto         threads; auto: one per CPU, as many as the cgroup's quota pays for (auto)
  --pin-workers            one CPU for each worker
  --io auto|uring|epoll    auto takes io_uring where it is allowed, else epoll (auto)
  --connections-max N      client connections of the process; RLIMIT_NOFILE may lower it (50000)
  --buffers-small N        most 4 KiB receive buffers of each worker, a power of two (16384)
  --buffers-bulk N         most 64 KiB receive buffers of each worker, a power of two (1024)
  --transparent-source     TCP and UDP services and TLS passthrough: endpoints see the client's address
                           (IP_TRANSPARENT). HTTP is not affected: clients share its connections. Needs
                           the capability NET_RAW or NET_ADMIN and endpoints that answer through this
                           proxy: docs/operations.md
  --drain-timeout SECONDS  after SIGTERM: how long requests may take to end (30)

Watching
  --admin HOST:PORT|off    /healthz /readyz /metrics /config /endpoints (127.0.0.1:10254)
  --nginx-metrics on|off   ingress-nginx's metrics beside ours, for its dashboards and alerts (on)
  --metrics-per-host on|off
                           their label host; off: fewer series where a path is served for many hosts (on)
  --metrics-namespace NS, --metrics-class CLASS, --metrics-pod NAME
                           their labels controller_namespace, controller_class, controller_pod
                           (none, ringway.dev/ingress, the node id)
  --grpc-method-metrics N  gRPC calls by service and method too, of N methods at most, up to 10000;
                           the others count as other (0: off)
  --access-log WHERE       off, stdout or a file, opened again on SIGUSR1 (off)
  --access-log-format F    json, or combined: the default lines of ingress-nginx (json)
  --log-level LEVEL        debug, info, warn, error, off; to stderr (info)
  --log-format text|json   (text)

Process
  --no-supervisor          one process: a crash ends it and closes the listening sockets
  --core-dumps             allow core dumps; they hold private keys
  --help, --version

Signals: TERM, INT and QUIT drain and end, a second one ends at once; USR1 opens the access log again.
Exit codes: 0 ended as asked, 1 could not start, 2 wrong options, 70 crashed again and again before
it was ready, 71 the system refused a process, 137 killed after the drain deadline.
)";
}

}  // namespace ringway::process
