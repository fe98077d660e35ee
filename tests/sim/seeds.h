// Which seeds a simulation runs: RINGWAY_SIM_SEED=N that one, RINGWAY_SIM_SEEDS=N so many, from
// RINGWAY_SIM_FIRST on.
#pragma once

#include <cstdint>
#include <cstdlib>

namespace ringway::sim {

struct Seeds {
  uint64_t first, count;
  uint64_t end() const { return first + count; }
};

inline uint64_t from_environment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

// `count`: without a word from the environment.
inline Seeds seeds(uint64_t count) {
  const uint64_t one = from_environment("RINGWAY_SIM_SEED", 0);
  if (one != 0) return {one, 1};
  return {from_environment("RINGWAY_SIM_FIRST", 1), from_environment("RINGWAY_SIM_SEEDS", count)};
}

}  // namespace ringway::sim
