#include "dataplane/observe/request_stats.h"

#include <algorithm>

namespace ringway::observe {
namespace {

template <typename Combine>
void combine(Histogram& into, const Histogram& from, Combine&& f) {
  for (size_t i = 0; i < into.buckets.size(); ++i) f(into.buckets[i], from.buckets[i]);
  f(into.sum_ns, from.sum_ns);
}

template <typename Combine>
void combine(SizeHistogram& into, const SizeHistogram& from, Combine&& f) {
  for (size_t i = 0; i < into.buckets.size(); ++i) f(into.buckets[i], from.buckets[i]);
  f(into.sum_bytes, from.sum_bytes);
}

template <typename Combine>
void combine(RequestCell& into, const RequestCell& from, Combine&& f) {
  combine(into.request_duration, from.request_duration, f);
  combine(into.connect_duration, from.connect_duration, f);
  combine(into.header_duration, from.header_duration, f);
  combine(into.response_duration, from.response_duration, f);
  combine(into.request_size, from.request_size, f);
  combine(into.response_size, from.response_size, f);
  f(into.request_body_bytes, from.request_body_bytes);
  f(into.response_body_bytes, from.response_body_bytes);
}

constexpr auto kPlus = [](uint64_t& a, uint64_t b) { a += b; };
// Never below zero: the counts of a worker that has ended are missing in the last looks.
constexpr auto kMinus = [](uint64_t& a, uint64_t b) { a -= std::min(a, b); };

}  // namespace

std::string_view grpc_code_name(size_t code) {
  // google.rpc.Code
  static constexpr std::array<std::string_view, kGrpcCodes> kNames{"OK",
                                                                   "CANCELLED",
                                                                   "UNKNOWN",
                                                                   "INVALID_ARGUMENT",
                                                                   "DEADLINE_EXCEEDED",
                                                                   "NOT_FOUND",
                                                                   "ALREADY_EXISTS",
                                                                   "PERMISSION_DENIED",
                                                                   "RESOURCE_EXHAUSTED",
                                                                   "FAILED_PRECONDITION",
                                                                   "ABORTED",
                                                                   "OUT_OF_RANGE",
                                                                   "UNIMPLEMENTED",
                                                                   "INTERNAL",
                                                                   "UNAVAILABLE",
                                                                   "DATA_LOSS",
                                                                   "UNAUTHENTICATED",
                                                                   "none"};
  return kNames[code];
}

uint64_t Histogram::count() const {
  uint64_t sum = 0;
  for (const uint64_t bucket : buckets) sum += bucket;
  return sum;
}

void RequestCell::add(const RequestCell& other) { combine(*this, other, kPlus); }
void RequestCell::subtract(const RequestCell& other) { combine(*this, other, kMinus); }

uint64_t RouteStats::requests() const {
  uint64_t sum = 0;
  for (const uint64_t count : by_status_class) sum += count;
  return sum;
}

void RouteStats::add(const RequestCell& cell) {
  const uint32_t status_class = cell.key.status_class();
  by_status_class[status_class < by_status_class.size() ? status_class : 0] += cell.requests();
  combine(request_duration, cell.request_duration, kPlus);
  combine(header_duration, cell.header_duration, kPlus);
  request_bytes += cell.request_body_bytes;
  response_bytes += cell.response_body_bytes;
}

void RouteStats::add(const RouteStats& other) {
  for (size_t i = 0; i < by_status_class.size(); ++i)
    by_status_class[i] += other.by_status_class[i];
  combine(request_duration, other.request_duration, kPlus);
  combine(header_duration, other.header_duration, kPlus);
  request_bytes += other.request_bytes;
  response_bytes += other.response_bytes;
  retries += other.retries;
  for (size_t code = 0; code < grpc.size(); ++code) grpc[code] += other.grpc[code];
}

RequestCell* RequestStats::find(const Slot& slot, CellKey key) {
  for (uint32_t at = slot.first; at != 0;) {
    RequestCell& cell = cells_[at - 1];
    if (cell.key == key) return &cell;
    at = cell.next;
  }
  return nullptr;
}

RequestCell& RequestStats::make(Slot& slot, CellKey key) {
  RequestCell& cell = cells_.emplace_back();
  cell.key = key;
  cell.next = slot.first;
  slot.first = static_cast<uint32_t>(cells_.size());
  if (!key.any_method) {
    ++slot.exact;
    ++exact_cells_;
  }
  return cell;
}

void RequestStats::record(const RequestSample& sample) {
  Slot& slot = slot_at(sample.slot);
  RequestCell* cell = find(slot, {sample.status, sample.method});
  if (cell == nullptr) {
    if (slot.exact < kCellsPerSlot && exact_cells_ < kExactCellsMax) {
      cell = &make(slot, {sample.status, sample.method});
    } else {
      const uint32_t status_class = sample.status / 100;
      const CellKey key{static_cast<uint16_t>(status_class < 6 ? status_class : 0),
                        http::Method::kOther, true};
      cell = find(slot, key);
      if (cell == nullptr) cell = &make(slot, key);
    }
  }
  cell->request_duration.observe(sample.request_ns);
  if (sample.upstream) {
    cell->connect_duration.observe(sample.connect_ns);
    cell->header_duration.observe(sample.header_ns);
    cell->response_duration.observe(sample.response_ns);
  }
  cell->request_size.observe(sample.request_head_bytes + sample.request_body_bytes);
  cell->response_size.observe(sample.response_head_bytes + sample.response_body_bytes);
  cell->request_body_bytes += sample.request_body_bytes;
  cell->response_body_bytes += sample.response_body_bytes;
  if (sample.grpc) ++grpc_at(slot)[sample.grpc_code];
}

GrpcCounts& RequestStats::grpc_at(Slot& slot) {
  if (slot.grpc == 0) {
    grpc_.emplace_back();
    slot.grpc = static_cast<uint32_t>(grpc_.size());
  }
  return grpc_[slot.grpc - 1];
}

const GrpcCounts& RequestStats::grpc(uint32_t slot) const {
  static constexpr GrpcCounts kNone{};
  return slot >= slots_.size() || slots_[slot].grpc == 0 ? kNone : grpc_[slots_[slot].grpc - 1];
}

void RequestStats::add(uint32_t slot, const GrpcCounts& calls) {
  GrpcCounts& mine = grpc_at(slot_at(slot));
  for (size_t code = 0; code < kGrpcCodes; ++code) mine[code] += calls[code];
}

RouteStats RequestStats::of(uint32_t slot) const {
  RouteStats sum;
  for_each_cell(slot, [&](const RequestCell& cell) { sum.add(cell); });
  sum.retries = retries(slot);
  sum.grpc = grpc(slot);
  return sum;
}

void RequestStats::add(const RequestStats& other) {
  for (uint32_t slot = 0; slot < other.slots_.size(); ++slot) {
    slot_at(slot).retries += other.slots_[slot].retries;
    if (other.slots_[slot].grpc != 0) add(slot, other.grpc(slot));
    other.for_each_cell(slot, [&](const RequestCell& cell) { add(slot, cell); });
  }
}

void RequestStats::add(uint32_t slot, const RequestCell& cell) {
  RequestCell* mine = find(slot_at(slot), cell.key);
  if (mine == nullptr) mine = &make(slot_at(slot), cell.key);
  mine->add(cell);
}

void RequestStats::subtract(uint32_t slot, const std::vector<RequestCell>& base, uint64_t retries,
                            const GrpcCounts& calls) {
  Slot& mine = slot_at(slot);
  if (mine.grpc != 0) {
    for (size_t code = 0; code < kGrpcCodes; ++code)
      kMinus(grpc_[mine.grpc - 1][code], calls[code]);
  }
  mine.retries -= std::min(mine.retries, retries);
  for (const RequestCell& cell : base) {
    if (RequestCell* found = find(mine, cell.key); found != nullptr) found->subtract(cell);
  }
}

}  // namespace ringway::observe
