#include "dataplane/observe/grpc_method_text.h"

#include "dataplane/observe/series_text.h"

namespace ringway::observe {
namespace {

constexpr size_t kPieceBytes = 64 * 1024;
constexpr size_t kFamilies = 2;

constexpr std::string_view kCalls = "ringway_grpc_method_calls_total";
constexpr std::string_view kDuration = "ringway_grpc_method_duration_seconds";

void begin(std::string& out, size_t family) {
  SeriesText text(out);
  if (family == 0)
    return text.counter(kCalls,
                        "Calls of gRPC that ended, by service, method and status; other: methods "
                        "that no endpoint has shown to know, and those beyond the limit.");
  text.histogram(kDuration, "From the first byte of a call to the end of its response.");
}

}  // namespace

// The series of one row in the family where it stands.
void GrpcMethodText::write(std::string& out) {
  const GrpcMethod row =
      row_ < stats_.size() ? stats_.at(row_) : GrpcMethod{kGrpcOther, kGrpcOther, stats_.other()};
  const std::string labels =
      label_text({{"grpc_service", row.service}, {"grpc_method", row.method}});
  SeriesText text(out);
  text.resume(family_ == 0 ? kCalls : kDuration);
  if (family_ == 1) {
    if (row.counts.duration.count() > 0) text.add(labels, row.counts.duration);
    return;
  }
  for (size_t code = 0; code < kGrpcCodes; ++code) {
    if (row.counts.calls[code] == 0) continue;
    text.add(labels, label_text({{"code", grpc_code_name(code)}}), row.counts.calls[code]);
  }
}

bool GrpcMethodText::next(std::string& out) {
  if (stats_.size() == 0 && stats_.other().duration.count() == 0) return false;
  const size_t full = out.size() + kPieceBytes;
  for (; family_ < kFamilies; ++family_, row_ = 0) {
    for (; row_ <= stats_.size(); ++row_) {
      if (out.size() >= full) return true;
      if (row_ == 0) begin(out, family_);
      write(out);
    }
  }
  return false;
}

}  // namespace ringway::observe
