// The keys that seal session tickets: of the process, shared by its contexts, drawn at random,
// replaced every day.
//
// Thread rule: any thread. Handshakes share a reader lock; a rotation is the only writer.
// Invariants: (1) a ticket opens for two periods at most, the one it was sealed in and the next;
// (2) a key that left is wiped.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <shared_mutex>
#include <span>

namespace ringway::tls {

class TicketKeys {
 public:
  static constexpr uint64_t kPeriodNs = uint64_t{24} * 3600 * 1'000'000'000;
  static constexpr size_t kOverheadBytes = 16 /* key name */ + 12 /* nonce */ + 16 /* tag */;

  explicit TicketKeys(uint64_t now_ns);
  ~TicketKeys();
  TicketKeys(const TicketKeys&) = delete;
  TicketKeys& operator=(const TicketKeys&) = delete;

  // The keys of this process, made at first use.
  static const std::shared_ptr<TicketKeys>& process();

  // Seals `session` into `out`; returns the bytes written, nullopt when `out` is too small. May
  // rotate first. `now_ns`: CLOCK_MONOTONIC. `out` may start where `session` does, but not overlap
  // it otherwise.
  std::optional<size_t> seal(uint64_t now_ns, std::span<const uint8_t> session,
                             std::span<uint8_t> out);
  // nullopt: no ticket of ours, or too old, or altered. `out` has room for ticket.size() bytes and
  // does not overlap `ticket`.
  std::optional<size_t> open(uint64_t now_ns, std::span<const uint8_t> ticket,
                             std::span<uint8_t> out);

  // Draws a key now; the one in use becomes the previous one, and that one is wiped.
  void rotate(uint64_t now_ns);

 private:
  struct Key;
  void rotate_if_due(uint64_t now_ns);
  void rotate_locked(uint64_t now_ns);

  std::shared_mutex mutex_;
  std::unique_ptr<Key> current_;   // Guarded by mutex_, as are the next two.
  std::unique_ptr<Key> previous_;  // Opens only. Empty in the first period.
  uint64_t rotate_at_ns_ = 0;
};

}  // namespace ringway::tls
