#include "base/utf8.h"

#include <cstdint>

namespace ringway {
namespace {

// How many bytes follow a first byte, and the range of the second one (RFC 3629 section 4); follow == 0 with valid == false: no first byte.
struct Sequence {
  bool valid;
  uint8_t follow;
  uint8_t second_min, second_max;
};

Sequence sequence_of(uint8_t first) {
  if (first < 0x80) return {true, 0, 0, 0};
  if (first >= 0xC2 && first <= 0xDF) return {true, 1, 0x80, 0xBF};
  if (first == 0xE0) return {true, 2, 0xA0, 0xBF};
  if (first == 0xED) return {true, 2, 0x80, 0x9F};
  if (first >= 0xE1 && first <= 0xEF) return {true, 2, 0x80, 0xBF};
  if (first == 0xF0) return {true, 3, 0x90, 0xBF};
  if (first == 0xF4) return {true, 3, 0x80, 0x8F};
  if (first >= 0xF1 && first <= 0xF3) return {true, 3, 0x80, 0xBF};
  return {false, 0, 0, 0};
}

}  // namespace

bool is_utf8(std::string_view text) {
  for (size_t i = 0; i < text.size(); ++i) {
    const Sequence sequence = sequence_of(static_cast<uint8_t>(text[i]));
    if (!sequence.valid || text.size() - i <= sequence.follow) return false;
    for (uint8_t k = 1; k <= sequence.follow; ++k) {
      const auto byte = static_cast<uint8_t>(text[i + k]);
      const uint8_t min = k == 1 ? sequence.second_min : 0x80;
      const uint8_t max = k == 1 ? sequence.second_max : 0xBF;
      if (byte < min || byte > max) return false;
    }
    i += sequence.follow;
  }
  return true;
}

}  // namespace ringway
