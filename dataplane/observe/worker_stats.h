// Counters of one worker. Plain numbers: written by the worker alone; the control thread reads a
// copy that the worker makes on request.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace ringway::observe {

// Upper bounds in seconds of ingress-nginx's duration histograms; the last bucket is +Inf.
inline constexpr std::array<double, 11> kDurationBoundsSeconds{0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
                                                               0.5,   1,    2.5,   5,    10};

struct Histogram {
  std::array<uint64_t, kDurationBoundsSeconds.size() + 1> buckets{};  // Not cumulative.
  uint64_t sum_ns = 0;
  void observe(uint64_t duration_ns) {
    static constexpr std::array<uint64_t, 11> kBoundsNs{
        5'000'000,   10'000'000,    25'000'000,    50'000'000,    100'000'000,   250'000'000,
        500'000'000, 1'000'000'000, 2'500'000'000, 5'000'000'000, 10'000'000'000};
    uint32_t i = 0;
    while (i < kBoundsNs.size() && duration_ns > kBoundsNs[i]) ++i;
    ++buckets[i];
    sum_ns += duration_ns;
  }
};

// Of one (ingress, service): route::Route::metrics_slot.
struct RouteStats {
  std::array<uint64_t, 6>
      by_status_class{};        // [1]..[5]; [0]: ended without a status (client gone).
  Histogram request_duration;   // First byte of the request to the end of the response.
  Histogram upstream_duration;  // Request sent to response head.
  uint64_t request_bytes = 0;   // Bodies.
  uint64_t response_bytes = 0;
  uint64_t retries = 0;
};

struct WorkerStats {
  std::vector<RouteStats> routes;  // By metrics slot; slot 0: no route matched.
  uint64_t connections_accepted = 0;
  uint64_t connections_active = 0;   // Gauge.
  uint64_t connections_idle = 0;     // Gauge: keep-alive between requests.
  uint64_t connections_refused = 0;  // Over a limit.
  uint64_t accept_paused = 0;        // EMFILE and the like.
  uint64_t requests = 0;
  uint64_t requests_active = 0;  // Gauge.
  uint64_t upstream_connects = 0;
  uint64_t upstream_connect_failures = 0;
  uint64_t upstream_connections_active = 0;  // Gauge: open, idle ones included.
  uint64_t upstream_connections_idle = 0;    // Gauge.
  uint64_t upstream_reuses = 0;
  uint64_t ejections = 0;
  uint64_t retry_budget_exhausted = 0;
  uint64_t pending_overflow = 0;
  uint64_t tls_handshakes = 0;
  uint64_t tls_resumptions = 0;
  uint64_t tls_failures = 0;
  uint64_t tunnels_active = 0;                 // Gauge.
  std::array<uint64_t, 32> request_errors{};   // By http::Error.
  std::array<uint64_t, 32> response_errors{};  // By http::Error.
  uint64_t timeouts_header = 0, timeouts_body = 0, timeouts_idle = 0, timeouts_write = 0;
  uint64_t timeouts_connect = 0, timeouts_response = 0, timeouts_total = 0, timeouts_handshake = 0;
  uint64_t access_log_dropped = 0;
  // Copied from the ring at scrape.
  uint64_t ring_turns = 0, ring_completions = 0, ring_submissions = 0, buffers_exhausted = 0;
  uint64_t small_buffers_in_use = 0, small_buffers = 0, bulk_buffers_in_use = 0, bulk_buffers = 0,
           output_buffers_in_use = 0;
};

}  // namespace ringway::observe
