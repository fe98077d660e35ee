// The families of calls by service and method, written in pieces: 10,000 of them are 20 MB of text.
//
// Thread rule: the control thread's. Names hold no character that text would have to escape, but
// are escaped like all.
#pragma once

#include <cstddef>
#include <string>

#include "dataplane/observe/grpc_method_stats.h"

namespace ringway::observe {

class GrpcMethodText {
 public:
  // Without any call there is no series.
  explicit GrpcMethodText(GrpcMethodStats stats) : stats_(std::move(stats)) {}
  // Appends the next piece, some 64 KiB. False: that was the last.
  bool next(std::string& out);

 private:
  void write(std::string& out);

  GrpcMethodStats stats_;
  size_t family_ = 0;  // Where it stands.
  size_t row_ = 0;     // The last is other().
};

}  // namespace ringway::observe
