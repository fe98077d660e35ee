#include "dataplane/observe/access_log.h"

#include <atomic>
#include <bit>
#include <charconv>
#include <cstring>
#include <vector>

#include "base/check.h"
#include "base/log.h"

namespace ringway::observe {
namespace {

// Of the escaped text. A line is at most kLineBytesMax: the sum of all fields and what stands
// between them.
constexpr size_t kTargetBytesMax = 8192, kAgentBytesMax = 1024, kRefererBytesMax = 2048,
                 kWordBytesMax = 256;
constexpr size_t kLineBytesMax = 16384;

constexpr std::array<std::string_view, 12> kMonths{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                   "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

std::string_view version_text(http::Version version) {
  switch (version) {
    case http::Version::k10:
      return "HTTP/1.0";
    case http::Version::k11:
      return "HTTP/1.1";
    case http::Version::k2:
      return "HTTP/2.0";
  }
  return "";
}

void append_number(std::string& out, uint64_t value) {
  char digits[20];
  const auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
  out.append(digits, end);
}

void append_padded(std::string& out, uint32_t value, int width) {
  char digits[10];
  for (int i = width - 1; i >= 0; --i, value /= 10) digits[i] = static_cast<char>('0' + value % 10);
  out.append(digits, static_cast<size_t>(width));
}

// Seconds with milliseconds, as nginx writes times.
void append_seconds(std::string& out, uint64_t ns) {
  append_number(out, ns / 1'000'000'000);
  out += '.';
  append_padded(out, static_cast<uint32_t>(ns / 1'000'000 % 1000), 3);
}

// As nginx escapes log variables: quotes, backslashes, controls and everything above 0x7e as \xXX;
// "-" for nothing.
void append_quoted_safe(std::string& out, std::string_view text, size_t bytes_max) {
  if (text.empty()) {
    out += '-';
    return;
  }
  const size_t end = out.size() + bytes_max;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (out.size() + 4 > end) return;
    if (byte < 0x20 || byte > 0x7e || byte == '"' || byte == '\\') {
      static constexpr char kHex[] = "0123456789ABCDEF";
      const char escaped[]{'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
      out.append(escaped, sizeof escaped);
    } else {
      out += c;
    }
  }
}

struct CivilTime {
  uint32_t year, month, day, hour, minute, second;
};

// UTC from seconds since the epoch, in the proleptic Gregorian calendar ("chrono-compatible
// low-level date algorithms", civil_from_days).
CivilTime civil_time(int64_t seconds) {
  const int64_t days = (seconds >= 0 ? seconds : seconds - 86399) / 86400;
  const auto of_day = static_cast<uint32_t>(seconds - days * 86400);
  const int64_t z = days + 719468;
  const int64_t era = (z >= 0 ? z : z - 146096) / 146097;
  const auto day_of_era = static_cast<uint32_t>(z - era * 146097);
  const uint32_t year_of_era =
      (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  const uint32_t day_of_year =
      day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const uint32_t shifted_month = (5 * day_of_year + 2) / 153;
  const uint32_t month = shifted_month < 10 ? shifted_month + 3 : shifted_month - 9;
  const auto year =
      static_cast<uint32_t>(static_cast<int64_t>(year_of_era) + era * 400 + (month <= 2 ? 1 : 0));
  return {year,
          month,
          day_of_year - (153 * shifted_month + 2) / 5 + 1,
          of_day / 3600,
          of_day / 60 % 60,
          of_day % 60};
}

}  // namespace

// Lines in a ring of bytes: the worker writes behind `head`, the control thread reads behind
// `tail`. One writer, one reader, so two counters are all the synchronisation there is: neither
// side ever waits for the other.
struct AccessLog::Buffers {
  explicit Buffers(uint32_t bytes_max)
      : bytes(new char[std::bit_ceil(bytes_max)]), mask(std::bit_ceil(bytes_max) - 1) {
    line.reserve(kLineBytesMax);
    time_text.reserve(32);
  }

  bool push(std::string_view text) {
    const uint64_t at = head.load(std::memory_order_relaxed);
    if (text.size() > size() - (at - tail.load(std::memory_order_acquire))) return false;
    const size_t first = std::min<size_t>(text.size(), size() - (at & mask));
    std::memcpy(bytes.get() + (at & mask), text.data(), first);
    std::memcpy(bytes.get(), text.data() + first, text.size() - first);
    head.store(at + text.size(), std::memory_order_release);
    return true;
  }

  void pop_all(std::string& out) {
    const uint64_t from = tail.load(std::memory_order_relaxed);
    const uint64_t to = head.load(std::memory_order_acquire);
    const size_t count = to - from;
    const size_t first = std::min<size_t>(count, size() - (from & mask));
    out.append(bytes.get() + (from & mask), first);
    out.append(bytes.get(), count - first);
    tail.store(to, std::memory_order_release);
  }

  uint64_t size() const { return mask + 1; }

  std::unique_ptr<char[]> bytes;  // Not initialised: memory follows what is logged.
  const uint64_t mask;
  alignas(64) std::atomic<uint64_t> head{0};
  alignas(64) std::atomic<uint64_t> tail{0};
  // The worker's own.
  alignas(64) std::string line;
  std::string time_text;  // Of second `time_second`.
  int64_t time_second = INT64_MIN;
};

namespace {

// 2026-11-23T06:05:36 or 23/Nov/2026:06:05:36 +0000.
void format_time(std::string& out, int64_t second, AccessLogFormat format) {
  const CivilTime time = civil_time(second);
  out.clear();
  if (format == AccessLogFormat::kJson) {
    append_padded(out, time.year, 4);
    out += '-';
    append_padded(out, time.month, 2);
    out += '-';
    append_padded(out, time.day, 2);
    out += 'T';
  } else {
    append_padded(out, time.day, 2);
    out += '/';
    out += kMonths[time.month - 1];
    out += '/';
    append_padded(out, time.year, 4);
    out += ':';
  }
  append_padded(out, time.hour, 2);
  out += ':';
  append_padded(out, time.minute, 2);
  out += ':';
  append_padded(out, time.second, 2);
  if (format == AccessLogFormat::kCombined) out += " +0000";
}

void json_text(std::string& out, std::string_view key, std::string_view value,
               size_t bytes_max = kWordBytesMax) {
  out += ",\"";
  out += key;
  out += "\":\"";
  append_json_escaped(out, value, bytes_max);
  out += '"';
}

void json_number(std::string& out, std::string_view key, uint64_t value) {
  out += ",\"";
  out += key;
  out += "\":";
  append_number(out, value);
}

void json_seconds(std::string& out, std::string_view key, uint64_t ns) {
  out += ",\"";
  out += key;
  out += "\":";
  append_seconds(out, ns);
}

void format_json(std::string& out, const AccessRecord& record, std::string_view time_text) {
  out += "{\"time\":\"";
  out += time_text;
  out += '.';
  const int64_t below_second = record.wall_ns % 1'000'000'000;
  append_padded(
      out,
      static_cast<uint32_t>((below_second + (below_second < 0 ? 1'000'000'000 : 0)) / 1'000'000),
      3);
  out += "Z\"";
  json_text(out, "remote_addr", record.peer);
  json_text(out, "request_id", record.request_id);
  json_text(out, "method", record.method);
  json_text(out, "scheme", record.tls ? "https" : "http");
  json_text(out, "host", record.authority, 512);
  json_text(out, "target", record.target, kTargetBytesMax);
  json_text(out, "protocol", version_text(record.version));
  json_number(out, "status", record.status);
  json_number(out, "bytes_received", record.request_bytes);
  json_number(out, "bytes_sent", record.response_bytes);
  json_seconds(out, "request_time", record.duration_ns);
  json_text(out, "referer", record.referer, kRefererBytesMax);
  json_text(out, "user_agent", record.user_agent, kAgentBytesMax);
  if (!record.upstream.empty()) {
    json_text(out, "upstream_addr", record.upstream);
    json_seconds(out, "upstream_response_time", record.upstream_duration_ns);
    json_number(out, "upstream_tries", record.tries);
  }
  if (record.route != nullptr) {
    json_text(out, "namespace", record.route->namespace_name);
    json_text(out, "ingress", record.route->ingress);
    json_text(out, "service", record.route->service);
    json_text(out, "service_port", record.route->service_port);
  }
  out += "}\n";
}

// ingress-nginx's default (log-format-upstream), which begins with nginx's "combined":
// $remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer"
// "$http_user_agent" $request_length $request_time
// [$proxy_upstream_name] [$proxy_alternative_upstream_name] $upstream_addr
// $upstream_response_length $upstream_response_time $upstream_status $req_id
void format_combined(std::string& out, const AccessRecord& record, std::string_view time_text) {
  append_quoted_safe(out, record.peer, kWordBytesMax);
  out += " - - [";
  out += time_text;
  out += "] \"";
  if (!record.method.empty()) {
    append_quoted_safe(out, record.method, kWordBytesMax);
    out += ' ';
    append_quoted_safe(out, record.target, kTargetBytesMax);
    out += ' ';
    out += version_text(record.version);
  } else {
    out += '-';
  }
  out += "\" ";
  // nginx's own number for a client that left before the answer.
  append_number(out, record.status == 0 ? 499 : record.status);
  out += ' ';
  append_number(out, record.response_bytes);
  out += " \"";
  append_quoted_safe(out, record.referer, kRefererBytesMax);
  out += "\" \"";
  append_quoted_safe(out, record.user_agent, kAgentBytesMax);
  out += "\" ";
  append_number(out, record.request_bytes);
  out += ' ';
  append_seconds(out, record.duration_ns);
  out += " [";
  if (record.route != nullptr && !record.route->service.empty()) {
    append_quoted_safe(out, record.route->namespace_name, kWordBytesMax);
    out += '-';
    append_quoted_safe(out, record.route->service, kWordBytesMax);
    out += '-';
    append_quoted_safe(out, record.route->service_port, kWordBytesMax);
  }
  out += "] [] ";
  if (record.upstream.empty()) {
    out += "- - - -";
  } else {
    append_quoted_safe(out, record.upstream, kWordBytesMax);
    out += ' ';
    append_number(out, record.response_bytes);
    out += ' ';
    append_seconds(out, record.upstream_duration_ns);
    out += ' ';
    append_number(out, record.status == 0 ? 499 : record.status);
  }
  out += ' ';
  append_quoted_safe(out, record.request_id, kWordBytesMax);
  out += '\n';
}

void format_json(std::string& out, const StreamRecord& record, std::string_view time_text) {
  out += "{\"time\":\"";
  out += time_text;
  out += '.';
  const int64_t below_second = record.wall_ns % 1'000'000'000;
  append_padded(
      out,
      static_cast<uint32_t>((below_second + (below_second < 0 ? 1'000'000'000 : 0)) / 1'000'000),
      3);
  out += "Z\"";
  json_text(out, "remote_addr", record.peer);
  json_text(out, "protocol", record.protocol);
  json_text(out, "listener", record.listener);
  if (!record.server_name.empty()) json_text(out, "server_name", record.server_name);
  json_text(out, "status", record.failure == StreamFailure::kNone ? "ok" : stream_failure_name(record.failure));
  json_number(out, "bytes_received", record.bytes_received);
  json_number(out, "bytes_sent", record.bytes_sent);
  json_seconds(out, "session_time", record.duration_ns);
  json_text(out, "cluster", record.cluster);
  if (!record.upstream.empty()) {
    json_text(out, "upstream_addr", record.upstream);
    json_seconds(out, "upstream_connect_time", record.connect_ns);
    json_number(out, "upstream_tries", record.tries);
  }
  out += "}\n";
}

// As nginx's stream $status: who is to blame, in numbers known from HTTP.
uint16_t stream_status(StreamFailure failure) {
  switch (failure) {
    case StreamFailure::kNone:
    case StreamFailure::kClientReset:
    case StreamFailure::kServerReset:
    case StreamFailure::kIdle:
      return 200;
    case StreamFailure::kTls:
    case StreamFailure::kProxyHeader:
    case StreamFailure::kHello:
      return 400;
    case StreamFailure::kConnect:
    case StreamFailure::kConnectTimeout:
    case StreamFailure::kNoEndpoint:
    case StreamFailure::kNoHost:
      return 502;
    case StreamFailure::kNoSocket:
    case StreamFailure::kCount:
      break;
  }
  return 500;
}

// ingress-nginx's default (log-format-stream):
// [$remote_addr] [$time_local] $protocol $status $bytes_sent $bytes_received $session_time
void format_combined(std::string& out, const StreamRecord& record, std::string_view time_text) {
  out += '[';
  append_quoted_safe(out, record.peer, kWordBytesMax);
  out += "] [";
  out += time_text;
  out += "] ";
  out += record.protocol;
  out += ' ';
  append_number(out, stream_status(record.failure));
  out += ' ';
  append_number(out, record.bytes_sent);
  out += ' ';
  append_number(out, record.bytes_received);
  out += ' ';
  append_seconds(out, record.duration_ns);
  out += '\n';
}

}  // namespace

AccessLog::AccessLog(AccessLogFormat format, uint32_t bytes_max) : format_(format) {
  if (format != AccessLogFormat::kOff)
    buffers_ = std::make_unique<Buffers>(std::max<uint32_t>(bytes_max, kLineBytesMax));
}

AccessLog::~AccessLog() = default;

const std::string& AccessLog::time_text(int64_t wall_ns) {
  Buffers& buffers = *buffers_;
  const int64_t second = wall_ns / 1'000'000'000 - (wall_ns % 1'000'000'000 < 0 ? 1 : 0);
  if (second != buffers.time_second) {
    format_time(buffers.time_text, second, format_);
    buffers.time_second = second;
  }
  return buffers.time_text;
}

bool AccessLog::append(const AccessRecord& record) {
  if (format_ == AccessLogFormat::kOff) return true;
  Buffers& buffers = *buffers_;
  const std::string& time = time_text(record.wall_ns);
  buffers.line.clear();
  if (format_ == AccessLogFormat::kJson) {
    format_json(buffers.line, record, time);
  } else {
    format_combined(buffers.line, record, time);
  }
  DCHECK(buffers.line.size() <= kLineBytesMax);
  return buffers.push(buffers.line);
}

bool AccessLog::append(const StreamRecord& record) {
  if (format_ == AccessLogFormat::kOff) return true;
  Buffers& buffers = *buffers_;
  const std::string& time = time_text(record.wall_ns);
  buffers.line.clear();
  if (format_ == AccessLogFormat::kJson) {
    format_json(buffers.line, record, time);
  } else {
    format_combined(buffers.line, record, time);
  }
  return buffers.push(buffers.line);
}

void AccessLog::take(std::string& out) {
  if (buffers_ != nullptr) buffers_->pop_all(out);
}

}  // namespace ringway::observe
