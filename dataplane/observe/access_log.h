// Access log of one worker: formats lines into a bounded buffer of its own; the control thread
// takes what is there and writes it by its ring (access_log_writer.h). When the buffer is full the
// line is dropped and counted: logging never blocks a request.
//
// Formats. kJson: one object a line, ASCII only, what is not ASCII as \uXXXX. kCombined: the
// default format of ingress-nginx, which begins with nginx's "combined". In both no byte of a
// request can end a line, close a quote or reach a terminal as a control character; long fields are
// cut.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "dataplane/http/message.h"
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

class AccessLog {
 public:
  // `bytes_max`: of everything queued and not yet taken, per worker; rounded up to a power of two,
  // at least 16 KiB. Memory is touched as it is used.
  AccessLog(AccessLogFormat format, uint32_t bytes_max);
  ~AccessLog();
  bool enabled() const { return format_ != AccessLogFormat::kOff; }
  // Worker. False: dropped, no room.
  bool append(const AccessRecord& record);
  // Control thread: appends what is there to `out`, whole lines only. Any time; no lock.
  void take(std::string& out);

 private:
  AccessLogFormat format_;
  struct Buffers;
  std::unique_ptr<Buffers> buffers_;
};

}  // namespace ringway::observe
