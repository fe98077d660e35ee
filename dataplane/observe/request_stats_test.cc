#include "dataplane/observe/request_stats.h"

#include <gtest/gtest.h>

#include "dataplane/observe/request_series.h"

namespace ringway::observe {
namespace {

RequestSample sample_of(uint32_t slot, uint16_t status, http::Method method = http::Method::kGet) {
  return {.slot = slot, .method = method, .status = status};
}

TEST(RequestStatsTest, ACellForEachKindOfAnswer) {
  RequestStats stats;
  stats.record(sample_of(3, 200));
  stats.record(sample_of(3, 200));
  stats.record(sample_of(3, 200, http::Method::kPost));
  stats.record(sample_of(3, 503));
  stats.record(sample_of(1, 200));
  stats.add_retry(3);
  EXPECT_EQ(stats.cells(), 4u);
  EXPECT_EQ(stats.of(3).by_status_class[2], 3u);
  EXPECT_EQ(stats.of(3).by_status_class[5], 1u);
  EXPECT_EQ(stats.of(3).retries, 1u);
  EXPECT_EQ(stats.of(1).requests(), 1u);
  EXPECT_EQ(stats.of(0).requests(), 0u);
  EXPECT_EQ(stats.of(99).requests(), 0u);
}

// An endpoint that answers with every status there is costs its route a bounded number of cells.
TEST(RequestStatsTest, BeyondTheBoundOfASlotClassesAreCounted) {
  RequestStats stats;
  for (uint16_t status = 200; status < 600; ++status) stats.record(sample_of(1, status));
  EXPECT_LE(stats.cells(), RequestStats::kCellsPerSlot + 6u);
  for (const size_t status_class : {2, 3, 4, 5})
    EXPECT_EQ(stats.of(1).by_status_class[status_class], 100u);
  uint64_t coarse = 0;
  stats.for_each_cell(1, [&](const RequestCell& cell) {
    if (cell.key.any_method) coarse += cell.requests();
  });
  EXPECT_EQ(coarse, 400u - RequestStats::kCellsPerSlot);
  // What had its cell keeps it.
  stats.record(sample_of(1, 200));
  EXPECT_EQ(stats.of(1).by_status_class[2], 101u);
}

TEST(RequestStatsTest, BeyondTheBoundOfAllOtherSlotsCountInClasses) {
  RequestStats stats;
  for (uint32_t slot = 1; slot <= RequestStats::kExactCellsMax; ++slot)
    stats.record(sample_of(slot, 200));
  const uint32_t late = RequestStats::kExactCellsMax + 1;
  stats.record(sample_of(late, 200));
  stats.record(sample_of(late, 404));
  stats.record(sample_of(late, 499));
  EXPECT_EQ(stats.cells(), RequestStats::kExactCellsMax + 2);
  EXPECT_EQ(stats.of(late).by_status_class[2], 1u);
  EXPECT_EQ(stats.of(late).by_status_class[4], 2u);
}

TEST(RequestStatsTest, SumsOfWorkers) {
  RequestStats one, other;
  one.record(sample_of(1, 200));
  other.record(sample_of(1, 200));
  other.record(sample_of(2, 404));
  other.add_retry(2);
  RequestStats sum;
  sum.add(one);
  sum.add(other);
  EXPECT_EQ(sum.of(1).by_status_class[2], 2u);
  EXPECT_EQ(sum.of(2).by_status_class[4], 1u);
  EXPECT_EQ(sum.of(2).retries, 1u);
  EXPECT_EQ(sum.cells(), 2u);
}

TEST(RequestStatsTest, NothingIsAllocatedForAKindThatIsKnown) {
  RequestStats stats;
  stats.record(sample_of(7, 200));
  const RequestCell* cell = nullptr;
  stats.for_each_cell(7, [&](const RequestCell& found) { cell = &found; });
  for (int i = 0; i < 1000; ++i) stats.record(sample_of(7, 200));
  EXPECT_EQ(stats.cells(), 1u);
  EXPECT_EQ(cell->requests(), 1001u);  // It did not move.
}

TEST(RequestStatsTest, CallsOfGrpcByTheirStatus) {
  RequestStats one, other, sum;
  RequestSample call = sample_of(1, 200, http::Method::kPost);
  one.record(call);  // No call.
  EXPECT_EQ(one.grpc(1), GrpcCounts{});
  call.grpc = true;
  call.grpc_code = 0;
  one.record(call);
  other.record(call);
  call.grpc_code = 14;
  other.record(call);
  call.grpc_code = kGrpcNone;
  other.record(call);
  sum.add(one);
  sum.add(other);
  EXPECT_EQ(sum.grpc(1)[0], 2u);
  EXPECT_EQ(sum.of(1).grpc[14], 1u);
  EXPECT_EQ(sum.of(1).grpc[kGrpcNone], 1u);
  EXPECT_EQ(sum.grpc(0), GrpcCounts{});
  EXPECT_EQ(sum.grpc(9), GrpcCounts{});
  EXPECT_EQ(grpc_code_name(14), "UNAVAILABLE");
  EXPECT_EQ(grpc_code_name(kGrpcNone), "none");
}

class RequestSeriesTest : public testing::Test {
 protected:
  void count(uint32_t slot, uint64_t times) {
    for (uint64_t i = 0; i < times; ++i) stats_.record(sample_of(slot, 200));
  }
  RequestView look() { return series_.update(slots_.held(), stats_); }
  static uint64_t requests(const RequestView& view, uint32_t slot) {
    return view.stats.of(slot).requests();
  }
  config::MetricsSlots slots_;
  RequestStats stats_;
  RequestSeries series_;
};

TEST_F(RequestSeriesTest, ARemovedRoutesCountsFoldIntoATotalAndItsSeriesEnds) {
  SlotLease x = slots_.take({"a", "x", "s", "h", "/"});
  const SlotLease y = slots_.take({"a", "y", "s", "h", "/"});
  const uint32_t slot = x->slot;
  count(slot, 5);
  count(y->slot, 7);
  count(0, 1);
  EXPECT_EQ(requests(look(), slot), 5u);
  x.reset();
  count(slot, 1);
  RequestView view = look();
  EXPECT_EQ(view.owners[slot], nullptr);
  EXPECT_EQ(view.removed.requests(), 6u);
  // Requests that end late still count in the total, and it never goes back.
  count(slot, 2);
  EXPECT_EQ(look().removed.requests(), 8u);
  // The slot goes to another route, which begins at zero.
  const SlotLease z = slots_.take({"b", "z", "s", "h", "/"});
  ASSERT_EQ(z->slot, slot);
  EXPECT_EQ(requests(look(), slot), 0u);
  count(slot, 3);
  view = look();
  EXPECT_EQ(requests(view, slot), 3u);
  EXPECT_EQ(view.removed.requests(), 8u);
  EXPECT_EQ(requests(view, y->slot), 7u);
  EXPECT_EQ(requests(view, 0), 1u);
}

TEST_F(RequestSeriesTest, ASlotChangesOwnersManyTimes) {
  uint64_t total = 0;
  for (int round = 1; round <= 5; ++round) {
    const SlotLease lease = slots_.take({"a", "x" + std::to_string(round), "s", "h", "/"});
    EXPECT_EQ(requests(look(), lease->slot), 0u);
    count(lease->slot, static_cast<uint64_t>(round));
    stats_.add_retry(lease->slot);
    const RequestView view = look();
    EXPECT_EQ(requests(view, lease->slot), static_cast<uint64_t>(round));
    EXPECT_EQ(view.stats.retries(lease->slot), 1u);
    EXPECT_EQ(view.removed.requests(), total);
    total += static_cast<uint64_t>(round);
  }
  EXPECT_EQ(look().removed.retries, 5u);
}

TEST_F(RequestSeriesTest, CallsOfGrpcFoldLikeRequests) {
  RequestSample call = sample_of(0, 200, http::Method::kPost);
  call.grpc = true;
  call.grpc_code = 5;
  for (uint64_t round = 1; round <= 3; ++round) {
    const SlotLease lease = slots_.take({"a", "x" + std::to_string(round), "s", "h", "/"});
    EXPECT_EQ(look().stats.grpc(lease->slot)[5], 0u);
    call.slot = lease->slot;
    for (uint64_t i = 0; i < round; ++i) stats_.record(call);
    EXPECT_EQ(look().stats.grpc(lease->slot)[5], round);
  }
  EXPECT_EQ(look().removed.grpc[5], 6u);
}

TEST_F(RequestSeriesTest, CountsBeforeTheFirstLookBelongToTheOwner) {
  const SlotLease lease = slots_.take({"a", "x", "s", "h", "/"});
  count(lease->slot, 4);
  EXPECT_EQ(requests(look(), lease->slot), 4u);
}

// While the process ends, the counts of workers that are gone are missing.
TEST_F(RequestSeriesTest, FewerCountsThanBefore) {
  SlotLease lease = slots_.take({"a", "x", "s", "h", "/"});
  const uint32_t slot = lease->slot;
  count(slot, 4);
  look();
  lease = slots_.take({"a", "y", "s", "h", "/"});
  lease.reset();
  stats_ = RequestStats();
  EXPECT_EQ(requests(look(), slot), 0u);
}

}  // namespace
}  // namespace ringway::observe
