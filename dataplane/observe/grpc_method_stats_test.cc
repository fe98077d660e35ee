#include "dataplane/observe/grpc_method_stats.h"

#include <gtest/gtest.h>

#include <random>

namespace ringway::observe {
namespace {

GrpcMethodStats limited(uint32_t pairs_max) {
  GrpcMethodStats stats;
  stats.set_limit(pairs_max);
  return stats;
}

uint64_t calls(const GrpcMethodCounts& counts) {
  uint64_t sum = 0;
  for (const uint64_t count : counts.calls) sum += count;
  EXPECT_EQ(sum, counts.duration.count());
  return sum;
}

uint64_t calls_of(const GrpcMethodStats& stats, std::string_view service, std::string_view method) {
  for (size_t row = 0; row < stats.size(); ++row) {
    const GrpcMethod at = stats.at(row);
    if (at.service == service && at.method == method) return calls(at.counts);
  }
  return 0;
}

uint64_t all_calls(const GrpcMethodStats& stats) {
  uint64_t sum = calls(stats.other());
  for (size_t row = 0; row < stats.size(); ++row) sum += calls(stats.at(row).counts);
  return sum;
}

TEST(GrpcMethodStatsTest, OnlyAnEndpointThatKnowsTheMethodMakesARow) {
  for (uint8_t code = 0; code < kGrpcCodes; ++code) {
    const bool tells = code != 7 && code != 12 && code != 14 && code != 16 && code != kGrpcNone;
    GrpcMethodStats stats = limited(10);
    stats.record("/a.B/C", code, false, 1);
    EXPECT_EQ(stats.size(), 0u) << int{code};
    stats.record("/a.B/C", code, true, 1);
    EXPECT_EQ(stats.size(), tells ? 1u : 0u) << int{code};
    EXPECT_EQ(stats.other().calls[code], tells ? 1u : 2u) << int{code};
  }
  // Once it is known, whatever ends a call is counted there.
  GrpcMethodStats stats = limited(10);
  stats.record("/a.B/C", 0, true, 1);
  for (const uint8_t code : {uint8_t{12}, uint8_t{14}, kGrpcNone})
    stats.record("/a.B/C", code, false, 1);
  EXPECT_EQ(calls_of(stats, "a.B", "C"), 4u);
  EXPECT_EQ(calls(stats.other()), 0u);
}

TEST(GrpcMethodStatsTest, NamesAreBoundedAndPlain) {
  const std::string most = "/" + std::string(kGrpcMethodPathBytesMax - 3, 's') + "/m";
  const std::string bad[] = {"",         "/",           "//",          "/a",
                             "/a/",      "//b",         "a/b",         "/a/b/",
                             "/a/b/c",   "/a b/c",      "/a/b?c",      "/a/b%41",
                             "/a\"/b",   "/a\n/b",      "/\xc3\xa4/b", std::string("/a\0/b", 5),
                             most + "m", "/other/other"};
  GrpcMethodStats stats = limited(100);
  for (const std::string& path : bad) {
    stats.record(path, 0, true, 1);
    EXPECT_EQ(stats.size(), 0u) << path;
  }
  EXPECT_EQ(calls(stats.other()), std::size(bad));
  stats.record(most, 0, true, 1);
  stats.record("/grpc.health.v1.Health/Check_2", 0, true, 1);
  ASSERT_EQ(stats.size(), 2u);
  EXPECT_EQ(stats.at(0).service.size(), kGrpcMethodPathBytesMax - 3);
  EXPECT_EQ(stats.at(0).method, "m");
  EXPECT_EQ(stats.at(1).service, "grpc.health.v1.Health");
  EXPECT_EQ(stats.at(1).method, "Check_2");
}

TEST(GrpcMethodStatsTest, BeyondTheLimitCallsCountAsOther) {
  GrpcMethodStats stats = limited(kGrpcMethodsMax);
  for (int round = 0; round < 2; ++round) {
    for (uint32_t i = 0; i < kGrpcMethodsMax + 50; ++i)
      stats.record("/s" + std::to_string(i % 7) + "/m" + std::to_string(i), 0, true, 1);
  }
  EXPECT_EQ(stats.size(), kGrpcMethodsMax);
  EXPECT_EQ(calls(stats.other()), 100u);
  for (const uint32_t i : {0u, 1u, 4711u, kGrpcMethodsMax - 1}) {
    EXPECT_EQ(calls_of(stats, "s" + std::to_string(i % 7), "m" + std::to_string(i)), 2u) << i;
  }
}

TEST(GrpcMethodStatsTest, SumsOfWorkers) {
  GrpcMethodStats one = limited(2), two = limited(2), sum;
  one.record("/a/A", 0, true, 1);
  one.record("/a/B", 0, true, 1);
  one.record("/a/C", 0, true, 1);  // In other.
  two.record("/a/C", 0, true, 1);
  two.record("/a/A", 5, true, 1);
  sum.add(one);
  sum.add(two);
  EXPECT_EQ(sum.size(), 3u);
  EXPECT_EQ(calls_of(sum, "a", "A"), 2u);
  EXPECT_EQ(calls_of(sum, "a", "C"), 1u);
  EXPECT_EQ(calls(sum.other()), 1u);
}

// Whatever workers meet, and in whatever order they report: as many series as are allowed, each of
// which grows, and no call that is lost.
TEST(GrpcMethodStatsTest, SeriesOfScrapesStayBoundedAndNeverGoBack) {
  std::mt19937_64 random(1);
  std::vector<GrpcMethodStats> workers(3, limited(20));
  GrpcMethodStats series = limited(20);
  std::vector<std::pair<std::string, uint64_t>> before;
  uint64_t recorded = 0, other = 0;
  for (int scrape = 0; scrape < 50; ++scrape) {
    for (int i = 0; i < 40; ++i, ++recorded) {
      workers[random() % 3].record("/s/m" + std::to_string(random() % 60), 0, true, 1);
    }
    GrpcMethodStats sum;
    const size_t first = random() % 3;
    for (size_t i = 0; i < 3; ++i) sum.add(workers[(first + i) % 3]);
    series.take(sum);
    ASSERT_LE(series.size(), 20u);
    ASSERT_EQ(all_calls(series), recorded);
    ASSERT_GE(calls(series.other()), other);
    other = calls(series.other());
    for (size_t row = 0; row < series.size(); ++row) {
      const GrpcMethod at = series.at(row);
      if (row == before.size()) before.emplace_back(at.method, 0);
      ASSERT_EQ(before[row].first, at.method);
      ASSERT_GE(calls(at.counts), before[row].second);
      before[row].second = calls(at.counts);
    }
  }
  EXPECT_EQ(series.size(), 20u);
  EXPECT_GT(other, 0u);
}

TEST(GrpcMethodStatsTest, ACopyIsWhole) {
  GrpcMethodStats stats = limited(10);
  stats.record("/a/A", 0, true, 1);
  GrpcMethodStats copy = stats;
  stats.record("/a/B", 0, true, 1);
  copy.record("/a/A", 0, true, 1);
  EXPECT_EQ(copy.size(), 1u);
  EXPECT_EQ(calls_of(copy, "a", "A"), 2u);
  EXPECT_EQ(calls_of(stats, "a", "A"), 1u);
}

}  // namespace
}  // namespace ringway::observe
