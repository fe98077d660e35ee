// Time as an argument. Deadlines are CLOCK_MONOTONIC nanoseconds; wall time is for logs and certificates only.
#pragma once

#include <cstdint>

namespace ringway {

constexpr uint64_t kNsPerMs = 1'000'000;
constexpr uint64_t kNsPerSecond = 1'000'000'000;
constexpr uint64_t kNever = ~uint64_t{0};  // A deadline that does not come.

uint64_t monotonic_ns();     // CLOCK_MONOTONIC. On workers read once per loop turn: use Ring::now_ns().
int64_t wall_clock_ns();     // CLOCK_REALTIME since the epoch.

}  // namespace ringway
