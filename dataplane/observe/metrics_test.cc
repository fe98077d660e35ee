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
    // ingress-nginx names its counters without the suffix.
    EXPECT_TRUE(out.types[family] != "counter" || name.ends_with("_total") ||
                name.starts_with("nginx_"))
        << line;
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
    EXPECT_TRUE(name.starts_with("ringway_") || name.starts_with("process_") ||
                name.starts_with("nginx_ingress_controller_"))
        << name;
  }
  check_histograms(out, buckets);
  return out;
}

// Slots with their owners, and counts in them.
struct Requests {
  config::MetricsSlots slots;
  std::vector<SlotLease> leases{nullptr};  // By slot.
  RequestStats stats;

  uint32_t add(RouteLabels labels) {
    leases.push_back(slots.take(std::move(labels)));
    return leases.back()->slot;
  }
  void count(uint32_t slot, uint16_t status, uint64_t times = 1, uint64_t request_ns = 3'000'000) {
    RequestSample sample;
    sample.slot = slot;
    sample.method = http::Method::kGet;
    sample.status = status;
    sample.request_ns = request_ns;
    sample.request_body_bytes = 1;
    for (uint64_t i = 0; i < times; ++i) stats.record(sample);
  }
  RequestView look(RequestSeries& series) const { return series.update(slots.held(), stats); }
  RequestView look() const {
    RequestSeries series;
    return look(series);
  }
};

std::string text_of(const MetricsInput& input, RequestView view, NginxOptions nginx = {}) {
  MetricsText text(input, std::move(view), std::move(nginx));
  std::string out;
  for (bool more = true; more;) {
    std::string piece;
    more = text.next(piece);
    EXPECT_FALSE(more && piece.empty());
    EXPECT_LT(piece.size(), 256u * 1024);
    out += piece;
  }
  return out;
}

