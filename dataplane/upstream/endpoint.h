// An endpoint's health, shared by all routes and all snapshots: found by address + port + protocol,
// so it survives a configuration change.
//
// Thread rule: made and retired by the control thread (EndpointRegistry). Health fields are relaxed
// atomics: written by the control thread (active checks) and by workers (passive), read by all
// without locks. The rest never changes.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "dataplane/io/socket_address.h"

namespace ringway::upstream {

enum class Protocol : uint8_t { kHttp1, kHttp2, kTcp, kUdp, kHttp1Tls, kHttp2Tls };

constexpr bool is_http2(Protocol protocol) {
  return protocol == Protocol::kHttp2 || protocol == Protocol::kHttp2Tls;
}
constexpr bool is_tls(Protocol protocol) {
  return protocol == Protocol::kHttp1Tls || protocol == Protocol::kHttp2Tls;
}

struct EndpointState {
  uint32_t slot =
      0;  // Dense index for per-worker arrays; given again only after every snapshot let go.
  uint64_t uid = 0;  // Never given again: guards per-worker state against a reused slot.
  io::SocketAddress address;
  std::string text;  // "10.0.0.1:8080", for logs, /endpoints and host defaults.
  Protocol protocol = Protocol::kHttp1;

  std::atomic<bool> check_failed{false};        // Active checks say unhealthy.
  std::atomic<uint32_t> consecutive_errors{0};  // Passive.
  std::atomic<uint64_t> ejected_until_ns{0};    // CLOCK_MONOTONIC; 0 or past: not ejected.
  std::atomic<uint32_t> ejections{
      0};  // In a row; sets the next ejection's length, decays when it answers well.
  std::atomic<uint64_t> decay_at_ns{0};  // When `ejections` may next go down by one.
  std::atomic<uint64_t> requests_total{
      0};  // Added to by workers in batches or at request end (relaxed).
  std::atomic<uint64_t> errors_total{0};
  uint32_t configured = 0;  // Clusters of the newest configuration that have it. Control thread's.
  std::atomic<bool> retired{
      false};  // Left the newest configuration: pools close its idle connections.
  std::atomic<uint32_t> in_flight{0};  // For /endpoints; balancing uses the worker's own counts.

  bool ejected(uint64_t now_ns) const {
    return ejected_until_ns.load(std::memory_order_relaxed) > now_ns;
  }
};

}  // namespace ringway::upstream
