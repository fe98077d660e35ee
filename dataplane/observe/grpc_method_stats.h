// Calls of gRPC by service and method (--grpc-method-metrics). Off, it costs a branch a call.
//
// The names are the client's words, so they are believed late and never beyond a bound: a pair has
// a row only once an endpoint has shown that it knows the method, by a status that what stands in
// front of services does not give for names that it has never heard of (gate_status() in the .cc).
// Until then, beyond the bound, and for names that are too long or not made of [A-Za-z0-9_.], calls
// count in other().
//
// Thread rule: a plain value; a worker's is written by it alone and copied for a scrape.
// Invariants: (1) record() makes at most pairs_max rows, take() too; (2) a row never goes and keeps
// its place; (3) every call that is recorded counts in one row or in other(); (4) record()
// allocates only when it makes a row.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/observe/request_stats.h"

namespace ringway::observe {

inline constexpr uint32_t kGrpcMethodsMax = 10'000;      // Of --grpc-method-metrics.
inline constexpr size_t kGrpcMethodPathBytesMax = 256;   // "/service/method".
inline constexpr std::string_view kGrpcOther = "other";  // Service and method of other().

struct GrpcMethodCounts {
  GrpcCounts calls{};
  Histogram duration;  // First byte of the request to the end of the response.
  void add(const GrpcMethodCounts& more);
};

struct GrpcMethod {
  std::string_view service, method;  // Until the next change of the table.
  const GrpcMethodCounts& counts;
};

class GrpcMethodStats {
 public:
  // How many rows record() and take() may make. 0, as it begins: off.
  void set_limit(uint32_t pairs_max) { pairs_max_ = pairs_max; }
  bool on() const { return pairs_max_ != 0; }

  // One call that ended. `path`: of the request as endpoints got it. `code`: below kGrpcCodes;
  // `by_endpoint`: an endpoint gave it, not we. REQUIRES: on().
  void record(std::string_view path, uint8_t code, bool by_endpoint, uint64_t duration_ns);

  size_t size() const { return rows_.size(); }
  GrpcMethod at(size_t row) const;  // In the order in which they came.
  const GrpcMethodCounts& other() const { return other_; }

  // For a reader. Another worker's calls added, with all of its rows: the sum of workers that have
  // met different methods is not bounded by the limit of each.
  void add(const GrpcMethodStats& worker);
  // Counts become those of `sum`. Rows of before stay, new ones come while there is room, and the
  // rest counts in other(): called at each scrape, counts never go back and rows stay bounded.
  void take(const GrpcMethodStats& sum);

 private:
  struct Row {
    uint64_t hash = 0;
    uint32_t path_at = 0;  // In paths_.
    uint16_t path_bytes = 0;
    uint16_t service_bytes = 0;
    GrpcMethodCounts counts;
  };
  std::string_view path_of(const Row& row) const {
    return std::string_view(paths_).substr(row.path_at, row.path_bytes);
  }
  Row* find(std::string_view path, uint64_t hash);
  Row& make(std::string_view path, uint64_t hash, size_t service_bytes);
  void index(uint32_t row);

  std::vector<Row> rows_;
  std::vector<uint32_t> index_;  // Open addressing: row + 1, 0: free. A power of two, half full.
  std::string paths_;            // Of all rows, end to end.
  GrpcMethodCounts other_;
  uint32_t pairs_max_ = 0;
};

}  // namespace ringway::observe
