// Access log of one worker: formats lines into a bounded buffer of its own; the control thread
// takes what is there and writes it by its ring (access_log_writer.h). When the buffer is full the
// line is dropped and counted: logging never blocks a request.
//
// Formats. kJson: one object a line, ASCII only, what is not ASCII as \uXXXX. kCombined: the
// default format of ingress-nginx, which begins with nginx's "combined". In both no byte of a
// request can end a line, close a quote or reach a terminal as a control character; long fields are
// cut. Relays of bytes and datagrams have lines of their own: in kJson with
// "protocol" TCP or UDP and without what HTTP has; in kCombined as ingress-nginx's log-format-stream.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "dataplane/http/message.h"
#include "dataplane/observe/worker_stats.h"
#include "dataplane/route/route.h"

namespace ringway::observe {

enum class AccessLogFormat : uint8_t { kOff, kJson, kCombined };

// One finished request. Views are valid during the call only.
struct AccessRecord {
  int64_t wall_ns = 0;  // Of the request's first byte.
  uint64_t duration_ns = 0;
  uint64_t upstream_duration_ns = 0;           // 0: no upstream.
  std::string_view peer;                       // Client address without port.
  std::string_view method, authority, target;  // As received; escaped by the formatter.
  http::Version version = http::Version::k11;
  uint16_t status = 0;                             // 0: the client left before an answer.
  uint64_t request_bytes = 0, response_bytes = 0;  // Bodies.
  std::string_view referer, user_agent, request_id;
  std::string_view upstream;  // Endpoint text, "" when none.
  uint32_t tries = 0;
  const route::Route* route = nullptr;
  bool tls = false;
};

// One finished relay of bytes or session of datagrams. Views are valid during the call only.
struct StreamRecord {
  int64_t wall_ns = 0;  // Of its beginning.
  uint64_t duration_ns = 0;
  uint64_t connect_ns = 0;             // Until the endpoint was connected; 0: never.
  std::string_view peer;               // Client address without port.
  std::string_view protocol;           // "TCP", "UDP"
  std::string_view listener, cluster;  // Names of the configuration.
  std::string_view server_name;        // SNI as read, "" when none.
  uint64_t bytes_received = 0, bytes_sent = 0;
  std::string_view upstream;  // Endpoint text, "" when none.
  uint32_t tries = 0;
  StreamFailure failure = StreamFailure::kNone;
};

class AccessLog {
 public:
  // `bytes_max`: of everything queued and not yet taken, per worker; rounded up to a power of two,
  // at least 16 KiB. Memory is touched as it is used.
  AccessLog(AccessLogFormat format, uint32_t bytes_max);
  ~AccessLog();
  bool enabled() const { return format_ != AccessLogFormat::kOff; }
  // Worker. False: dropped, no room.
  bool append(const AccessRecord& record);
  bool append(const StreamRecord& record);
  // Control thread: appends what is there to `out`, whole lines only. Any time; no lock.
  void take(std::string& out);

 private:
  const std::string& time_text(int64_t wall_ns);
  AccessLogFormat format_;
  struct Buffers;
  std::unique_ptr<Buffers> buffers_;
};

}  // namespace ringway::observe
