#include "dataplane/observe/metrics.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "dataplane/http/h2_glitch.h"
#include "dataplane/http/status.h"
#include "dataplane/observe/nginx_process.h"
#include "dataplane/observe/series_text.h"

namespace ringway::observe {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using Labels = std::vector<ClientMetric::Label>;

// Families in the order of their first mention; one without a series is left out.
class Families {
 public:
  class Family {
   public:
    explicit Family(MetricFamily& family) : family_(family) {}
    void add(double value, Labels labels = {}) {
      ClientMetric& metric = family_.metric.emplace_back();
      metric.label = std::move(labels);
      (family_.type == MetricType::Counter ? metric.counter.value : metric.gauge.value) = value;
    }
    void add(uint64_t value, Labels labels = {}) {
      add(static_cast<double>(value), std::move(labels));
    }
    void add(uint32_t value, Labels labels = {}) {
      add(static_cast<double>(value), std::move(labels));
    }

   private:
    MetricFamily& family_;
  };

  Family counter(const char* name, const char* help) {
    return make(name, help, MetricType::Counter);
  }
  Family gauge(const char* name, const char* help) { return make(name, help, MetricType::Gauge); }

  std::string text() {
    std::erase_if(families_, [](const MetricFamily& family) { return family.metric.empty(); });
    return prometheus::TextSerializer().Serialize(families_);
  }

