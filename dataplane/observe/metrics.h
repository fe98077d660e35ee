// What Prometheus sees: copies of the workers' counters, summed, and what the control thread knows,
// as text. The table of all names: docs/operations.md.
//
// Thread rule: the control thread's. Values in, text out; no clock but the caller's.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "dataplane/observe/grpc_method_text.h"
#include "dataplane/observe/process_usage.h"
#include "dataplane/observe/request_text.h"
#include "dataplane/observe/worker_stats.h"

namespace ringway::observe {

// Adds one worker's counters to `into`, routes by slot.
void add_stats(WorkerStats& into, const WorkerStats& from);

enum class EndpointCondition : uint8_t { kHealthy, kUnhealthy, kEjected, kDraining };
inline constexpr std::array<const char*, 4> kEndpointConditions{"healthy", "unhealthy", "ejected",
                                                                "draining"};

struct ClusterEndpoints {
  std::string namespace_name, service, port;
  std::array<uint32_t, 4> by_condition{};  // By EndpointCondition.
};

struct CertificateExpiry {
  std::string name;  // Of the configuration: "<namespace>/<secret>".
  int64_t not_after_unix_seconds = 0;
};

struct MetricsInput {
  // Sum of all workers; of their grpc_methods what Control has taken.
  const WorkerStats* stats = nullptr;
  uint32_t workers = 0;
  std::string io_backend;  // io::backend_name()
  std::vector<ClusterEndpoints> endpoints;
  std::vector<CertificateExpiry> certificates;

  uint64_t config_generation =
      0;  // Transactions applied by this process, a kept configuration included.
  double config_age_seconds =
      -1;  // Since the last one was applied; < 0: none yet, the series is absent.
  std::string
      config_version;  // Opaque; a label of ringway_config_info, which has one series at a time.
  uint64_t config_accepted = 0, config_rejected = 0;  // Transactions: ACK, NACK.
  bool config_last_accepted = false;                  // The last one was not refused.
  int64_t now_unix_seconds = 0;
  bool controller_connected = false;
  uint64_t controller_connects = 0, controller_failures = 0;

  uint64_t access_log_bytes = 0;          // AccessLogWriterStats
  uint64_t access_log_lines_dropped = 0;  // By the writer; workers' own are in `stats`.
  uint64_t access_log_errors = 0;
  uint64_t log_lines_dropped = 0;
  uint64_t admin_connections_refused = 0;
  uint32_t restarts = 0;  // SupervisorLink::generation
  bool ready = false;
  bool draining = false;
  ProcessUsage process;
};

// Prometheus text format 0.0.4, in pieces; serve it as kMetricsContentType.
class MetricsText {
 public:
  // `input` and what it points to are read here and not kept.
  MetricsText(const MetricsInput& input, RequestView requests, NginxOptions nginx);
  // Appends the next piece; false: that was the last.
  bool next(std::string& out);

 private:
  std::string head_;
  RequestText requests_;
  GrpcMethodText grpc_methods_;
};
inline constexpr const char* kMetricsContentType = "text/plain; version=0.0.4; charset=utf-8";

}  // namespace ringway::observe
