// Where the frames of one direction of a WebSocket begin and end (RFC 6455 section 5.2). Nothing is
// looked at but headers, so that a frame of any size costs a few bytes' work and none is kept.
//
// Thread rule: a value of one worker. Invariant: what can't be a frame (an opcode that is not
// defined, a control frame in pieces or above 125 bytes, a length beyond 63 bits) makes it lost()
// for good: extensions may define other bytes, and a guess would put a frame into the middle of
// one.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace ringway::http {

class WebSocketFrames {
 public:
  // Takes the next bytes, all of them; with `to_boundary` none behind the next boundary, and none
  // at all when this is one. Returns how many were taken.
  size_t follow(std::string_view bytes, bool to_boundary = false);

  // The next byte begins a frame.
  bool at_boundary() const { return !lost_ && payload_left_ == 0 && header_bytes_ == 0; }
  bool lost() const { return lost_; }
  // The header of a Close frame went by; it may be the last frame of its side (section 5.5.1).
  bool close_seen() const { return close_seen_; }

 private:
  size_t header_size() const;
  void begin_payload();

  uint64_t payload_left_ = 0;
  std::array<uint8_t, 14> header_{};
  uint8_t header_bytes_ = 0;
  bool lost_ = false;
  bool close_seen_ = false;
};

// A Close frame with the status 1001 (Going Away, section 7.4.1). `key`: what a client masks it
// with, unpredictable for who chooses the payload (section 10.3).
std::array<char, 4> websocket_going_away();
std::array<char, 8> websocket_going_away_masked(uint32_t key);

}  // namespace ringway::http
