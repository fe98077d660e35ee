#include "dataplane/observe/route_series.h"

#include <algorithm>

namespace ringway::observe {
namespace {

template <typename Combine>
void combine(Histogram& into, const Histogram& from, Combine&& f) {
  for (size_t i = 0; i < into.buckets.size(); ++i) f(into.buckets[i], from.buckets[i]);
  f(into.sum_ns, from.sum_ns);
}

template <typename Combine>
void combine(RouteStats& into, const RouteStats& from, Combine&& f) {
  for (size_t i = 0; i < into.by_status_class.size(); ++i)
    f(into.by_status_class[i], from.by_status_class[i]);
  combine(into.request_duration, from.request_duration, f);
  combine(into.upstream_duration, from.upstream_duration, f);
  f(into.request_bytes, from.request_bytes);
  f(into.response_bytes, from.response_bytes);
  f(into.retries, from.retries);
}

}  // namespace

void add_stats(RouteStats& into, const RouteStats& from) {
  combine(into, from, [](uint64_t& a, uint64_t b) { a += b; });
}

void subtract_stats(RouteStats& from, const RouteStats& base) {
  combine(from, base, [](uint64_t& a, uint64_t b) { a -= b; });
}

uint64_t requests_of(const RouteStats& stats) {
  uint64_t sum = 0;
  for (const uint64_t count : stats.by_status_class) sum += count;
  return sum;
}

void RouteSeries::update(std::span<const RouteLabels> labels, std::span<const RouteStats> sums) {
  slots_.resize(std::max({slots_.size(), labels.size(), sums.size(), size_t{1}}));
  for (size_t i = 0; i < slots_.size(); ++i) {
    Slot& slot = slots_[i];
    if (i < sums.size()) slot.sum = sums[i];
    const RouteLabels now = i == 0              ? RouteLabels{"", kNoRouteLabel, ""}
                            : i < labels.size() ? labels[i]
                                                : RouteLabels{};
    if (slot.labels == now) continue;
    // A slot without an owner had one before: requests that ended since belong to that. A slot that
    // never had an owner was used before the first look at it.
    if (slot.had_owner) {
      RouteStats gone = slot.sum;
      subtract_stats(gone, slot.base);
      add_stats(removed_, gone);
      slot.base = slot.sum;
    }
    slot.labels = now;
    slot.had_owner = true;
  }
}

std::vector<RouteSeries::Series> RouteSeries::series() const {
  std::vector<Series> result;
  RouteStats removed = removed_;
  for (const Slot& slot : slots_) {
    RouteStats stats = slot.sum;
    subtract_stats(stats, slot.base);
    if (requests_of(stats) == 0) continue;
    if (slot.labels.empty()) {
      add_stats(removed, stats);
    } else {
      result.push_back({slot.labels, stats});
    }
  }
  if (requests_of(removed) > 0) result.push_back({{"", kRemovedLabel, ""}, removed});
  return result;
}

}  // namespace ringway::observe