TEST(MetricsTest, TextIsStrictlyWellFormed) {
  Requests requests;
  const uint32_t cart = requests.add({"shop", "we\"ird\\\n", "cart", "a.test", "/"});
  requests.add({"shop", "unused", "x", "a.test", "/unused"});
  requests.count(0, 200);
  requests.count(0, 503, 1, 4'000'000);
  requests.count(0, 500, 1, 6'000'000);
  requests.count(cart, 200, 10);
  requests.count(cart, 502);
  WorkerStats stats;
  stats.request_errors[static_cast<size_t>(http::Error::kBadHost)] = 3;
  stats.small_buffers = 2048;
  stats.upstream_connections_active = 5;
  stats.upstream_connections_idle = 3;
  MetricsInput input;
  input.stats = &stats;
  input.workers = 2;
  input.io_backend = "io_uring";
  input.config_version = "abc";
  input.config_age_seconds = 1.5;
  input.endpoints = {{"shop", "cart", "80", {2, 1, 0, 0}}};
  input.certificates = {{"shop/tls", 1'800'000'000}};
  input.process = read_process_usage();
  const Exposition out = check_text(text_of(input, requests.look()));
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
  EXPECT_DOUBLE_EQ(out.series.at(duration + "_sum" + of_none + "}"), 0.013);
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

TEST(MetricsTest, SeriesOfIngressNginx) {
  Requests requests;
  const uint32_t cart = requests.add({"shop", "front", "cart", "a.test", "/cart"});
  RequestSample sample;
  sample.slot = cart;
  sample.method = http::Method::kPost;
  sample.status = 201;
  sample.upstream = true;
  sample.request_ns = 30'000'000;
  sample.connect_ns = 0;
  sample.header_ns = 6'000'000;
  sample.response_ns = 20'000'000;
  sample.request_head_bytes = 40;
  sample.request_body_bytes = 5;
  sample.response_head_bytes = 100;
  sample.response_body_bytes = 1'000;
  requests.stats.record(sample);
  requests.count(cart, 0);  // The client left.
  requests.count(0, 404);
  WorkerStats stats;
  stats.connections_accepted = 10;
  stats.connections_refused = 1;
  stats.connections_active = 8;
  stats.connections_idle = 5;
  stats.requests_active = 2;
  MetricsInput input;
  input.stats = &stats;
  input.config_version = "00000000000000ff";
  input.config_age_seconds = 10;
  input.config_last_accepted = true;
  input.config_accepted = 3;
  input.now_unix_seconds = 1'800'000'000;
  const NginxOptions nginx{true, true, {"edge", "k8s.io/ingress-nginx", "proxy-0"}};
  const Exposition out = check_text(text_of(input, requests.look(), nginx));
  const std::string controller =
      R"(controller_class="k8s.io/ingress-nginx",controller_namespace="edge",controller_pod="proxy-0")";
  const std::string route =
      R"(,namespace="shop",ingress="front",service="cart",canary="",path="/cart")";
  const std::string of = "{" + controller + route + R"(,method="POST",status="201",host="a.test")";
  const auto value = [&](const std::string& name) {
    const auto at = out.series.find("nginx_ingress_controller_" + name);
    EXPECT_NE(at, out.series.end()) << name;
    return at == out.series.end() ? -1 : at->second;
  };
  EXPECT_EQ(value("requests" + of + "}"), 1);
  EXPECT_EQ(
      value("requests{" + controller + route + R"(,method="GET",status="499",host="a.test"})"), 1);
  EXPECT_EQ(
      value(
          "requests{" + controller +
          R"(,namespace="",ingress="",service="",canary="",path="",method="GET",status="404",host="_"})"),
      1);
  EXPECT_EQ(value("request_duration_seconds_bucket" + of + R"(,le="0.025"})"), 0);
  EXPECT_EQ(value("request_duration_seconds_bucket" + of + R"(,le="0.05"})"), 1);
  EXPECT_EQ(value("connect_duration_seconds_bucket" + of + R"(,le="0.005"})"), 1);
  EXPECT_DOUBLE_EQ(value("header_duration_seconds_sum" + of + "}"), 0.006);
  EXPECT_DOUBLE_EQ(value("response_duration_seconds_sum" + of + "}"), 0.02);
  EXPECT_EQ(value("request_size_bucket" + of + R"(,le="40"})"), 0);
  EXPECT_EQ(value("request_size_bucket" + of + R"(,le="50"})"), 1);
  EXPECT_EQ(value("response_size_bucket" + of + R"(,le="100"})"), 0);
  EXPECT_EQ(value("response_size_sum" + of + "}"), 1100);
  EXPECT_EQ(value("bytes_sent_bucket" + of + R"(,le="1000"})"), 0);
  EXPECT_EQ(value("bytes_sent_bucket" + of + R"(,le="10000"})"), 1);
  EXPECT_FALSE(
      out.series.contains("nginx_ingress_controller_bytes_sent_bucket" + of + R"(,le="20"})"));
  EXPECT_EQ(value("config_hash{" + controller + "}"), 255);
  EXPECT_EQ(value("config_last_reload_successful{" + controller + "}"), 1);
  EXPECT_EQ(value("config_last_reload_successful_timestamp_seconds{" + controller + "}"),
            1'799'999'990);
  EXPECT_EQ(value("success{" + controller + "}"), 3);
  EXPECT_EQ(value("nginx_process_connections{" + controller + R"(,state="reading"})"), 1);
  EXPECT_EQ(value("nginx_process_connections{" + controller + R"(,state="writing"})"), 2);
  EXPECT_EQ(value("nginx_process_connections{" + controller + R"(,state="waiting"})"), 5);
  EXPECT_EQ(value("nginx_process_connections_total{" + controller + R"(,state="handled"})"), 9);
}

TEST(MetricsTest, NginxSeriesCanBeOff) {
  Requests requests;
  requests.count(0, 404);
  WorkerStats stats;
  MetricsInput input;
  input.stats = &stats;
  EXPECT_EQ(text_of(input, requests.look(), {.on = false}).find("nginx_"), std::string::npos);
}

TEST(MetricsTest, WithoutTheHostPathsOfSeveralHostsAreOneSeries) {
  config::MetricsSlots slots(false);
  const SlotLease one = slots.take({"shop", "front", "cart", "a.test", "/"});
  const SlotLease two = slots.take({"shop", "front", "cart", "b.test", "/"});
  EXPECT_EQ(one->slot, two->slot);
  RequestStats counts;
  counts.record({.slot = one->slot, .method = http::Method::kGet, .status = 200});
  WorkerStats stats;
  MetricsInput input;
  input.stats = &stats;
  RequestSeries series;
  const std::string text = text_of(input, series.update(slots.held(), counts),
                                   {.on = true, .per_host = false, .identity = {}});
  EXPECT_NE(text.find(R"(status="200"} 1)"), std::string::npos);
  EXPECT_EQ(text.find("host="), std::string::npos);
}

TEST(MetricsTest, CallsByServiceAndMethod) {
  WorkerStats worker, sum;
  MetricsInput input;
  input.stats = &sum;
  EXPECT_EQ(text_of(input, {}).find("ringway_grpc_method"), std::string::npos);
  worker.grpc_methods.set_limit(2000);
  worker.grpc_methods.record("/shop.Cart/Add", 0, true, 4'000'000);
  worker.grpc_methods.record("/shop.Cart/Add", 14, false, 6'000'000);
  worker.grpc_methods.record("/made.Up/Name", 12, true, 1);
  for (int i = 0; i < 1500; ++i) {  // Some pieces of text.
    worker.grpc_methods.record("/many/M" + std::to_string(i), 0, true, 1);
  }
  add_stats(sum, worker);
  add_stats(sum, worker);
  const Exposition out = check_text(text_of(input, {}));
  const std::string cart = R"({grpc_service="shop.Cart",grpc_method="Add")";
  const std::string calls = "ringway_grpc_method_calls_total";
  const std::string duration = "ringway_grpc_method_duration_seconds";
  EXPECT_EQ(out.series.at(calls + cart + R"(,code="OK"})"), 2);
  EXPECT_EQ(out.series.at(calls + cart + R"(,code="UNAVAILABLE"})"), 2);
  EXPECT_EQ(out.series.at(duration + "_bucket" + cart + R"(,le="0.005"})"), 2);
  EXPECT_DOUBLE_EQ(out.series.at(duration + "_sum" + cart + "}"), 0.02);
  EXPECT_EQ(
      out.series.at(calls + R"({grpc_service="other",grpc_method="other",code="UNIMPLEMENTED"})"),
      2);
  EXPECT_EQ(out.series.at(calls + R"({grpc_service="many",grpc_method="M1499",code="OK"})"), 2);
  for (const auto& [name, value] : out.series) EXPECT_EQ(name.find("made"), std::string::npos);
}

TEST(MetricsTest, EveryNameIsInTheTableForPeople) {
  Requests requests;
  const uint32_t slot = requests.add({"a", "b", "c", "d", "/"});
  requests.stats.record({.slot = slot, .status = 200, .upstream = true});
  WorkerStats stats;
  MetricsInput input;
  input.stats = &stats;
  input.config_version = "v";
  input.config_age_seconds = 0;
  input.endpoints = {{"a", "b", "c", {}}};
  input.certificates = {{"a/b", 1}};
  input.process.max_fds = 1;
  stats.grpc_methods.set_limit(1);
  stats.grpc_methods.record("/a.B/C", 0, true, 1);
  std::stringstream page;
  page << std::ifstream(SOURCE_DIR "/docs/operations.md").rdbuf();
  for (const auto& [name, help] : check_text(text_of(input, requests.look())).helps) {
    EXPECT_NE(page.str().find("`" + name + "`"), std::string::npos)
        << name << " is missing in docs/operations.md";
  }
}

// ingress-nginx's names break the rules of its linter; ours do not.
TEST(MetricsTest, PromtoolAgrees) {
  if (std::system("command -v promtool >/dev/null 2>&1") != 0)
    GTEST_SKIP() << "promtool (Debian package prometheus) is not installed";
  Requests requests;
  requests.count(0, 200);
  WorkerStats stats;
  MetricsInput input;
  input.stats = &stats;
  stats.grpc_methods.set_limit(1);
  for (const char* path : {"/a.B/C", "/a.B/D"}) stats.grpc_methods.record(path, 0, true, 1);
  FILE* promtool = popen("promtool check metrics", "w");
  ASSERT_NE(promtool, nullptr);
  const std::string text = text_of(input, requests.look(), {.on = false});
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

TEST(MetricsTest, SizeBounds) {
  for (const uint64_t bytes :
       {0ull, 10ull, 11ull, 100ull, 101ull, 1000ull, 10'000'000ull, 10'000'001ull}) {
    SizeHistogram histogram;
    histogram.observe(bytes);
    const auto bucket =
        static_cast<size_t>(std::ranges::find(histogram.buckets, 1u) - histogram.buckets.begin());
    EXPECT_TRUE(bucket == kSizeBoundsBytes.size() || bytes <= kSizeBoundsBytes[bucket]) << bytes;
    EXPECT_TRUE(bucket == 0 || bytes > kSizeBoundsBytes[bucket - 1]) << bytes;
    EXPECT_EQ(histogram.sum_bytes, bytes);
  }
}

}  // namespace
}  // namespace ringway::observe
