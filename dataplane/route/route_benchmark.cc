// What a lookup costs by number of hosts and of paths of one host. Not a test: route_benchmark
// --benchmark_filter=...
#include <benchmark/benchmark.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/random.h"
#include "dataplane/route/route_table.h"

namespace ringway::route {
namespace {

std::shared_ptr<const RouteTable> prefix_table(size_t paths) {
  std::vector<PathRule> rules{{PathKind::kPrefix, "/", 0, std::make_shared<Route>()}};
  for (size_t i = 1; i < paths; ++i) {
    rules.push_back({PathKind::kPrefix, "/service-" + std::to_string(i * 7919 % 100'000) + "/api",
                     0, std::make_shared<Route>()});
  }
  std::vector<std::string> problems;
  return std::make_shared<const RouteTable>(std::move(rules), problems);
}

std::string host_name(size_t i) { return "shop-" + std::to_string(i) + ".customer.example.com"; }

std::shared_ptr<const RouteSet> set_of(size_t hosts) {
  std::vector<RouteSet::Change> changes;
  for (size_t i = 0; i < hosts; ++i) changes.push_back({host_name(i), prefix_table(1)});
  return RouteSet().with(std::move(changes));
}

// The requests go to `live` of the hosts, in random order: traffic is never spread evenly over
// 100,000 hosts, and what it does touch is in the cache.
void find_host(benchmark::State& state) {
  const auto hosts = static_cast<uint32_t>(state.range(0));
  const auto live = static_cast<uint32_t>(std::min<int64_t>(state.range(0), state.range(1)));
  const auto set = set_of(hosts);
  Random random(1);
  std::vector<std::string> requests;
  for (uint32_t i = 0; i < std::max(live, 1024u); ++i)
    requests.push_back(host_name(random.below(live) * (hosts / live)) + ":8080");
  size_t at = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(set->find(requests[at], "/cart/items"));
    if (++at == requests.size()) at = 0;
  }
}
BENCHMARK(find_host)
    ->Args({10, 10})
    ->Args({1'000, 1'000})
    ->Args({100'000, 1'000})
    ->Args({100'000, 100'000});

void find_wildcard_host(benchmark::State& state) {
  std::vector<RouteSet::Change> changes{{"*.customer.example.com", prefix_table(1)}};
  for (int64_t i = 0; i < state.range(0); ++i)
    changes.push_back({host_name(static_cast<size_t>(i)), prefix_table(1)});
  const auto set = RouteSet().with(std::move(changes));
  for (auto _ : state) benchmark::DoNotOptimize(set->find("other.customer.example.com", "/"));
}
BENCHMARK(find_wildcard_host)->Arg(10)->Arg(100'000);

void find_path(benchmark::State& state) {
  const auto paths = static_cast<size_t>(state.range(0));
  const auto table = prefix_table(paths);
  Random random(1);
  std::vector<std::string> requests;
  for (int i = 0; i < 1024; ++i) {
    requests.push_back(table->rules()[random.below(static_cast<uint32_t>(paths))].path +
                       (paths == 1 ? "" : "/") + "users/17");
  }
  size_t at = 0;
  for (auto _ : state) benchmark::DoNotOptimize(table->find(requests[at++ & 1023]));
}
BENCHMARK(find_path)->Arg(1)->Arg(10)->Arg(100)->Arg(1'000);

void find_regex(benchmark::State& state) {
  std::vector<PathRule> rules;
  for (int64_t i = 0; i < state.range(0); ++i) {
    rules.push_back({PathKind::kRegex, "/service-" + std::to_string(i) + "(/|$)(.*)", 0,
                     std::make_shared<Route>()});
  }
  std::vector<std::string> problems;
  const RouteTable table(std::move(rules), problems);
  const std::string path = "/service-" + std::to_string(state.range(0) - 1) + "/users/17";
  for (auto _ : state) benchmark::DoNotOptimize(table.find(path));
}
BENCHMARK(find_regex)->Arg(1)->Arg(4)->Arg(7)->Arg(8)->Arg(100)->Arg(1'000);

void change_one_host(benchmark::State& state) {
  auto set = set_of(static_cast<size_t>(state.range(0)));
  const auto table = prefix_table(1);
  for (auto _ : state) set = set->with({{host_name(5), table}});
}
BENCHMARK(change_one_host)->Arg(10)->Arg(1'000)->Arg(100'000);

}  // namespace
}  // namespace ringway::route

BENCHMARK_MAIN();
