#include "dataplane/observe/metrics.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "dataplane/http/status.h"

namespace ringway::observe {
namespace {

// A strict reader of the Prometheus text format 0.0.4: names, escapes, one TYPE and HELP before the
// series of a family, no series twice, histograms cumulative with +Inf equal to _count. Failures
// are gtest's.
struct Exposition {
  std::map<std::string, double> series;  // "name{labels}" as written.
  std::map<std::string, std::string> types, helps;
};

bool is_name(std::string_view text) {
  if (text.empty() || std::isdigit(static_cast<unsigned char>(text[0])) != 0) return false;
  return std::ranges::all_of(text, [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == ':';
  });
}

// Returns where the labels end, npos when malformed.
size_t read_labels(std::string_view line, size_t at, std::map<std::string, std::string>& labels) {
  if (at >= line.size() || line[at] != '{') return at;
  ++at;
  while (at < line.size() && line[at] != '}') {
    const size_t equals = line.find("=\"", at);
    if (equals == std::string_view::npos || !is_name(line.substr(at, equals - at)))
      return std::string_view::npos;
    const std::string name(line.substr(at, equals - at));
    std::string value;
    at = equals + 2;
    for (; at < line.size() && line[at] != '"'; ++at) {
      if (line[at] == '\\') {
        ++at;
        if (at >= line.size() || std::strchr("\\\"n", line[at]) == nullptr)
          return std::string_view::npos;
      }
      value += line[at];
    }
    if (at >= line.size() || !labels.emplace(name, value).second) return std::string_view::npos;
    ++at;
    if (at < line.size() && line[at] == ',') ++at;
  }
  return at < line.size() ? at + 1 : std::string_view::npos;
}

std::string family_of(const std::string& name, const std::map<std::string, std::string>& types) {
  for (const char* suffix : {"_bucket", "_sum", "_count"}) {
    if (!name.ends_with(suffix)) continue;
    const std::string base = name.substr(0, name.size() - std::strlen(suffix));
    const auto found = types.find(base);
    if (found != types.end() && found->second == "histogram") return base;
  }
  return name;
}

void check_histograms(
    const Exposition& out,
    const std::map<std::string, std::vector<std::pair<double, double>>>& buckets) {
  for (const auto& [key, values] : buckets) {
    double last_bound = -INFINITY, last = 0;
    for (const auto& [bound, value] : values) {
      EXPECT_GT(bound, last_bound) << key;
      EXPECT_GE(value, last) << key;
      last_bound = bound;
      last = value;
    }
    EXPECT_TRUE(std::isinf(last_bound)) << key;
    EXPECT_EQ(out.series.at(key), last) << key;  // key: the _count series.
  }
}

Exposition check_text(const std::string& text) {
  Exposition out;
  std::map<std::string, std::vector<std::pair<double, double>>> buckets;
  std::set<std::string> closed;
  std::string current;
  EXPECT_TRUE(text.ends_with("\n"));
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("# HELP ") || line.starts_with("# TYPE ")) {
      const size_t space = line.find(' ', 7);
      EXPECT_NE(space, std::string::npos) << line;
      const std::string name = line.substr(7, space - 7);
      EXPECT_TRUE(is_name(name)) << line;
      auto& into = line[2] == 'H' ? out.helps : out.types;
      EXPECT_TRUE(into.emplace(name, line.substr(space + 1)).second) << "twice: " << line;
      continue;
    }
    const size_t end = line.find_first_of("{ ");
    const std::string name = line.substr(0, end);
    EXPECT_TRUE(is_name(name)) << line;
    const std::string family = family_of(name, out.types);
    EXPECT_TRUE(out.types.contains(family) && out.helps.contains(family))
        << "no TYPE or HELP: " << line;
    if (family != current) {
      EXPECT_TRUE(closed.insert(family).second) << "series of a family apart: " << line;
      current = family;
    }
    std::map<std::string, std::string> labels;
    const size_t value_at = end == std::string::npos ? end : read_labels(line, end, labels);
    if (value_at == std::string::npos || value_at >= line.size() || line[value_at] != ' ') {
      ADD_FAILURE() << "malformed: " << line;
      continue;
    }
    char* number_end = nullptr;
    const double value = std::strtod(line.c_str() + value_at + 1, &number_end);
    EXPECT_EQ(*number_end, '\0') << line;
    EXPECT_TRUE(out.series.emplace(line.substr(0, value_at), value).second) << "twice: " << line;
    EXPECT_TRUE(out.types[family] == "gauge" || value >= 0) << line;
    EXPECT_TRUE(out.types[family] != "counter" || name.ends_with("_total")) << line;
    if (name == family + "_bucket") {
      std::string count = line.substr(0, value_at);
      count.replace(0, name.size(), family + "_count");
      const size_t le =
          count.rfind(",le=\"") != std::string::npos ? count.rfind(",le=\"") : count.rfind("le=\"");
      count.erase(le, count.rfind('"') - le + 1);
      buckets[count].push_back({std::strtod(labels["le"].c_str(), nullptr), value});
    }
  }
  for (const auto& [name, help] : out.helps) {
    EXPECT_FALSE(help.empty()) << name;
    EXPECT_TRUE(name.starts_with("ringway_") || name.starts_with("process_")) << name;
  }
  check_histograms(out, buckets);
  return out;
}