 private:
  Family make(const char* name, const char* help, MetricType type) {
    families_.reserve(128);
    CHECK(families_.size() < 128);  // A Family refers into the vector.
    MetricFamily& family = families_.emplace_back();
    family.name = name;
    family.help = help;
    family.type = type;
    return Family(family);
  }
  std::vector<MetricFamily> families_;
};

// Series by service and condition: many, so written without prometheus-cpp.
void write_endpoints(std::string& out, const std::vector<ClusterEndpoints>& clusters) {
  if (clusters.empty()) return;
  SeriesText text(out);
  text.gauge("ringway_endpoints",
             "Endpoints by service and condition: healthy, unhealthy (active checks), ejected "
             "(errors in a row), draining (terminating).");
  for (const ClusterEndpoints& cluster : clusters) {
    const std::string labels = label_text({{"namespace", cluster.namespace_name},
                                           {"service", cluster.service},
                                           {"port", cluster.port}});
    for (size_t i = 0; i < cluster.by_condition.size(); ++i) {
      text.add(labels, label_text({{"condition", kEndpointConditions[i]}}),
               uint64_t{cluster.by_condition[i]});
    }
  }
}

void add_downstream(Families& out, const WorkerStats& stats) {
  out.counter("ringway_connections_accepted_total", "Client connections accepted.")
      .add(stats.connections_accepted);
  out.counter("ringway_connections_refused_total",
              "Client connections closed at once because a limit was reached.")
      .add(stats.connections_refused);
  out.gauge("ringway_connections_active", "Client connections open.").add(stats.connections_active);
  out.gauge("ringway_connections_idle", "Client connections that wait for their next request.")
      .add(stats.connections_idle);
  out.counter("ringway_accept_pauses_total",
              "Times accepting paused because descriptors or memory ran out.")
      .add(stats.accept_paused);
  out.counter("ringway_requests_received_total", "Requests whose head was accepted.")
      .add(stats.requests);
  out.gauge("ringway_requests_active", "Requests being served.").add(stats.requests_active);
  out.gauge("ringway_tunnels_active", "Upgraded connections (WebSocket) open.")
      .add(stats.tunnels_active);
  out.counter("ringway_tls_handshakes_total",
              "TLS handshakes completed with clients, resumed ones included.")
      .add(stats.tls_handshakes);
  out.counter("ringway_tls_resumptions_total", "TLS handshakes that resumed a session.")
      .add(stats.tls_resumptions);
  out.counter("ringway_tls_failures_total", "TLS handshakes that failed.").add(stats.tls_failures);
}

void add_upstream(Families& out, const WorkerStats& stats) {
  out.counter("ringway_upstream_connects_total", "Connections opened to endpoints.")
      .add(stats.upstream_connects);
  out.counter("ringway_upstream_connect_failures_total",
              "Connections to endpoints that were refused or timed out.")
      .add(stats.upstream_connect_failures);
  out.counter("ringway_upstream_connection_reuses_total",
              "Requests sent on a connection that had served one before.")
      .add(stats.upstream_reuses);
  // Read while the worker changes them: the idle ones may be ahead for a moment.
  out.gauge("ringway_upstream_connections_active", "Connections to endpoints that serve a request.")
      .add(stats.upstream_connections_active -
           std::min(stats.upstream_connections_idle, stats.upstream_connections_active));
  out.gauge("ringway_upstream_connections_idle",
            "Connections to endpoints kept for the next request.")
      .add(stats.upstream_connections_idle);
  out.counter("ringway_upstream_ejections_total",
              "Endpoints taken out for a time because of errors in a row.")
      .add(stats.ejections);
  out.counter("ringway_upstream_retry_budget_exhausted_total",
              "Retries not made because the retry budget was spent.")
      .add(stats.retry_budget_exhausted);
  out.counter("ringway_upstream_pending_overflows_total",
              "Requests refused because too many waited for a connection.")
      .add(stats.pending_overflow);
}

void add_errors(Families& out, const WorkerStats& stats) {
  auto requests = out.counter("ringway_request_errors_total",
                              "Requests refused as malformed, too large or too slow, by reason.");
  auto responses =
      out.counter("ringway_response_errors_total", "Responses of endpoints refused, by reason.");
  constexpr auto kLast = static_cast<size_t>(http::Error::kStreamReset);
  static_assert(kLast < std::tuple_size_v<decltype(stats.request_errors)>);
  for (size_t i = 1; i <= kLast; ++i) {
    const std::string reason(http::error_name(static_cast<http::Error>(i)));
    requests.add(stats.request_errors[i], {{"reason", reason}});
    responses.add(stats.response_errors[i], {{"reason", reason}});
  }
  auto timeouts =
      out.counter("ringway_timeouts_total", "Deadlines passed, by what was waited for.");
  const std::array<std::pair<const char*, uint64_t>, 8> kinds{
      {{"request_header", stats.timeouts_header},
       {"request_body", stats.timeouts_body},
       {"idle", stats.timeouts_idle},
       {"client_write", stats.timeouts_write},
       {"upstream_connect", stats.timeouts_connect},
       {"upstream_response", stats.timeouts_response},
       {"request_total", stats.timeouts_total},
       {"tls_handshake", stats.timeouts_handshake}}};
  for (const auto& [kind, count] : kinds) timeouts.add(count, {{"kind", kind}});
}

void add_http2(Families& out, const WorkerStats& stats) {
  out.counter("ringway_http2_connections_total", "Client connections that spoke HTTP/2.")
      .add(stats.http2_connections);
  auto glitches = out.counter("ringway_http2_glitches_total",
                              "Frames of clients that cost more than they say, by kind. Ordinary "
                              "clients send some.");
  auto calmed = out.counter("ringway_http2_calmed_connections_total",
                            "HTTP/2 connections ended (ENHANCE_YOUR_CALM), by the kind of frame "
                            "there was too much of.");
  static_assert(http::kH2Glitches <= std::tuple_size_v<decltype(stats.http2_glitches)>);
  for (size_t i = 0; i < http::kH2Glitches; ++i) {
    const std::string kind(http::h2_glitch_name(static_cast<http::H2Glitch>(i)));
    glitches.add(stats.http2_glitches[i], {{"kind", kind}});
    calmed.add(stats.http2_calmed[i], {{"kind", kind}});
  }
}

void add_streams(Families& out, const StreamStats& stats) {
  out.counter("ringway_stream_connections_total",
              "Connections relayed without being HTTP, ended or not.")
      .add(stats.relays);
  out.gauge("ringway_stream_connections_active", "Relayed connections open.")
      .add(stats.relays_active);
  out.counter("ringway_stream_received_bytes_total",
              "Bytes from clients of relayed connections that have ended.")
      .add(stats.bytes_received);
  out.counter("ringway_stream_sent_bytes_total",
              "Bytes to clients of relayed connections that have ended.")
      .add(stats.bytes_sent);
  out.counter("ringway_stream_retries_total",
              "Endpoints tried for relayed connections beyond the first.")
      .add(stats.retries);
  out.counter("ringway_stream_own_sources_total",
              "Connections and UDP sessions opened from the proxy's own address although the "
              "client's was wanted.")
      .add(stats.own_sources);
  out.counter("ringway_proxy_protocol_headers_total", "PROXY protocol headers accepted.")
      .add(stats.proxy_headers);
  out.counter("ringway_proxy_protocol_headers_untrusted_total",
              "PROXY protocol headers read but not believed, because the peer is not trusted.")
      .add(stats.proxy_headers_untrusted);
  auto failures = out.counter("ringway_stream_failures_total",
                              "Connections that failed before or while being relayed, by reason.");
  for (size_t i = 1; i < kStreamFailures; ++i) {
    failures.add(stats.failures[i],
                 {{"reason", std::string(stream_failure_name(static_cast<StreamFailure>(i)))}});
  }
}

void add_datagrams(Families& out, const StreamStats& stats) {
  out.counter("ringway_udp_sessions_total", "UDP sessions begun.").add(stats.sessions);
  out.gauge("ringway_udp_sessions_active", "UDP sessions open.").add(stats.sessions_active);
  out.counter("ringway_udp_datagrams_received_total", "Datagrams from clients.")
      .add(stats.datagrams_received);
  out.counter("ringway_udp_datagrams_sent_total", "Datagrams to clients.")
      .add(stats.datagrams_sent);
  static constexpr std::array<const char*, kDatagramDrops> kReasons{
      "too_large", "table_full",  "no_endpoint", "no_socket",
      "send_full", "send_failed", "refused",     "stopping"};
  auto drops = out.counter("ringway_udp_drops_total", "Datagrams not passed on, by reason.");
  for (size_t i = 0; i < kDatagramDrops; ++i)
    drops.add(stats.datagram_drops[i], {{"reason", kReasons[i]}});
}

void add_rings(Families& out, const MetricsInput& input) {
  const WorkerStats& stats = *input.stats;
  out.gauge("ringway_workers", "Worker threads.").add(input.workers);
  out.gauge("ringway_io_backend", "1 for the I/O backend in use: io_uring or epoll.")
      .add(1.0, {{"backend", input.io_backend}});
  out.counter("ringway_ring_turns_total", "Loop turns of all workers.").add(stats.ring_turns);
  out.counter("ringway_ring_submissions_total", "Operations submitted by all workers.")
      .add(stats.ring_submissions);
  out.counter("ringway_ring_completions_total", "Completions handled by all workers.")
      .add(stats.ring_completions);
  out.counter("ringway_buffers_exhausted_total",
              "Times a receive had to wait because its buffer pool was empty.")
      .add(stats.buffers_exhausted);
  auto buffers = out.gauge("ringway_buffers", "Receive buffers of all workers, by pool.");
  buffers.add(stats.small_buffers, {{"pool", "small"}});
  buffers.add(stats.bulk_buffers, {{"pool", "bulk"}});
  auto in_use = out.gauge("ringway_buffers_in_use", "Buffers in use, by pool.");
  in_use.add(stats.small_buffers_in_use, {{"pool", "small"}});
  in_use.add(stats.bulk_buffers_in_use, {{"pool", "bulk"}});
  in_use.add(stats.output_buffers_in_use, {{"pool", "output"}});
}

void add_configuration(Families& out, const MetricsInput& input) {
  out.gauge("ringway_ready",
            "1 when a configuration is applied and every listener is bound, and the proxy does not "
            "drain.")
      .add(input.ready ? 1.0 : 0.0);
  out.gauge("ringway_draining", "1 while the proxy ends.").add(input.draining ? 1.0 : 0.0);
  if (!input.config_version.empty())
    out.gauge("ringway_config_info", "1; the version in use as a label.")
        .add(1.0, {{"version", input.config_version}});
  out.gauge("ringway_config_generation", "Configurations applied by this process.")
      .add(input.config_generation);
  if (input.config_age_seconds >= 0)
    out.gauge("ringway_config_age_seconds", "Time since the last configuration was applied.")
        .add(input.config_age_seconds);
  auto transactions =
      out.counter("ringway_config_transactions_total",
                  "Transactions of the controller, by answer: accepted (ACK) or rejected (NACK).");
  transactions.add(input.config_accepted, {{"result", "accepted"}});
  transactions.add(input.config_rejected, {{"result", "rejected"}});
  out.gauge("ringway_controller_connected", "1 while the stream to the controller is open.")
      .add(input.controller_connected ? 1.0 : 0.0);
  out.counter("ringway_controller_connects_total", "Streams opened to the controller.")
      .add(input.controller_connects);
  out.counter("ringway_controller_failures_total",
              "Connections to the controller that failed or ended in an error.")
      .add(input.controller_failures);
  auto certificates = out.gauge("ringway_certificate_expiry_timestamp_seconds",
                                "When a certificate ends, in seconds since the epoch.");
  for (const CertificateExpiry& one : input.certificates) {
    certificates.add(static_cast<double>(one.not_after_unix_seconds), {{"certificate", one.name}});
  }
}

void add_logs(Families& out, const MetricsInput& input) {
  out.counter("ringway_access_log_written_bytes_total", "Bytes of access log written.")
      .add(input.access_log_bytes);
  out.counter("ringway_access_log_dropped_lines_total",
              "Access log lines dropped because the sink did not keep up or failed.")
      .add(input.stats->access_log_dropped + input.access_log_lines_dropped);
  out.counter("ringway_access_log_errors_total",
              "Writes to the access log and openings of it that failed.")
      .add(input.access_log_errors);
  out.counter("ringway_log_dropped_lines_total", "Log lines dropped because nobody read stderr.")
      .add(input.log_lines_dropped);
  out.counter("ringway_admin_connections_refused_total",
              "Connections to the admin endpoint closed at once because too many were open.")
      .add(input.admin_connections_refused);
}

void add_process(Families& out, const MetricsInput& input) {
  const ProcessUsage& process = input.process;
  out.gauge("ringway_build_info", "1; version of the program as a label.")
      .add(1.0, {{"version", RINGWAY_VERSION}});
  out.counter("ringway_restarts_total",
              "Data processes before this one that the supervisor had to replace.")
      .add(input.restarts);
  out.counter("process_cpu_seconds_total", "User and system CPU time of the data process.")
      .add(process.cpu_seconds);
  out.gauge("process_resident_memory_bytes", "Resident memory of the data process.")
      .add(process.resident_bytes);
  out.gauge("process_virtual_memory_bytes", "Virtual memory of the data process.")
      .add(process.virtual_bytes);
  out.gauge("process_open_fds",
            "Open file descriptors. Sockets registered with io_uring are not among them.")
      .add(process.open_fds);
  if (process.max_fds > 0)
    out.gauge("process_max_fds", "Limit of open file descriptors.").add(process.max_fds);
  out.gauge("process_threads", "Threads of the data process.").add(process.threads);
  out.gauge("process_start_time_seconds",
            "When the data process started, in seconds since the epoch.")
      .add(process.start_time_seconds);
}

}  // namespace

