// A small seeded generator (xoshiro256**). Everything that draws a number takes one as an argument, so
// that a simulation replays exactly from its seed. Not for keys or tokens.
#pragma once

#include <cstdint>

namespace ringway {

class Random {
 public:
  explicit Random(uint64_t seed) {
    for (uint64_t& word : state_) {  // splitmix64 spreads any seed, zero included.
      seed += 0x9E3779B97F4A7C15u;
      uint64_t z = seed;
      z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
      z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
      word = z ^ (z >> 31);
    }
  }

  uint64_t next() {
    const uint64_t result = rotate(state_[1] * 5, 7) * 9;
    const uint64_t t = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= t;
    state_[3] = rotate(state_[3], 45);
    return result;
  }

  // A number in [0, bound). REQUIRES: bound > 0. The bias is below 2^-32 for 32-bit bounds.
  uint32_t below(uint32_t bound) { return static_cast<uint32_t>((uint64_t{uint32_t(next())} * bound) >> 32); }

  // True in `percent` of 100 cases.
  bool chance(uint32_t percent) { return below(100) < percent; }

 private:
  static uint64_t rotate(uint64_t x, int k) { return (x << k) | (x >> (64 - k)); }
  uint64_t state_[4];
};

}  // namespace ringway
