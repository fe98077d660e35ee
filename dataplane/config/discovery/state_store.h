// Fail static: keeps the last accepted configuration where the next process finds it.
//   memory file  whole, private keys included, sealed; the supervisor holds the descriptor and
//   gives it to the next data process. disk         DIR/configuration.state, without private keys;
//   for a restarted container.
//
// Thread rule: the control thread's. Disk is written by a thread of its own, so that a slow disk
// stalls nobody. Invariants: (1) a file under its final name is complete (temporary name, fsync,
// rename); (2) private keys are never written to disk; (3) what does not check (magic, format,
// length, checksum, resources) is refused as a whole.
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <string>

#include "dataplane/config/discovery/resource_set.h"
#include "dataplane/io/timer_wheel.h"

namespace ringway::config {

// Called on the control thread with a sealed memory file; the receiver owns the descriptor
// (close-on-exec is set).
using HandOver = std::function<void(int fd)>;

struct StateStoreOptions {
  std::string directory;  // --state-dir; "" = nothing on disk. Must exist and be writable.
  HandOver hand_over;     // Empty = no memory file.
  uint32_t memory_interval_ms = 100;  // At most one memory file per interval; the first at once.
  uint32_t disk_interval_ms = 1000;   // At most one write per interval.
};

struct StateStoreStatus {
  uint64_t memory_files = 0;
  uint64_t disk_writes = 0;
  uint64_t errors = 0;
  std::string last_error;  // "" when the last writes went well.
};

class StateStore {
 public:
  StateStore(io::TimerWheel& wheel, StateStoreOptions options);
  ~StateStore();  // Writes what is still waiting.
  StateStore(const StateStore&) = delete;
  StateStore& operator=(const StateStore&) = delete;

  // Keeps `set` as it is when the interval ends (now, at the earliest). `set` outlives the store or
  // the next save().
  void save(const ResourceSet& set, uint64_t now_ns);
  void flush();  // Writes what waits, and returns when it is on disk.
  StateStoreStatus status() const;

 private:
  class Writer;
  void on_memory_timer();
  void on_disk_timer();
  void write_memory();
  void write_disk();

  io::TimerWheel& wheel_;
  StateStoreOptions options_;
  const ResourceSet* set_ = nullptr;
  io::Timer memory_timer_;
  io::Timer disk_timer_;
  bool memory_waiting_ = false;
  bool disk_waiting_ = false;
  uint64_t memory_free_ns_ = 0;  // When the next memory file may be made.
  uint64_t disk_free_ns_ = 0;    // When the next write may begin.
  std::unique_ptr<Writer> writer_;
  StateStoreStatus status_;
};

// Reads the kept configuration. The error is one line that says what was wrong, with the path; the
// caller logs it and goes on without. An absent file is an empty set without error.
std::expected<ResourceSet, std::string> load_state_file(const std::string& directory);
// From a descriptor inherited from the supervisor: must be a sealed memory file. Leaves `fd` open
// and its offset alone.
std::expected<ResourceSet, std::string> load_state_memory(int fd);

// The format, as text to be written; for tests and the functions above.
enum class Keys : bool { kLeaveOut, kInclude };
std::string encode_state(const ResourceSet& set, Keys keys);
std::expected<ResourceSet, std::string> decode_state(std::string_view text);
// A sealed memory file with `text`. Error: errno.
std::expected<int, int> make_sealed_memory(std::string_view text);

}  // namespace ringway::config
