#include "dataplane/http/websocket_frames.h"

#include <gtest/gtest.h>

#include <string>

namespace ringway::http {
namespace {

std::string frame(uint8_t first, uint64_t length, bool masked, int form = 0) {
  std::string out(1, static_cast<char>(first));
  const uint8_t mask = masked ? 0x80 : 0;
  if (form == 0) form = length < 126 ? 7 : length < 65536 ? 16 : 64;
  if (form == 7) {
    out += static_cast<char>(mask | length);
  } else {
    out += static_cast<char>(mask | (form == 16 ? 126 : 127));
    for (int shift = form - 8; shift >= 0; shift -= 8) out += static_cast<char>(length >> shift);
  }
  if (masked) out += "\x88\x81\x7e\x7f";  // May look like frames.
  return out + std::string(length, '\x88');
}

const std::string kStream = frame(0x01, 5, true) + frame(0x80, 0, true) + frame(0x89, 125, false) +
                            frame(0xC2, 126, true) + frame(0x82, 65535, false) +
                            frame(0x82, 65536, true) + frame(0x82, 3, false, 64);

// The boundaries are the same however the bytes are cut.
TEST(WebSocketFrames, BoundariesDoNotDependOnCuts) {
  for (const size_t step : {size_t{1}, size_t{2}, size_t{7}, size_t{1000}, kStream.size()}) {
    WebSocketFrames frames;
    size_t boundaries = 0;
    for (size_t at = 0; at < kStream.size(); at += step) {
      std::string_view piece = std::string_view(kStream).substr(at, step);
      EXPECT_EQ(frames.follow(piece), piece.size());
      if (step == 1 && frames.at_boundary()) ++boundaries;
    }
    EXPECT_TRUE(frames.at_boundary()) << step;
    EXPECT_FALSE(frames.lost() || frames.close_seen());
    if (step == 1) {
      EXPECT_EQ(boundaries, 7u);
    }
  }
}

TEST(WebSocketFrames, StopsAtTheNextBoundary) {
  WebSocketFrames frames;
  EXPECT_EQ(frames.follow(kStream, true), 0u);
  const std::string first = frame(0x01, 5, true), second = frame(0x80, 0, true);
  frames.follow(kStream.substr(0, 3));
  EXPECT_EQ(frames.follow(kStream.substr(3), true), first.size() - 3);
  EXPECT_TRUE(frames.at_boundary());
  frames.follow(second.substr(0, 1));
  EXPECT_EQ(frames.follow(second.substr(1), true), second.size() - 1);
}

TEST(WebSocketFrames, SeesAClose) {
  WebSocketFrames frames;
  frames.follow(frame(0x81, 200, true) + frame(0x88, 2, true).substr(0, 3));
  EXPECT_FALSE(frames.close_seen());
  frames.follow(frame(0x88, 2, true).substr(3));
  EXPECT_TRUE(frames.close_seen());
  EXPECT_TRUE(frames.at_boundary());
}

TEST(WebSocketFrames, WhatIsNoFrameIsLostForGood) {
  const std::string bad[] = {
      frame(0x83, 1, true),    // A reserved opcode.
      frame(0x8B, 1, true),    // A reserved control opcode.
      frame(0x09, 1, true),    // A control frame in pieces.
      frame(0x88, 126, true),  // A control frame too long.
      "\x82\x7f\xff" + std::string(7, '\xff'),
      "GET / HTTP/1.1\r\n",
  };
  for (const std::string& bytes : bad) {
    WebSocketFrames frames;
    EXPECT_EQ(frames.follow(bytes, false), bytes.size());
    EXPECT_TRUE(frames.lost()) << bytes;
    EXPECT_EQ(frames.follow(frame(0x81, 1, true), true), frame(0x81, 1, true).size());
    EXPECT_FALSE(frames.at_boundary() || frames.close_seen());
  }
}

TEST(WebSocketFrames, GoingAway) {
  const auto plain = websocket_going_away();
  EXPECT_EQ(std::string(plain.data(), plain.size()), "\x88\x02\x03\xE9");
  const auto masked = websocket_going_away_masked(0x04030201);
  EXPECT_EQ(std::string(masked.data(), masked.size()), "\x88\x82\x01\x02\x03\x04\x02\xEB");
  WebSocketFrames frames;
  frames.follow({masked.data(), masked.size()});
  EXPECT_TRUE(frames.at_boundary() && frames.close_seen());
}

}  // namespace
}  // namespace ringway::http
