#include "base/log.h"

#include <fmt/format.h>
#include <poll.h>
#include <spdlog/formatter.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <mutex>

namespace ringway {
namespace {

constexpr size_t kLineBytesMax = 4096;  // PIPE_BUF: a line is written whole or not at all, and a
                                        // writable pipe has that room (pipe(7)).
std::atomic<uint64_t> lines_dropped{0};

constexpr spdlog::level::level_enum level_of(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
    case LogLevel::kOff:
      break;
  }
  return spdlog::level::off;
}

std::string_view level_word(spdlog::level::level_enum level) {
  switch (level) {
    case spdlog::level::trace:
    case spdlog::level::debug:
      return "debug";
    case spdlog::level::info:
      return "info";
    case spdlog::level::warn:
      return "warn";
    default:
      return "error";
  }
}

void append_time(std::string& out, std::chrono::system_clock::time_point when) {
  const int64_t ms =
      std::chrono::duration_cast<std::chrono::milliseconds>(when.time_since_epoch()).count();
  const time_t seconds = static_cast<time_t>(ms / 1000);
  tm utc{};
  gmtime_r(&seconds, &utc);
  fmt::format_to(std::back_inserter(out), "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
                 utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min,
                 utc.tm_sec, ms % 1000);
}

// Text lines keep UTF-8; only what could break the line or drive a terminal is shown by its number.
void append_text_escaped(std::string& out, std::string_view text, size_t bytes_max) {
  const size_t end = out.size() + bytes_max;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (out.size() + 4 > end) return;
    if (byte < 0x20 || byte == 0x7f) {
      fmt::format_to(std::back_inserter(out), "\\x{:02x}", byte);
    } else {
      out += c;
    }
  }
}

class LineFormatter final : public spdlog::formatter {
 public:
  LineFormatter(LogFormat format, std::string program)
      : format_(format), program_(std::move(program)) {}

  void format(const spdlog::details::log_msg& message, spdlog::memory_buf_t& into) override {
    line_.clear();
    const std::string_view payload(message.payload.data(), message.payload.size());
    if (format_ == LogFormat::kJson) {
      line_ += R"({"time":")";
      append_time(line_, message.time);
      line_ += R"(","level":")";
      line_ += level_word(message.level);
      line_ += R"(","program":")";
      append_json_escaped(line_, program_, 64);
      line_ += R"(","message":")";
      append_json_escaped(line_, payload, kLineBytesMax - line_.size() - 3);
      line_ += "\"}\n";
    } else {
      append_time(line_, message.time);
      fmt::format_to(std::back_inserter(line_), " {} {}: ", program_, level_word(message.level));
      append_text_escaped(line_, payload, kLineBytesMax - line_.size() - 1);
      line_ += '\n';
    }
    into.append(line_.data(), line_.data() + line_.size());
  }

  std::unique_ptr<spdlog::formatter> clone() const override {
    return std::make_unique<LineFormatter>(format_, program_);
  }

 private:
  LogFormat format_;
  std::string program_;
  std::string line_;
};

class DescriptorSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit DescriptorSink(int fd) : fd_(fd) {}

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    pollfd ready{.fd = fd_, .events = POLLOUT};
    if (::poll(&ready, 1, 0) != 1 || (ready.revents & POLLOUT) == 0 ||
        ::write(fd_, line.data(), line.size()) != static_cast<ssize_t>(line.size())) {
      lines_dropped.fetch_add(1, std::memory_order_relaxed);
    }
  }
  void flush_() override {}
  void set_formatter_(std::unique_ptr<spdlog::formatter> formatter) override {
    formatter_ = std::move(formatter);
  }

 private:
  int fd_;
};

// Length of the well-formed UTF-8 sequence at the start of `text` (RFC 3629 section 4), 0 when
// there is none.
size_t utf8_sequence(std::string_view text, uint32_t& code_point) {
  const auto at = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned first = at(0);
  const size_t size = first < 0x80   ? 1
                      : first < 0xc2 ? 0
                      : first < 0xe0 ? 2
                      : first < 0xf0 ? 3
                      : first < 0xf5 ? 4
                                     : 0;
  if (size == 0 || size > text.size()) return 0;
  static constexpr std::array<unsigned, 5> kFirstMask{0, 0x7f, 0x1f, 0x0f, 0x07};
  code_point = first & kFirstMask[size];
  for (size_t i = 1; i < size; ++i) {
    if ((at(i) & 0xc0) != 0x80) return 0;
    code_point = (code_point << 6) | (at(i) & 0x3f);
  }
  static constexpr std::array<uint32_t, 5> kSmallest{0, 0, 0x80, 0x800, 0x10000};
  if (code_point < kSmallest[size] || code_point > 0x10ffff ||
      (code_point >= 0xd800 && code_point < 0xe000))
    return 0;
  return size;
}

