// The log of a process: stderr, one line each, text or JSON. Any byte that could break a line or
// drive a terminal is escaped.
//
// Thread rule: any thread after setup_log(). A line is at most 4096 bytes and is dropped (and
// counted) when stderr is a pipe that nobody empties: logging never blocks.
#pragma once

#include <fmt/core.h>

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ringway {

enum class LogLevel : uint8_t { kDebug, kInfo, kWarning, kError, kOff };
enum class LogFormat : uint8_t { kText, kJson };

std::optional<LogLevel> parse_log_level(
    std::string_view text);  // "debug", "info", "warn", "error", "off"
std::optional<LogFormat> parse_log_format(std::string_view text);  // "text", "json"

struct LogOptions {
  LogLevel level = LogLevel::kInfo;
  LogFormat format = LogFormat::kText;
  std::string program = "ringway";  // Second word of a text line, "program" in JSON.
  int fd = 2;
};

// Makes spdlog's default logger such a log: spdlog::info() and the functions below go there. Once,
// before other threads start; again to change it.
void setup_log(const LogOptions& options);
bool log_enabled(LogLevel level);
uint64_t log_lines_dropped();

void log_line(LogLevel level, std::string_view message);
void log_formatted(LogLevel level, fmt::string_view format, fmt::format_args arguments);

template <typename... Args>
void log_debug(fmt::format_string<Args...> format, const Args&... args) {
  if (log_enabled(LogLevel::kDebug))
    log_formatted(LogLevel::kDebug, format, fmt::make_format_args(args...));
}
template <typename... Args>
void log_info(fmt::format_string<Args...> format, const Args&... args) {
  if (log_enabled(LogLevel::kInfo))
    log_formatted(LogLevel::kInfo, format, fmt::make_format_args(args...));
}
template <typename... Args>
void log_warning(fmt::format_string<Args...> format, const Args&... args) {
  if (log_enabled(LogLevel::kWarning))
    log_formatted(LogLevel::kWarning, format, fmt::make_format_args(args...));
}
template <typename... Args>
void log_error(fmt::format_string<Args...> format, const Args&... args) {
  if (log_enabled(LogLevel::kError))
    log_formatted(LogLevel::kError, format, fmt::make_format_args(args...));
}

// Lets `burst` lines through per period and counts the others. Any thread.
class LogLimiter {
 public:
  constexpr explicit LogLimiter(uint32_t burst = 5, uint64_t period_ns = 10'000'000'000)
      : burst_(burst), period_ns_(period_ns) {}
  // True: log. `suppressed`: how many were not since the last period that had any.
  bool allow(uint64_t now_ns, uint64_t& suppressed);

 private:
  const uint32_t burst_;
  const uint64_t period_ns_;
  std::atomic<uint64_t> period_start_ns_{0};
  std::atomic<uint32_t> taken_{0};
  std::atomic<uint64_t> suppressed_{0};
};

// For what a peer can cause again and again (per connection, per request): `limiter` is a static of
// the place.
template <typename... Args>
void log_limited(LogLimiter& limiter, uint64_t now_ns, LogLevel level,
                 fmt::format_string<Args...> format, const Args&... args) {
  uint64_t suppressed = 0;
  if (!log_enabled(level) || !limiter.allow(now_ns, suppressed)) return;
  std::string message = fmt::vformat(format, fmt::make_format_args(args...));
  if (suppressed > 0) message += " (" + std::to_string(suppressed) + " like it not shown)";
  log_line(level, message);
}

// Appends `text` so that it is safe inside a JSON string, in ASCII: quotes, backslashes and
// controls escaped, UTF-8 as \uXXXX, an invalid byte as \ufffd. At most `bytes_max` bytes of output
// are added. False: cut.
bool append_json_escaped(std::string& out, std::string_view text, size_t bytes_max);

}  // namespace ringway