void add_stats(StreamStats& into, const StreamStats& from) {
  using S = StreamStats;
  static constexpr uint64_t S::* kCounters[] = {
      &S::relays,          &S::relays_active,      &S::bytes_received,          &S::bytes_sent,
      &S::retries,         &S::proxy_headers,      &S::proxy_headers_untrusted, &S::sessions,
      &S::sessions_active, &S::datagrams_received, &S::datagrams_sent,          &S::own_sources};
  for (const auto counter : kCounters) into.*counter += from.*counter;
  for (size_t i = 0; i < kDatagramDrops; ++i) into.datagram_drops[i] += from.datagram_drops[i];
  for (size_t i = 0; i < kStreamFailures; ++i) into.failures[i] += from.failures[i];
}

std::string_view stream_failure_name(StreamFailure failure) {
  switch (failure) {
    case StreamFailure::kNone:
    case StreamFailure::kCount:
      return "";
    case StreamFailure::kNoEndpoint:
      return "no_endpoint";
    case StreamFailure::kConnect:
      return "connect";
    case StreamFailure::kConnectTimeout:
      return "connect_timeout";
    case StreamFailure::kNoSocket:
      return "no_socket";
    case StreamFailure::kTls:
      return "tls";
    case StreamFailure::kProxyHeader:
      return "proxy_header";
    case StreamFailure::kHello:
      return "client_hello";
    case StreamFailure::kNoHost:
      return "no_host";
    case StreamFailure::kClientReset:
      return "client_reset";
    case StreamFailure::kServerReset:
      return "server_reset";
    case StreamFailure::kIdle:
      return "idle";
  }
  return "";
}