RouteStats some_requests(uint64_t ok, uint64_t bad) {
  RouteStats stats;
  stats.by_status_class[2] = ok;
  stats.by_status_class[5] = bad;
  for (uint64_t i = 0; i < ok + bad; ++i) stats.request_duration.observe(i * 3'000'000);
  stats.request_bytes = ok;
  return stats;
}

TEST(MetricsTest, TextIsStrictlyWellFormed) {
  WorkerStats stats;
  stats.routes = {some_requests(1, 2), some_requests(10, 1), some_requests(0, 0)};
  stats.request_errors[static_cast<size_t>(http::Error::kBadHost)] = 3;
  stats.small_buffers = 2048;
  stats.upstream_connections_active = 5;
  stats.upstream_connections_idle = 3;
  RouteSeries routes;
  const std::vector<RouteLabels> labels{
      {}, {"shop", "we\"ird\\\n", "cart"}, {"shop", "unused", "x"}};
  routes.update(labels, stats.routes);
  MetricsInput input;
  input.stats = &stats;
  input.routes = &routes;
  input.workers = 2;
  input.io_backend = "io_uring";
  input.config_version = "abc";
  input.config_age_seconds = 1.5;
  input.endpoints = {{"shop", "cart", "80", {2, 1, 0, 0}}};
  input.certificates = {{"shop/tls", 1'800'000'000}};
  input.process = read_process_usage();
  const Exposition out = check_text(render_metrics(input));
  EXPECT_EQ(
      out.series.at(
          R"(ringway_requests_total{namespace="shop",ingress="we\"ird\\\n",service="cart",code="2xx"})"),
      10);
  EXPECT_EQ(out.series.at(
                R"(ringway_requests_total{namespace="",ingress="_none",service="",code="5xx"})"),
            2);
  EXPECT_EQ(out.series.at(R"(ringway_request_errors_total{reason="bad_host"})"), 3);
  EXPECT_EQ(
      out.series.at(
          R"(ringway_endpoints{namespace="shop",service="cart",port="80",condition="unhealthy"})"),
      1);
  EXPECT_EQ(
      out.series.at(R"(ringway_certificate_expiry_timestamp_seconds{certificate="shop/tls"})"),
      1'800'000'000);
  EXPECT_EQ(out.series.at("ringway_upstream_connections_active"), 2);  // Without the idle ones.
  EXPECT_EQ(out.series.at("ringway_workers"), 2);
  EXPECT_EQ(out.types.at("ringway_request_duration_seconds"), "histogram");
  const std::string of_none = R"({namespace="",ingress="_none",service="")";
  const std::string duration = "ringway_request_duration_seconds";
  EXPECT_EQ(out.series.at(duration + "_bucket" + of_none + R"(,le="0.005"})"), 2);
  EXPECT_EQ(out.series.at(duration + "_bucket" + of_none + R"(,le="0.01"})"), 3);
  EXPECT_EQ(out.series.at(duration + "_count" + of_none + "}"), 3);
  EXPECT_DOUBLE_EQ(out.series.at(duration + "_sum" + of_none + "}"), 0.009);
  for (const double bound : kDurationBoundsSeconds) {
    EXPECT_TRUE(out.series.contains(duration + "_bucket" + of_none + ",le=\"" +
                                    (std::ostringstream() << bound).str() + "\"}"))
        << bound;
  }
  EXPECT_GT(out.series.at("process_resident_memory_bytes"), 1e6);
  EXPECT_GT(out.series.at("process_open_fds"), 2);
  EXPECT_GE(out.series.at("process_threads"), 1);
  // A route without a request has no series: cardinality follows the traffic, within the
  // configuration.
  for (const auto& [name, value] : out.series)
    EXPECT_EQ(name.find("unused"), std::string::npos) << name;
}

TEST(MetricsTest, EveryNameIsInTheTableForPeople) {
  WorkerStats stats;
  stats.routes = {some_requests(1, 1)};
  RouteSeries routes;
  routes.update({}, stats.routes);
  MetricsInput input;
  input.stats = &stats;
  input.routes = &routes;
  input.config_version = "v";
  input.config_age_seconds = 0;
  input.endpoints = {{"a", "b", "c", {}}};
  input.certificates = {{"a/b", 1}};
  input.process.max_fds = 1;
  std::stringstream page;
  page << std::ifstream(SOURCE_DIR "/docs/operations.md").rdbuf();
  for (const auto& [name, help] : check_text(render_metrics(input)).helps) {
    EXPECT_NE(page.str().find("`" + name + "`"), std::string::npos)
        << name << " is missing in docs/operations.md";
  }
}

TEST(MetricsTest, PromtoolAgrees) {
  if (std::system("command -v promtool >/dev/null 2>&1") != 0)
    GTEST_SKIP() << "promtool (Debian package prometheus) is not installed";
  WorkerStats stats;
  stats.routes = {some_requests(1, 1)};
  RouteSeries routes;
  routes.update({}, stats.routes);
  MetricsInput input;
  input.stats = &stats;
  input.routes = &routes;
  FILE* promtool = popen("promtool check metrics", "w");
  ASSERT_NE(promtool, nullptr);
  const std::string text = render_metrics(input);
  fwrite(text.data(), 1, text.size(), promtool);
  EXPECT_EQ(pclose(promtool), 0);
}

// The counters are summed by a list of names: a field that is not in it would silently stay 0.
TEST(MetricsTest, SumsEveryCounter) {
  static_assert(std::is_standard_layout_v<WorkerStats>);
  constexpr size_t kFirst = offsetof(WorkerStats, connections_accepted);
  constexpr size_t kWords = (sizeof(WorkerStats) - kFirst) / sizeof(uint64_t);
  WorkerStats one;
  auto* words = reinterpret_cast<unsigned char*>(&one) + kFirst;
  for (uint64_t i = 0; i < kWords; ++i) {
    const uint64_t value = i + 1;
    std::memcpy(words + i * sizeof value, &value, sizeof value);
  }
  WorkerStats sum;
  add_stats(sum, one);
  add_stats(sum, one);
  for (uint64_t i = 0; i < kWords; ++i) {
    uint64_t value = 0;
    std::memcpy(&value, reinterpret_cast<unsigned char*>(&sum) + kFirst + i * sizeof value,
                sizeof value);
    EXPECT_EQ(value, 2 * (i + 1)) << "the counter at word " << i;
  }
}

TEST(MetricsTest, HistogramBounds) {
  Histogram histogram;
  histogram.observe(5'000'000);  // le="0.005" holds its bound.
  histogram.observe(5'000'001);
  histogram.observe(60'000'000'000);
  EXPECT_EQ(histogram.buckets[0], 1u);
  EXPECT_EQ(histogram.buckets[1], 1u);
  EXPECT_EQ(histogram.buckets.back(), 1u);
}

uint64_t requests(const RouteSeries& routes, const std::string& ingress) {
  for (const auto& [labels, stats] : routes.series()) {
    if (labels.ingress == ingress) return requests_of(stats);
  }
  return 0;
}

TEST(RouteSeriesTest, ARemovedRoutesCountsFoldIntoATotalAndItsSeriesEnds) {
  RouteSeries routes;
  const std::vector<RouteLabels> both{{}, {"a", "x", "s"}, {"a", "y", "s"}};
  routes.update(
      both, std::vector<RouteStats>{some_requests(1, 0), some_requests(5, 0), some_requests(7, 0)});
  EXPECT_EQ(requests(routes, "x"), 5u);
  const std::vector<RouteLabels> one{{}, {}, {"a", "y", "s"}};
  routes.update(
      one, std::vector<RouteStats>{some_requests(1, 0), some_requests(6, 0), some_requests(7, 0)});
  EXPECT_EQ(requests(routes, "x"), 0u);
  EXPECT_EQ(requests(routes, kRemovedLabel), 6u);
  // Requests that end late still count in the total, and it never goes back.
  routes.update(
      one, std::vector<RouteStats>{some_requests(1, 0), some_requests(8, 0), some_requests(7, 0)});
  EXPECT_EQ(requests(routes, kRemovedLabel), 8u);
  // The slot goes to another route, which begins at zero.
  const std::vector<RouteLabels> other{{}, {"b", "z", "s"}, {"a", "y", "s"}};
  routes.update(other, std::vector<RouteStats>{some_requests(1, 0), some_requests(8, 0),
                                               some_requests(7, 0)});
  EXPECT_EQ(requests(routes, "z"), 0u);
  routes.update(other, std::vector<RouteStats>{some_requests(1, 0), some_requests(11, 0),
                                               some_requests(7, 0)});
  EXPECT_EQ(requests(routes, "z"), 3u);
  EXPECT_EQ(requests(routes, kRemovedLabel), 8u);
  EXPECT_EQ(requests(routes, "y"), 7u);
  EXPECT_EQ(requests(routes, kNoRouteLabel), 1u);
}

TEST(RouteSeriesTest, CountsBeforeTheFirstScrapeBelongToTheOwner) {
  RouteSeries routes;
  routes.update(std::vector<RouteLabels>{{}, {"a", "x", "s"}},
                std::vector<RouteStats>{{}, some_requests(4, 0)});
  EXPECT_EQ(requests(routes, "x"), 4u);
}

TEST(RouteSeriesTest, FewerSumsThanLabels) {
  RouteSeries routes;
  routes.update(std::vector<RouteLabels>{{}, {"a", "x", "s"}, {"a", "y", "s"}},
                std::vector<RouteStats>{some_requests(1, 0)});
  EXPECT_EQ(routes.series().size(), 1u);
}

}  // namespace
}  // namespace ringway::observe
