// What every room of one worker's data path shares. Made by worker::Worker, passed by reference.
//
// Thread rule: one worker.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "dataplane/io/ring.h"
#include "dataplane/io/timer_wheel.h"
#include "dataplane/observe/access_log.h"
#include "dataplane/observe/worker_stats.h"
#include "dataplane/proxy/snapshot_pin.h"
#include "dataplane/upstream/load.h"

namespace ringway::proxy {

class Downstream;
class Exchange;
class Transport;
class UpstreamPool;

// Queue marks of every stream: above the high-water mark the other side is paused, below a quarter of it, it goes on. The high mark is chosen so that
// one send empties what one bulk receive brought, with the next one under way; it sinks as the receive pools fill, because what slow readers
// hold is what others can't receive into.
constexpr size_t kHighWaterMax = 256 * 1024;
constexpr size_t kHighWaterSome = 64 * 1024;
constexpr size_t kHighWaterMin = 4 * 1024;
constexpr uint32_t kPressureSome = 25;   // Percent of a pool's limit.
constexpr uint32_t kPressureHigh = 50;
constexpr uint32_t kPressureFull = 90;   // Of the output pool: no new request is taken.
constexpr uint32_t kMultishotReach = 32;   // MULTISHOT_MAX_RETRY of io_uring/net.c.
constexpr uint32_t kSendVectors = 64;

struct Context {
  io::Ring& ring;
  io::TimerWheel& timers;
  observe::WorkerStats& stats;
  observe::AccessLog& access_log;
  upstream::WorkerLoad& load;
  SnapshotPins& snapshots;
  Random& random;
  int64_t (*wall_clock)();               // base/clock.h, or the simulation's.
  UpstreamPool* pool = nullptr;          // Set once by the worker.
  uint32_t connections_max = UINT32_MAX; // Of this worker, over all its listeners: accepting pauses there.
  bool draining = false;                 // Responses from now on say Connection: close.

  uint64_t now_ns() const { return ring.now_ns(); }
  size_t high_water() const {
    const uint32_t pressure = std::max({ring.small_pool().pressure_percent(), ring.bulk_pool().pressure_percent(),
                                        ring.output_pool().pressure_percent()});
    return pressure < kPressureSome ? kHighWaterMax : pressure < kPressureHigh ? kHighWaterSome : kHighWaterMin;
  }
  // The kernel fills up to kMultishotReach buffers of one multishot receive before anybody can pause it. While all of them together could
  // take half of the pool, and when much of it is taken, receives bring one buffer each: hundreds of large answers to clients that do not
  // read would else leave none for the others.
  bool multishot_fits() const {
    const uint64_t receives = stats.connections_active + stats.upstream_connections_active;
    return receives * kMultishotReach <= ring.small_pool().limit() / 2 && ring.small_pool().pressure_percent() < kPressureSome;
  }
  size_t low_water() const { return high_water() / 4; }
  std::string_view date();               // IMF-fixdate of this second (RFC 9110 section 5.6.7).
  int64_t wall_ns() const { return wall_base_ns_ + static_cast<int64_t>(now_ns() - wall_read_ns_); }

  // Transports with something to send; flushed once at the end of the loop turn, so that a head and its first body bytes leave together.
  void mark_dirty(Transport& transport);
  void flush_dirty();

  Exchange* take_exchange();
  void give_exchange(Exchange* exchange);   // Recycled at the end of the turn: callers up the stack may still hold it.
  void recycle_exchanges();

  iovec* take_vectors();                 // An array of kSendVectors.
  void give_vectors(iovec* vectors);

  Context(io::Ring& ring, io::TimerWheel& timers, observe::WorkerStats& stats, observe::AccessLog& access_log,
          upstream::WorkerLoad& load, SnapshotPins& snapshots, Random& random, int64_t (*wall_clock)());
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

 private:
  void refresh_wall_clock();
  std::vector<Transport*> dirty_;
  std::vector<Transport*> flushing_;
  std::vector<std::unique_ptr<Exchange>> exchanges_;
  std::vector<Exchange*> free_exchanges_;
  std::vector<Exchange*> ended_exchanges_;
  std::vector<std::unique_ptr<iovec[]>> vector_blocks_;
  std::vector<iovec*> free_vectors_;
  std::array<char, 32> date_{};
  uint64_t wall_read_ns_ = 0;
  int64_t wall_base_ns_ = 0;
};

}  // namespace ringway::proxy
