// Counters of one worker. Plain numbers: written by the worker alone; the control thread reads a
// copy that the worker makes on request.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "dataplane/observe/grpc_method_stats.h"
#include "dataplane/observe/request_stats.h"

namespace ringway::observe {

// How a relay of bytes ended, other than by both ends' end of stream.
enum class StreamFailure : uint8_t {
  kNone,
  kNoEndpoint,      // No cluster, or none of its endpoints is usable.
  kConnect,         // Refused or unreachable, on every try.
  kConnectTimeout,
  kNoSocket,        // No descriptor left, or the client's address could not be taken.
  kTls,             // Handshake with the client.
  kProxyHeader,     // PROXY protocol: malformed, or not there in time.
  kHello,           // ClientHello: malformed, too long, or not there in time.
  kNoHost,          // Nothing passes through by that server name.
  kClientReset,
  kServerReset,
  kIdle,
  kCount,
};
inline constexpr size_t kStreamFailures = static_cast<size_t>(StreamFailure::kCount);
std::string_view stream_failure_name(StreamFailure failure);  // "connect_timeout"; "" for kNone.

// Why a datagram was not passed on.
enum class DatagramDrop : uint8_t {
  kTooLarge,   // Longer than a receive buffer.
  kTableFull,  // The listener has as many sessions as it may.
  kNoEndpoint,
  kNoSocket,    // No descriptor or port left, or the client's address could not be taken.
  kSendFull,    // More under way than allowed, or the kernel's buffer is full.
  kSendFailed,  // The kernel would not send it: no route, too long for the path, ...
  kRefused,     // The endpoint refuses (ICMP), and there is no other.
  kStopping,    // Of a new client while the listener ends.
  kCount,
};
inline constexpr size_t kDatagramDrops = static_cast<size_t>(DatagramDrop::kCount);

// Relays of bytes and datagrams.
struct StreamStats {
  uint64_t relays = 0;         // TCP connections relayed.
  uint64_t relays_active = 0;  // Gauge.
  uint64_t bytes_received = 0, bytes_sent = 0;  // From and to clients; counted when a connection ends.
  uint64_t retries = 0;        // Endpoints tried beyond the first.
  uint64_t own_sources = 0;    // Tries from our own address although the client's was asked for.
  uint64_t proxy_headers = 0;  // PROXY headers accepted.
  uint64_t proxy_headers_untrusted = 0;  // Of them, from peers whose word does not count.
  uint64_t sessions = 0;                 // UDP.
  uint64_t sessions_active = 0;          // Gauge.
  uint64_t datagrams_received = 0, datagrams_sent = 0;    // From and to clients.
  std::array<uint64_t, kDatagramDrops> datagram_drops{};  // By DatagramDrop.
  std::array<uint64_t, kStreamFailures> failures{};  // By StreamFailure.
};

struct WorkerStats {
  RequestStats routes;  // By metrics slot; slot 0: no route matched.
  GrpcMethodStats grpc_methods;
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
  uint64_t http2_connections = 0;
  std::array<uint64_t, 16> http2_glitches{};  // By http::H2Glitch.
  std::array<uint64_t, 16> http2_calmed{};    // Connections ended for too many of them.
  // Copied from the ring at scrape.
  uint64_t ring_turns = 0, ring_completions = 0, ring_submissions = 0, buffers_exhausted = 0;
  uint64_t small_buffers_in_use = 0, small_buffers = 0, bulk_buffers_in_use = 0, bulk_buffers = 0,
           output_buffers_in_use = 0;
  StreamStats stream;
};

}  // namespace ringway::observe
