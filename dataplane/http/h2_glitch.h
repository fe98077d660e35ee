// Kinds of frames that are cheap to send and cost work to take.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace ringway::http {

// What a client may do now and then, and an attacker does all the time (RFC 9113 section 10.5). One
// flat list: it is the label of a metric.
enum class H2Glitch : uint8_t {
  kClientReset,  // RST_STREAM received: Rapid Reset.
  kServerReset,  // RST_STREAM that the client made us send: MadeYouReset.
  kContinuation,
  kEmptyData,  // DATA without a byte and without END_STREAM.
  kSettings,
  kPing,
  kPriority,
  kWindowUpdate,
  kClosedStream,  // A frame for a stream that has ended.
  kHeaders,       // A block far beyond the limits.
  kStalled,       // Windows kept shut.
};
inline constexpr size_t kH2Glitches = 11;
std::string_view h2_glitch_name(H2Glitch glitch);  // snake_case

}  // namespace ringway::http
