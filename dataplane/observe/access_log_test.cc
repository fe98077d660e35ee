#include "dataplane/observe/access_log.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <regex>
#include <thread>

#include "base/random.h"

namespace {
thread_local uint64_t allocations = 0;
}

// Not inlined: g++ would see free() of what new gave.
[[gnu::noinline]] void* operator new(size_t bytes) {
  ++allocations;
  void* memory = std::malloc(bytes);
  if (memory == nullptr) std::abort();
  return memory;
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace ringway::observe {
namespace {

AccessRecord record() {
  AccessRecord r;
  r.wall_ns = 1'795'413'936'123'456'789;  // 2026-11-23 06:05:36.123 UTC
  r.duration_ns = 12'345'678;
  r.upstream_duration_ns = 10'000'000;
  r.peer = "192.0.2.7";
  r.method = "GET";
  r.authority = "shop.example.com";
  r.target = "/cart?id=1";
  r.status = 200;
  r.request_bytes = 5;
  r.response_bytes = 1234;
  r.referer = "https://example.com/";
  r.user_agent = "curl/7.88.1";
  r.request_id = "0123456789abcdef";
  r.upstream = "10.0.0.1:8080";
  r.tries = 2;
  r.tls = true;
  return r;
}

route::Route shop_route() {
  route::Route route;
  route.namespace_name = "shop";
  route.ingress = "front";
  route.service = "cart";
  route.service_port = "80";
  return route;
}

std::string line_of(AccessLogFormat format, const AccessRecord& r) {
  AccessLog log(format, 65536);
  EXPECT_TRUE(log.append(r));
  std::string out;
  log.take(out);
  return out;
}

TEST(AccessLogTest, Json) {
  const route::Route route = shop_route();
  AccessRecord r = record();
  r.route = &route;
  EXPECT_EQ(
      line_of(AccessLogFormat::kJson, r),
      R"({"time":"2026-11-23T06:05:36.123Z","remote_addr":"192.0.2.7","request_id":"0123456789abcdef","method":"GET","scheme":"https",)"
      R"("host":"shop.example.com","target":"/cart?id=1","protocol":"HTTP/1.1","status":200,"bytes_received":5,"bytes_sent":1234,)"
      R"("request_time":0.012,"referer":"https://example.com/","user_agent":"curl/7.88.1","upstream_addr":"10.0.0.1:8080",)"
      R"("upstream_response_time":0.010,"upstream_tries":2,"namespace":"shop","ingress":"front","service":"cart","service_port":"80"})"
      "\n");
}

TEST(AccessLogTest, CombinedIsTheDefaultOfIngressNginx) {
  const route::Route route = shop_route();
  AccessRecord r = record();
  r.route = &route;
  EXPECT_EQ(line_of(AccessLogFormat::kCombined, r),
            "192.0.2.7 - - [23/Nov/2026:06:05:36 +0000] \"GET /cart?id=1 HTTP/1.1\" 200 1234 "
            "\"https://example.com/\" \"curl/7.88.1\" 5 0.012 "
            "[shop-cart-80] [] 10.0.0.1:8080 1234 0.010 200 0123456789abcdef\n");
  AccessRecord none;
  none.wall_ns = 0;
  none.peer = "::1";
  EXPECT_EQ(
      line_of(AccessLogFormat::kCombined, none),
      "::1 - - [01/Jan/1970:00:00:00 +0000] \"-\" 499 0 \"-\" \"-\" 0 0.000 [] [] - - - - -\n");
}

StreamRecord stream_record() {
  StreamRecord r;
  r.wall_ns = 1'795'413'936'123'456'789;
  r.duration_ns = 2'012'345'678;
  r.connect_ns = 1'000'000;
  r.peer = "192.0.2.7";
  r.protocol = "TCP";
  r.listener = "tcp-5432";
  r.cluster = "shop/db:5432";
  r.bytes_received = 5;
  r.bytes_sent = 1234;
  r.upstream = "10.0.0.1:5432";
  r.tries = 1;
  return r;
}

std::string line_of(AccessLogFormat format, const StreamRecord& r) {
  AccessLog log(format, 65536);
  EXPECT_TRUE(log.append(r));
  std::string out;
  log.take(out);
  return out;
}

TEST(AccessLogTest, StreamsHaveLinesOfTheirOwn) {
  StreamRecord r = stream_record();
  EXPECT_EQ(
      line_of(AccessLogFormat::kJson, r),
      R"({"time":"2026-11-23T06:05:36.123Z","remote_addr":"192.0.2.7","protocol":"TCP","listener":"tcp-5432","status":"ok",)"
      R"("bytes_received":5,"bytes_sent":1234,"session_time":2.012,"cluster":"shop/db:5432","upstream_addr":"10.0.0.1:5432",)"
      R"("upstream_connect_time":0.001,"upstream_tries":1})"
      "\n");
  EXPECT_EQ(line_of(AccessLogFormat::kCombined, r),
            "[192.0.2.7] [23/Nov/2026:06:05:36 +0000] TCP 200 1234 5 2.012\n");
  r.failure = StreamFailure::kConnectTimeout;
  r.upstream = {};
  r.server_name = "a.example.com";
  EXPECT_NE(line_of(AccessLogFormat::kJson, r).find(R"("server_name":"a.example.com","status":"connect_timeout")"),
            std::string::npos);
  EXPECT_EQ(line_of(AccessLogFormat::kCombined, r),
            "[192.0.2.7] [23/Nov/2026:06:05:36 +0000] TCP 502 1234 5 2.012\n");
}

TEST(AccessLogTest, DatesOfTheCalendar) {
  struct Case {
    int64_t seconds;
    const char* text;
  };
  const Case cases[] = {
      {951'782'400, "29/Feb/2000:00:00:00"},   {1'709'251'199, "29/Feb/2024:23:59:59"},
      {1'709'251'200, "01/Mar/2024:00:00:00"}, {4'107'542'400, "01/Mar/2100:00:00:00"},
      {4'107'542'399, "28/Feb/2100:23:59:59"}, {-1, "31/Dec/1969:23:59:59"}};
  for (const Case& c : cases) {
    AccessRecord r = record();
    r.wall_ns = c.seconds * 1'000'000'000;
    EXPECT_NE(line_of(AccessLogFormat::kCombined, r).find(c.text), std::string::npos) << c.text;
  }
}

// security.md table, row 44: whatever bytes come, a line stays a line, a field a field, and a
// terminal quiet.
TEST(AccessLogTest, NoByteOfARequestBreaksALine) {
  Random random(7);
  for (int round = 0; round < 3000; ++round) {
    std::array<std::string, 7> fields;
    for (std::string& field : fields) {
      field.resize(random.below(round % 100 == 0 ? 20'000 : 40));
      // Half of the bytes are those that do harm.
      for (char& c : field)
        c = random.chance(50) ? "\r\n\x1b\"\\\0\t\x7f\x9b{}[] "[random.below(15)]
                              : static_cast<char>(random.below(256));
    }
    AccessRecord r = record();
    r.method = fields[0];
    r.authority = fields[1];
    r.target = fields[2];
    r.referer = fields[3];
    r.user_agent = fields[4];
    r.request_id = fields[5];
    r.peer = fields[6];
    for (const AccessLogFormat format : {AccessLogFormat::kJson, AccessLogFormat::kCombined}) {
      const std::string line = line_of(format, r);
      ASSERT_LE(line.size(), 16384u);
      ASSERT_EQ(line.back(), '\n');
      for (const char c : std::string_view(line).substr(0, line.size() - 1))
        ASSERT_TRUE(c >= 0x20 && c < 0x7f) << static_cast<int>(c);
      if (format == AccessLogFormat::kJson) {
        const auto parsed = nlohmann::json::parse(line, nullptr, false);
        ASSERT_FALSE(parsed.is_discarded()) << line;
        ASSERT_EQ(parsed["status"], 200);
      } else {
        ASSERT_EQ(std::count(line.begin(), line.end(), '"'), 6) << line;
      }
    }
  }
}

TEST(AccessLogTest, FullBufferDropsWholeLinesAndGoesOn) {
  AccessLog log(AccessLogFormat::kJson, 16384);
  uint32_t kept = 0;
  while (log.append(record())) ++kept;
  EXPECT_GT(kept, 10u);
  EXPECT_FALSE(log.append(record()));
  std::string out;
  log.take(out);
  EXPECT_EQ(std::count(out.begin(), out.end(), '\n'), kept);
  EXPECT_TRUE(log.append(record()));
  out.clear();
  log.take(out);
  EXPECT_FALSE(nlohmann::json::parse(out, nullptr, false)
                   .is_discarded());  // Over the end of the ring of bytes.
}

TEST(AccessLogTest, AppendingAllocatesNothing) {
  for (const AccessLogFormat format : {AccessLogFormat::kJson, AccessLogFormat::kCombined}) {
    AccessLog log(format, 1 << 20);
    const std::string harmful(9000, '\xff');
    AccessRecord r = record();
    const uint64_t before = allocations;
    for (int i = 0; i < 50; ++i) {
      r.wall_ns += 1'000'000'000;
      r.target = r.user_agent = r.referer = r.authority =
          i % 2 == 0 ? "/x" : std::string_view(harmful);
      ASSERT_TRUE(log.append(r));
    }
    EXPECT_EQ(allocations, before);
  }
}

TEST(AccessLogTest, OffKeepsNothing) {
  AccessLog log(AccessLogFormat::kOff, 65536);
  EXPECT_FALSE(log.enabled());
  EXPECT_TRUE(log.append(record()));
  std::string out;
  log.take(out);
  EXPECT_TRUE(out.empty());
}

TEST(AccessLogTest, OneWritesWhileTheOtherTakes) {
  AccessLog log(AccessLogFormat::kJson, 32768);
  constexpr uint32_t kLines = 20'000;
  std::atomic<bool> done{false};
  uint32_t appended = 0;
  std::thread worker([&] {
    for (uint32_t i = 0; i < kLines; ++i) {
      AccessRecord r = record();
      r.response_bytes = i;
      appended += log.append(r);
    }
    done = true;
  });
  std::string out;
  while (!done) log.take(out);
  worker.join();
  log.take(out);
  uint32_t lines = 0;
  int64_t last = -1;
  for (size_t at = 0; at < out.size(); ++lines) {
    const size_t end = out.find('\n', at);
    ASSERT_NE(end, std::string::npos);
    const auto parsed =
        nlohmann::json::parse(out.begin() + static_cast<ptrdiff_t>(at),
                              out.begin() + static_cast<ptrdiff_t>(end), nullptr, false);
    ASSERT_FALSE(parsed.is_discarded()) << out.substr(at, end - at);
    ASSERT_GT(parsed["bytes_sent"].get<int64_t>(), last);
    last = parsed["bytes_sent"].get<int64_t>();
    at = end + 1;
  }
  EXPECT_EQ(lines, appended);
}

}  // namespace
}  // namespace ringway::observe
