#include "tests/sim/message_reader.h"

#include <algorithm>
#include <charconv>

namespace ringway::sim {
namespace {

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](char x, char y) { return (x | 0x20) == (y | 0x20); });
}

}  // namespace

std::optional<std::string> MessageReader::header(const std::string& head, std::string_view name) {
  for (size_t at = head.find("\r\n"); at != std::string::npos; at = head.find("\r\n", at + 2)) {
    const size_t begin = at + 2;
    const size_t end = head.find("\r\n", begin);
    if (end == std::string::npos || end == begin) return std::nullopt;
    const std::string_view line(head.data() + begin, end - begin);
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos || !equal_ignoring_case(line.substr(0, colon), name)) continue;
    std::string_view value = line.substr(colon + 1);
    while (value.starts_with(' ')) value.remove_prefix(1);
    return std::string(value);
  }
  return std::nullopt;
}

void MessageReader::feed(std::string_view bytes) {
  buffer_.append(bytes);
  parse();
}

void MessageReader::end_of_input() {
  if (message_.head_complete && until_close_) message_.complete = true;
}

void MessageReader::next(bool no_body) {
  message_ = {};
  chunked_ = until_close_ = false;
  no_body_ = no_body;
  left_ = 0;
  parse();
}

bool MessageReader::parse_head() {
  const size_t end = buffer_.find("\r\n\r\n");
  if (end == std::string::npos) return false;
  message_.head = buffer_.substr(0, end + 4);
  message_.start_line = message_.head.substr(0, message_.head.find("\r\n"));
  message_.head_complete = true;
  buffer_.erase(0, end + 4);
  const auto length = header(message_.head, "content-length");
  chunked_ = header(message_.head, "transfer-encoding").has_value();
  if (length) std::from_chars(length->data(), length->data() + length->size(), left_);
  const bool bodiless = no_body_ || message_.start_line.starts_with("HTTP/1.1 1") || message_.start_line.find(" 204") != std::string::npos ||
                        message_.start_line.find(" 304") != std::string::npos;
  if (bodiless) {
    chunked_ = false;
    left_ = 0;
    message_.complete = true;
  } else if (!chunked_ && !length) {
    until_close_ = kind_ == Kind::kResponse;
    message_.complete = !until_close_;
  } else if (!chunked_) {
    message_.complete = left_ == 0;
  }
  return true;
}

bool MessageReader::parse_chunk() {
  const size_t end = buffer_.find("\r\n");
  if (end == std::string::npos) return false;
  uint64_t size = 0;
  const auto parsed = std::from_chars(buffer_.data(), buffer_.data() + end, size, 16);
  if (parsed.ec != std::errc()) {
    malformed_ = true;
    return false;
  }
  if (buffer_.size() < end + 2 + size + 2) return false;
  if (size == 0) {
    const size_t trailer_end = buffer_.find("\r\n\r\n", end);
    if (trailer_end == std::string::npos) return false;
    buffer_.erase(0, trailer_end + 4);
    message_.complete = true;
    return false;
  }
  message_.body.append(buffer_, end + 2, size);
  malformed_ = malformed_ || buffer_.compare(end + 2 + size, 2, "\r\n") != 0;
  buffer_.erase(0, end + 2 + size + 2);
  return true;
}

void MessageReader::parse() {
  if (message_.complete || malformed_) return;
  if (!message_.head_complete && !parse_head()) return;
  if (message_.complete) return;
  if (chunked_) {
    while (!malformed_ && parse_chunk()) {
    }
    return;
  }
  const size_t take = until_close_ ? buffer_.size() : std::min<uint64_t>(left_, buffer_.size());
  message_.body.append(buffer_, 0, take);
  buffer_.erase(0, take);
  if (until_close_) return;
  left_ -= take;
  message_.complete = left_ == 0;
}

}  // namespace ringway::sim