// Bytes at the start of `text` that stand for themselves in a JSON string.
size_t plain_prefix(std::string_view text) {
  size_t size = 0;
  while (size < text.size() && text[size] >= 0x20 && text[size] < 0x7f && text[size] != '"' &&
         text[size] != '\\')
    ++size;
  return size;
}

size_t append_u(char* into, uint32_t unit) {
  static constexpr char kHex[] = "0123456789abcdef";
  into[0] = '\\';
  into[1] = 'u';
  for (int i = 0; i < 4; ++i) into[2 + i] = kHex[(unit >> (12 - 4 * i)) & 15];
  return 6;
}

}  // namespace

std::optional<LogLevel> parse_log_level(std::string_view text) {
  if (text == "debug") return LogLevel::kDebug;
  if (text == "info") return LogLevel::kInfo;
  if (text == "warn" || text == "warning") return LogLevel::kWarning;
  if (text == "error") return LogLevel::kError;
  if (text == "off") return LogLevel::kOff;
  return std::nullopt;
}

std::optional<LogFormat> parse_log_format(std::string_view text) {
  if (text == "text") return LogFormat::kText;
  if (text == "json") return LogFormat::kJson;
  return std::nullopt;
}

void setup_log(const LogOptions& options) {
  auto sink = std::make_shared<DescriptorSink>(options.fd);
  auto logger = std::make_shared<spdlog::logger>("", std::move(sink));
  logger->set_formatter(std::make_unique<LineFormatter>(options.format, options.program));
  logger->set_level(level_of(options.level));
  spdlog::set_default_logger(std::move(logger));
}

bool log_enabled(LogLevel level) {
  return spdlog::default_logger_raw()->should_log(level_of(level));
}
uint64_t log_lines_dropped() { return lines_dropped.load(std::memory_order_relaxed); }

void log_line(LogLevel level, std::string_view message) {
  spdlog::default_logger_raw()->log(level_of(level),
                                    spdlog::string_view_t(message.data(), message.size()));
}

void log_formatted(LogLevel level, fmt::string_view format, fmt::format_args arguments) {
  log_line(level, fmt::vformat(format, arguments));
}

bool LogLimiter::allow(uint64_t now_ns, uint64_t& suppressed) {
  suppressed = 0;
  uint64_t start = period_start_ns_.load(std::memory_order_relaxed);
  if (start == 0 || now_ns - start >= period_ns_) {
    // Whoever wins opens the period; a loser counts in it.
    if (period_start_ns_.compare_exchange_strong(start, now_ns, std::memory_order_relaxed)) {
      taken_.store(1, std::memory_order_relaxed);
      suppressed = suppressed_.exchange(0, std::memory_order_relaxed);
      return true;
    }
  }
  if (taken_.fetch_add(1, std::memory_order_relaxed) < burst_) return true;
  suppressed_.fetch_add(1, std::memory_order_relaxed);
  return false;
}

bool append_json_escaped(std::string& out, std::string_view text, size_t bytes_max) {
  const size_t end = out.size() + bytes_max;
  while (!text.empty()) {
    const size_t plain = plain_prefix(text);
    if (plain > 0) {
      const size_t bytes = std::min(plain, end - out.size());
      out.append(text.data(), bytes);
      text.remove_prefix(bytes);
      if (bytes < plain) return false;
      continue;
    }
    char piece[12];
    size_t size = 0;
    uint32_t code_point = 0;
    const size_t taken = utf8_sequence(text, code_point);
    if (taken == 0) {
      size = append_u(piece, 0xfffd);
    } else if (code_point == '"' || code_point == '\\') {
      piece[0] = '\\';
      piece[1] = static_cast<char>(code_point);
      size = 2;
    } else if (code_point < 0x10000) {
      size = append_u(piece, code_point);
    } else {
      size = append_u(piece, 0xd800 + ((code_point - 0x10000) >> 10));
      size += append_u(piece + 6, 0xdc00 + ((code_point - 0x10000) & 0x3ff));
    }
    if (out.size() + size > end) return false;
    out.append(piece, size);
    text.remove_prefix(taken == 0 ? 1 : taken);
  }
  return true;
}

}  // namespace ringway
