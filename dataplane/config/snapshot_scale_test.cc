// Cost of a large configuration. Prints its measurements; the limits asserted are loose, for loaded
// machines and sanitizers.
#include <gtest/gtest.h>
#include <malloc.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>

#include "dataplane/config/snapshot_builder.h"
#include "dataplane/config/test_resources.h"

namespace ringway::config {
namespace {

constexpr int kHosts = 10'000;
constexpr int kEndpointsEach = 3;

size_t heap_bytes() {
  const struct mallinfo2 heap = mallinfo2();
  return heap.uordblks + heap.hblkhd;
}

size_t resident_bytes() {
  size_t pages = 0;
  size_t resident = 0;
  std::ifstream("/proc/self/statm") >> pages >> resident;
  return resident * 4096;
}

std::string cluster_name(int i) {
  return "team-" + std::to_string(i % 50) + "/service-" + std::to_string(i) + ":http";
}

v1::Resource endpoints_of(int i, int shift) {
  std::vector<std::string> addresses;
  for (int j = 0; j < kEndpointsEach; ++j) {
    const int number = i * kEndpointsEach + j + shift;
    addresses.push_back("10." + std::to_string(number >> 16) + "." +
                        std::to_string(number >> 8 & 255) + "." + std::to_string(number & 255));
  }
  return testing_resources::endpoints(cluster_name(i), addresses);
}

std::vector<v1::Resource> whole() {
  std::vector<v1::Resource> out{testing_resources::listener("http", "0.0.0.0:80")};
  for (int i = 0; i < kHosts; ++i) {
    v1::Resource table = testing_resources::table(
        "shop-" + std::to_string(i) + ".customers.example.com", {{"/", cluster_name(i)}});
    auto& metadata = *table.mutable_route_table()->mutable_routes(0)->mutable_metadata();
    metadata.set_namespace_("team-" + std::to_string(i % 50));
    metadata.set_ingress("ingress-" + std::to_string(i));
    metadata.set_service("service-" + std::to_string(i));
    metadata.set_service_port("http");
    out.push_back(std::move(table));
    out.push_back(testing_resources::cluster(cluster_name(i)));
    out.push_back(endpoints_of(i, 0));
  }
  return out;
}

double ms_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
      .count();
}

TEST(SnapshotScale, TenThousandRoutesAndThirtyThousandEndpoints) {
  upstream::EndpointRegistry registry;
  MetricsSlots metrics;
  SnapshotBuilder builder(registry, metrics);
  malloc_trim(0);
  const size_t before = resident_bytes();
  const size_t heap_before = heap_bytes();
  double whole_ms = 0;
  {
    const std::vector<v1::Resource> resources = whole();
    const auto start = std::chrono::steady_clock::now();
    const auto applied = builder.apply(resources, {}, true, "v1");
    whole_ms = ms_since(start);
    ASSERT_TRUE(applied.has_value()) << applied.error().reason;
  }
  malloc_trim(0);
  const double grown_mib = static_cast<double>(resident_bytes() - before) / (1 << 20);
  const double heap_mib = static_cast<double>(heap_bytes() - heap_before) / (1 << 20);
  ASSERT_EQ(registry.live(), size_t{kHosts} * kEndpointsEach);

  std::vector<double> endpoint_ms;
  std::vector<double> route_ms;
  for (int round = 0; round < 200; ++round) {
    const int i = round * 47 % kHosts;
    const std::vector<v1::Resource> change{endpoints_of(i, 1'000'000)};
    auto start = std::chrono::steady_clock::now();
    ASSERT_TRUE(builder.apply(change, {}, false, "e").has_value());
    endpoint_ms.push_back(ms_since(start));
    const std::vector<v1::Resource> routes{testing_resources::table(
        "shop-" + std::to_string(i) + ".customers.example.com", {{"/x", cluster_name(i)}})};
    start = std::chrono::steady_clock::now();
    ASSERT_TRUE(builder.apply(routes, {}, false, "r").has_value());
    route_ms.push_back(ms_since(start));
  }
  std::ranges::sort(endpoint_ms);
  std::ranges::sort(route_ms);
  std::printf(
      "whole: %.1f ms, memory: %.1f MiB resident, %.1f MiB allocated, endpoint change: median %.3f "
      "ms p99 %.3f ms, route change: median %.3f ms p99 %.3f ms\n",
      whole_ms, grown_mib, heap_mib, endpoint_ms[100], endpoint_ms[197], route_ms[100],
      route_ms[197]);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  EXPECT_LT(grown_mib, 40);
#endif
  EXPECT_LT(endpoint_ms[100], 1.0);
  EXPECT_LT(whole_ms, 10'000);
}

}  // namespace
}  // namespace ringway::config