void add_stats(WorkerStats& into, const WorkerStats& from) {
  into.routes.add(from.routes);
  into.grpc_methods.add(from.grpc_methods);
  for (size_t i = 0; i < from.request_errors.size(); ++i)
    into.request_errors[i] += from.request_errors[i];
  for (size_t i = 0; i < from.response_errors.size(); ++i)
    into.response_errors[i] += from.response_errors[i];
  for (size_t i = 0; i < from.http2_glitches.size(); ++i) {
    into.http2_glitches[i] += from.http2_glitches[i];
    into.http2_calmed[i] += from.http2_calmed[i];
  }
  using S = WorkerStats;
  // Every plain counter; metrics_test.cc checks that none is forgotten.
  static constexpr uint64_t S::* kCounters[] = {&S::connections_accepted,
                                                &S::connections_active,
                                                &S::connections_idle,
                                                &S::connections_refused,
                                                &S::accept_paused,
                                                &S::requests,
                                                &S::requests_active,
                                                &S::upstream_connects,
                                                &S::upstream_connect_failures,
                                                &S::upstream_connections_active,
                                                &S::upstream_connections_idle,
                                                &S::upstream_reuses,
                                                &S::ejections,
                                                &S::retry_budget_exhausted,
                                                &S::pending_overflow,
                                                &S::tls_handshakes,
                                                &S::tls_resumptions,
                                                &S::tls_failures,
                                                &S::tunnels_active,
                                                &S::timeouts_header,
                                                &S::timeouts_body,
                                                &S::timeouts_idle,
                                                &S::timeouts_write,
                                                &S::timeouts_connect,
                                                &S::timeouts_response,
                                                &S::timeouts_total,
                                                &S::timeouts_handshake,
                                                &S::access_log_dropped,
                                                &S::http2_connections,
                                                &S::ring_turns,
                                                &S::ring_completions,
                                                &S::ring_submissions,
                                                &S::buffers_exhausted,
                                                &S::small_buffers_in_use,
                                                &S::small_buffers,
                                                &S::bulk_buffers_in_use,
                                                &S::bulk_buffers,
                                                &S::output_buffers_in_use};
  for (const auto counter : kCounters) into.*counter += from.*counter;
  add_stats(into.stream, from.stream);
}

MetricsText::MetricsText(const MetricsInput& input, RequestView requests, NginxOptions nginx)
    : requests_(std::move(requests), nginx), grpc_methods_(input.stats->grpc_methods) {
  Families families;
  add_process(families, input);
  add_configuration(families, input);
  add_downstream(families, *input.stats);
  add_upstream(families, *input.stats);
  add_errors(families, *input.stats);
  add_http2(families, *input.stats);
  add_streams(families, input.stats->stream);
  add_datagrams(families, input.stats->stream);
  add_rings(families, input);
  add_logs(families, input);
  head_ = families.text();
  write_endpoints(head_, input.endpoints);
  if (nginx.on) write_nginx_process(head_, input, nginx.identity);
}

bool MetricsText::next(std::string& out) {
  out.append(head_);
  head_ = std::string();
  return requests_.next(out) || grpc_methods_.next(out);
}

}  // namespace ringway::observe
