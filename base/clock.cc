#include "base/clock.h"

#include <ctime>

namespace ringway {
namespace {

int64_t read_ns(clockid_t id) {
  timespec now{};
  clock_gettime(id, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

}  // namespace

uint64_t monotonic_ns() { return static_cast<uint64_t>(read_ns(CLOCK_MONOTONIC)); }
int64_t wall_clock_ns() { return read_ns(CLOCK_REALTIME); }

}  // namespace ringway
