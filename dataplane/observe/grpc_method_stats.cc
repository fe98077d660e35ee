#include "dataplane/observe/grpc_method_stats.h"

#include <algorithm>
#include <functional>

#include "base/check.h"

namespace ringway::observe {
namespace {

// Statuses that say nothing about whether the method exists (google.rpc.Code): UNIMPLEMENTED it
// does not; PERMISSION_DENIED and UNAUTHENTICATED come from whoever asks for a login first, and
// UNAVAILABLE from a sidecar whose service is away, for whatever name a client made up.
bool gate_status(uint8_t code) {
  constexpr uint8_t kPermissionDenied = 7, kUnimplemented = 12, kUnavailable = 14,
                    kUnauthenticated = 16;
  return code == kPermissionDenied || code == kUnimplemented || code == kUnavailable ||
         code == kUnauthenticated || code == kGrpcNone;
}

bool is_name(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.';
  });
}

// Bytes of the service in "/service/method" (Path of gRPC over HTTP2); 0: not of that form, or the
// pair whose labels are those of other().
size_t service_bytes_of(std::string_view path) {
  if (path.size() > kGrpcMethodPathBytesMax || !path.starts_with('/')) return 0;
  const size_t slash = path.find('/', 1);
  if (slash == std::string_view::npos) return 0;
  const std::string_view service = path.substr(1, slash - 1), method = path.substr(slash + 1);
  if (!is_name(service) || !is_name(method)) return 0;
  return service == kGrpcOther && method == kGrpcOther ? 0 : service.size();
}

uint64_t hash_of(std::string_view path) { return std::hash<std::string_view>()(path); }

}  // namespace

void GrpcMethodCounts::add(const GrpcMethodCounts& more) {
  for (size_t code = 0; code < kGrpcCodes; ++code) calls[code] += more.calls[code];
  for (size_t i = 0; i < duration.buckets.size(); ++i)
    duration.buckets[i] += more.duration.buckets[i];
  duration.sum_ns += more.duration.sum_ns;
}

void GrpcMethodStats::record(std::string_view path, uint8_t code, bool by_endpoint,
                             uint64_t duration_ns) {
  CHECK(on() && code < kGrpcCodes);
  GrpcMethodCounts* counts = &other_;
  if (path.size() <= kGrpcMethodPathBytesMax) {
    const uint64_t hash = hash_of(path);
    Row* row = find(path, hash);
    if (row == nullptr && by_endpoint && !gate_status(code) && rows_.size() < pairs_max_) {
      if (const size_t bytes = service_bytes_of(path); bytes != 0) row = &make(path, hash, bytes);
    }
    if (row != nullptr) counts = &row->counts;
  }
  ++counts->calls[code];
  counts->duration.observe(duration_ns);
}

GrpcMethod GrpcMethodStats::at(size_t row) const {
  const Row& at = rows_[row];
  const std::string_view path = path_of(at);
  return {path.substr(1, at.service_bytes), path.substr(at.service_bytes + 2u), at.counts};
}

// Names that collide make this a walk over what collides: at most the rows, which endpoints made.
GrpcMethodStats::Row* GrpcMethodStats::find(std::string_view path, uint64_t hash) {
  if (index_.empty()) return nullptr;
  for (size_t at = hash & (index_.size() - 1); index_[at] != 0;
       at = (at + 1) & (index_.size() - 1)) {
    Row& row = rows_[index_[at] - 1];
    if (row.hash == hash && path_of(row) == path) return &row;
  }
  return nullptr;
}

void GrpcMethodStats::index(uint32_t row) {
  size_t at = rows_[row].hash & (index_.size() - 1);
  while (index_[at] != 0) at = (at + 1) & (index_.size() - 1);
  index_[at] = row + 1;
}

GrpcMethodStats::Row& GrpcMethodStats::make(std::string_view path, uint64_t hash,
                                            size_t service_bytes) {
  Row& row = rows_.emplace_back();
  row.hash = hash;
  row.path_at = static_cast<uint32_t>(paths_.size());
  row.path_bytes = static_cast<uint16_t>(path.size());
  row.service_bytes = static_cast<uint16_t>(service_bytes);
  paths_.append(path);
  const auto made = static_cast<uint32_t>(rows_.size() - 1);
  if (rows_.size() * 2 <= index_.size()) {
    index(made);
  } else {
    index_.assign(std::max<size_t>(16, index_.size() * 2), 0);
    for (uint32_t i = 0; i <= made; ++i) index(i);
  }
  return row;
}

void GrpcMethodStats::add(const GrpcMethodStats& worker) {
  for (const Row& row : worker.rows_) {
    const std::string_view path = worker.path_of(row);
    Row* mine = find(path, row.hash);
    if (mine == nullptr) mine = &make(path, row.hash, row.service_bytes);
    mine->counts.add(row.counts);
  }
  other_.add(worker.other_);
}

void GrpcMethodStats::take(const GrpcMethodStats& sum) {
  for (Row& row : rows_) row.counts = {};
  other_ = sum.other_;
  for (const Row& row : sum.rows_) {
    const std::string_view path = sum.path_of(row);
    Row* mine = find(path, row.hash);
    if (mine == nullptr && rows_.size() < pairs_max_)
      mine = &make(path, row.hash, row.service_bytes);
    (mine == nullptr ? other_ : mine->counts).add(row.counts);
  }
}

}  // namespace ringway::observe
