#include "dataplane/observe/nginx_process.h"

#include <algorithm>
#include <charconv>

#include "dataplane/observe/series_text.h"

namespace ringway::observe {
namespace {

// nginx's states of a connection: reading a head, writing (or waiting for what to write), waiting
// for the next request.
void write_connections(SeriesText& text, const std::string& labels, const WorkerStats& stats) {
  const uint64_t active = stats.connections_active;
  const uint64_t waiting = std::min(stats.connections_idle, active);
  const uint64_t writing = std::min(stats.requests_active, active - waiting);
  text.gauge("nginx_ingress_controller_nginx_process_connections",
             "current number of client connections with state {active, reading, writing, waiting}");
  text.add(labels, R"(state="active")", active);
  text.add(labels, R"(state="reading")", active - waiting - writing);
  text.add(labels, R"(state="writing")", writing);
  text.add(labels, R"(state="waiting")", waiting);
  text.counter("nginx_ingress_controller_nginx_process_connections_total",
               "total number of connections with state {accepted, handled}");
  text.add(labels, R"(state="accepted")", stats.connections_accepted);
  text.add(
      labels, R"(state="handled")",
      stats.connections_accepted - std::min(stats.connections_refused, stats.connections_accepted));
  text.counter("nginx_ingress_controller_nginx_process_requests_total",
               "total number of client requests");
  text.add(labels, "", stats.requests);
}

void write_usage(SeriesText& text, const std::string& labels, const ProcessUsage& process) {
  const auto counter = [&](std::string_view name, std::string_view help, auto value) {
    text.counter(name, help);
    text.add(labels, "", value);
  };
  const auto gauge = [&](std::string_view name, std::string_view help, auto value) {
    text.gauge(name, help);
    text.add(labels, "", value);
  };
  counter("nginx_ingress_controller_nginx_process_cpu_seconds_total", "Cpu usage in seconds",
          process.cpu_seconds);
  gauge("nginx_ingress_controller_nginx_process_resident_memory_bytes",
        "number of bytes of memory in use", process.resident_bytes);
  gauge("nginx_ingress_controller_nginx_process_virtual_memory_bytes",
        "number of bytes of memory in use", process.virtual_bytes);
  gauge("nginx_ingress_controller_nginx_process_num_procs", "number of processes", uint64_t{1});
  gauge("nginx_ingress_controller_nginx_process_oldest_start_time_seconds",
        "start time in seconds since 1970/01/01", process.start_time_seconds);
  counter("nginx_ingress_controller_nginx_process_read_bytes_total", "number of bytes read",
          process.storage_read_bytes);
  counter("nginx_ingress_controller_nginx_process_write_bytes_total", "number of bytes written",
          process.storage_written_bytes);
}

// A version of ours is 64 bits in hexadecimal; another controller's counts as 0.
uint64_t hash_of(const std::string& version) {
  uint64_t hash = 0;
  const auto [end, error] =
      std::from_chars(version.data(), version.data() + version.size(), hash, 16);
  return error == std::errc() && end == version.data() + version.size() ? hash : 0;
}

void write_configuration(SeriesText& text, const std::string& labels, const MetricsInput& input) {
  text.gauge("nginx_ingress_controller_config_hash", "Running configuration hash actually running");
  text.add(labels, "", static_cast<double>(hash_of(input.config_version)));
  text.gauge("nginx_ingress_controller_config_last_reload_successful",
             "Whether the last configuration reload attempt was successful");
  text.add(labels, "", uint64_t{input.config_last_accepted ? 1u : 0u});
  if (input.config_age_seconds >= 0) {
    text.gauge("nginx_ingress_controller_config_last_reload_successful_timestamp_seconds",
               "Timestamp of the last successful configuration reload.");
    text.add(labels, "", static_cast<double>(input.now_unix_seconds) - input.config_age_seconds);
  }
  text.counter("nginx_ingress_controller_success",
               "Cumulative number of Ingress controller reload operations");
  text.add(labels, "", input.config_accepted);
  text.counter("nginx_ingress_controller_errors",
               "Cumulative number of Ingress controller errors during reload operations");
  text.add(labels, "", input.config_rejected);
}

}  // namespace

void write_nginx_process(std::string& out, const MetricsInput& input,
                         const NginxIdentity& identity) {
  const std::string labels = label_text({{"controller_class", identity.controller_class},
                                         {"controller_namespace", identity.controller_namespace},
                                         {"controller_pod", identity.controller_pod}});
  SeriesText text(out);
  text.gauge("nginx_ingress_controller_build_info",
             "A metric with a constant '1' labeled with information about the build.");
  text.add(labels, label_text({{"release", RINGWAY_VERSION}, {"repository", "ringway"}}),
           uint64_t{1});
  write_configuration(text, labels, input);
  write_connections(text, labels, *input.stats);
  write_usage(text, labels, input.process);
}

}  // namespace ringway::observe
