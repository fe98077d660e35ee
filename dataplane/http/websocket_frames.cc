#include "dataplane/http/websocket_frames.h"

#include <algorithm>
#include <cstddef>

namespace ringway::http {
namespace {

constexpr uint8_t kFin = 0x80, kMask = 0x80, kControl = 8, kClose = 8, kPong = 10, kBinary = 2;
constexpr uint16_t kGoingAway = 1001;
constexpr uint8_t kHigh = kGoingAway >> 8, kLow = kGoingAway & 0xFF;

bool is_defined(uint8_t opcode) {
  return opcode <= kBinary || (opcode >= kClose && opcode <= kPong);
}

}  // namespace

size_t WebSocketFrames::follow(std::string_view bytes, bool to_boundary) {
  size_t at = 0;
  while (at < bytes.size() && !lost_) {
    if (to_boundary && at_boundary()) return at;
    if (payload_left_ > 0) {
      const size_t part = std::min<uint64_t>(payload_left_, bytes.size() - at);
      payload_left_ -= part;
      at += part;
      continue;
    }
    header_[header_bytes_++] = static_cast<uint8_t>(bytes[at++]);
    if (header_bytes_ == header_size()) begin_payload();
  }
  return lost_ ? bytes.size() : at;
}

size_t WebSocketFrames::header_size() const {
  if (header_bytes_ < 2) return 2;
  const uint8_t length = header_[1] & 0x7F;
  return 2u + (length == 126 ? 2 : length == 127 ? 8 : 0) + ((header_[1] & kMask) != 0 ? 4 : 0);
}

void WebSocketFrames::begin_payload() {
  const uint8_t opcode = header_[0] & 0x0F;
  const uint8_t length = header_[1] & 0x7F;
  payload_left_ = length;
  if (length >= 126) {
    payload_left_ = 0;
    for (size_t i = 0; i < (length == 126 ? 2u : 8u); ++i) {
      payload_left_ = payload_left_ << 8 | header_[2 + i];
    }
  }
  const bool bad_control = (opcode & kControl) != 0 && (length >= 126 || (header_[0] & kFin) == 0);
  lost_ = !is_defined(opcode) || bad_control || (payload_left_ >> 63) != 0;
  if (opcode == kClose && !lost_) close_seen_ = true;
  header_bytes_ = 0;
}

std::array<char, 4> websocket_going_away() {
  return {static_cast<char>(kFin | kClose), 2, static_cast<char>(kHigh), static_cast<char>(kLow)};
}

std::array<char, 8> websocket_going_away_masked(uint32_t key) {
  const auto byte = [key](int i) { return static_cast<uint8_t>(key >> (8 * i)); };
  return {static_cast<char>(kFin | kClose),   static_cast<char>(kMask | 2),
          static_cast<char>(byte(0)),         static_cast<char>(byte(1)),
          static_cast<char>(byte(2)),         static_cast<char>(byte(3)),
          static_cast<char>(kHigh ^ byte(0)), static_cast<char>(kLow ^ byte(1))};
}

}  // namespace ringway::http
