// What one worker counts about requests: by route, method and status, in cells that come into being
// with the first request of their kind. Memory follows the traffic, within bounds of the
// configuration: an idle route costs 24 bytes, a cell 720, a route with gRPC 144 more.
//
// Thread rule: a plain value; written by its worker alone, copied for a scrape.
// Invariants: (1) a slot has at most kCellsPerSlot exact cells and one more for each class of
// status; (2) at most kExactCellsMax exact cells in all: beyond either bound a request counts in
// the class's cell of its slot (status "5xx", any method), so sums by route and class stay true;
// (3) a cell never moves and never goes: its counts only grow.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <string_view>
#include <vector>

#include "dataplane/http/message.h"

namespace ringway::observe {

// Upper bounds in seconds of ingress-nginx's duration histograms; the last bucket is +Inf.
inline constexpr std::array<double, 11> kDurationBoundsSeconds{0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
                                                               0.5,   1,    2.5,   5,    10};

struct Histogram {
  std::array<uint64_t, kDurationBoundsSeconds.size() + 1> buckets{};  // Not cumulative.
  uint64_t sum_ns = 0;
  void observe(uint64_t duration_ns) {
    static constexpr std::array<uint64_t, 11> kBoundsNs{
        5'000'000,   10'000'000,    25'000'000,    50'000'000,    100'000'000,   250'000'000,
        500'000'000, 1'000'000'000, 2'500'000'000, 5'000'000'000, 10'000'000'000};
    uint32_t i = 0;
    while (i < kBoundsNs.size() && duration_ns > kBoundsNs[i]) ++i;
    ++buckets[i];
    sum_ns += duration_ns;
  }
  uint64_t count() const;
};

// Bounds in bytes: those of both kinds of size histograms of ingress-nginx together, 10, 20 … 100
// and powers of ten up to 10^7. Either kind is read from it.
inline constexpr std::array<uint64_t, 15> kSizeBoundsBytes{
    10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 1000, 10'000, 100'000, 1'000'000, 10'000'000};

struct SizeHistogram {
  std::array<uint64_t, kSizeBoundsBytes.size() + 1> buckets{};  // Not cumulative.
  uint64_t sum_bytes = 0;
  void observe(uint64_t bytes) {
    uint32_t i = bytes > 100 ? 10 : 0;
    while (i < kSizeBoundsBytes.size() && bytes > kSizeBoundsBytes[i]) ++i;
    ++buckets[i];
    sum_bytes += bytes;
  }
};

// Calls of gRPC by their status: codes 0 to 16, and last what had none (the client or the endpoint
// left) or one that is not defined.
inline constexpr size_t kGrpcCodes = 18;
inline constexpr uint8_t kGrpcNone = kGrpcCodes - 1;
using GrpcCounts = std::array<uint64_t, kGrpcCodes>;
std::string_view grpc_code_name(size_t code);  // "OK", …; "none".

// What an exchange knows when it ends.
struct RequestSample {
  uint32_t slot = 0;  // route::Route::metrics_slot
  http::Method method = http::Method::kOther;
  uint16_t status = 0;       // 0: the client left before an answer.
  bool upstream = false;     // An endpoint's response head came: the three durations below hold.
  uint64_t request_ns = 0;   // First byte of the request to the end of the response.
  uint64_t connect_ns = 0;   // The last try: endpoint chosen to connection ready.
  uint64_t header_ns = 0;    // … to the response head.
  uint64_t response_ns = 0;  // … to the end.
  uint64_t request_head_bytes = 0, request_body_bytes = 0;
  uint64_t response_head_bytes = 0, response_body_bytes = 0;
  bool grpc = false;
  uint8_t grpc_code = kGrpcNone;  // Below kGrpcCodes.
};

// Method and status of a cell; `any_method` and a status below 10 (the class) beyond the bounds.
struct CellKey {
  uint16_t status = 0;
  http::Method method = http::Method::kOther;
  bool any_method = false;
  bool operator==(const CellKey&) const = default;
  uint32_t status_class() const { return status < 10 ? status : status / 100; }
};

struct RequestCell {
  CellKey key;
  uint32_t next = 0;  // Index + 1 of the slot's next cell; 0: none.
  Histogram request_duration, connect_duration, header_duration, response_duration;
  SizeHistogram request_size, response_size;  // Heads and bodies.
  uint64_t request_body_bytes = 0, response_body_bytes = 0;

  uint64_t requests() const { return request_duration.count(); }
  void add(const RequestCell& other);
  void subtract(const RequestCell& other);
};

// Of one route, or of several together.
struct RouteStats {
  std::array<uint64_t, 6> by_status_class{};  // [1]..[5]; [0]: ended without a status.
  Histogram request_duration;
  Histogram header_duration;
  uint64_t request_bytes = 0;  // Bodies.
  uint64_t response_bytes = 0;
  uint64_t retries = 0;
  GrpcCounts grpc{};

  uint64_t requests() const;
  void add(const RequestCell& cell);
  void add(const RouteStats& other);
};

class RequestStats {
 public:
  static constexpr uint32_t kCellsPerSlot = 24;
  static constexpr uint32_t kExactCellsMax = 16'384;

  // One request that ended. No allocation but for the first of its kind.
  void record(const RequestSample& sample);
  void add_retry(uint32_t slot) { ++slot_at(slot).retries; }

  size_t slots() const { return slots_.size(); }
  size_t cells() const { return cells_.size(); }
  // Zeros where there was no call.
  const GrpcCounts& grpc(uint32_t slot) const;
  uint64_t retries(uint32_t slot) const { return slot < slots_.size() ? slots_[slot].retries : 0; }
  RouteStats of(uint32_t slot) const;
  template <typename Visit>
  void for_each_cell(uint32_t slot, Visit&& visit) const {
    if (slot >= slots_.size()) return;
    for (uint32_t at = slots_[slot].first; at != 0; at = cells_[at - 1].next) visit(cells_[at - 1]);
  }

  // For a reader: another worker's counts added; the counts of a slot's earlier owners taken away.
  void add(const RequestStats& other);
  void add(uint32_t slot, const RequestCell& cell);
  void add(uint32_t slot, const GrpcCounts& calls);
  void subtract(uint32_t slot, const std::vector<RequestCell>& base, uint64_t retries,
                const GrpcCounts& calls);

 private:
  struct Slot {
    uint32_t first = 0;  // Index + 1 of a cell.
    uint32_t exact = 0;
    uint32_t grpc = 0;  // Index + 1 of its calls; 0: none.
    uint64_t retries = 0;
  };
  Slot& slot_at(uint32_t slot) {
    if (slot >= slots_.size()) slots_.resize(slot + 1);
    return slots_[slot];
  }
  GrpcCounts& grpc_at(Slot& slot);
  RequestCell* find(const Slot& slot, CellKey key);
  RequestCell& make(Slot& slot, CellKey key);

  std::vector<Slot> slots_;
  std::deque<RequestCell> cells_;
  std::deque<GrpcCounts> grpc_;  // Of slots that have seen gRPC.
  uint32_t exact_cells_ = 0;
};

}  // namespace ringway::observe
