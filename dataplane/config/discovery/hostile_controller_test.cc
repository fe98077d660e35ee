// Whatever a peer sends, the client ends the connection with a reason, keeps its set, and tries
// again.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>

#include "dataplane/config/discovery/testing/client_harness.h"
#include "dataplane/config/discovery/testing/hostile_server.h"

namespace ringway::config {
namespace {

using namespace std::string_literals;
using testing::ClientHarness;
using testing::data_frames;
using testing::frame;
using testing::grpc;
using testing::headers;
using testing::HostileServer;
using testing::response_head;
using testing::Script;
using testing::settings;

v1::Resource cluster(const std::string& name) {
  v1::Resource resource;
  resource.set_name(name);
  resource.set_version(1);
  resource.mutable_cluster();
  return resource;
}

std::string transaction(const std::string& nonce, bool last, int upserts = 1) {
  v1::ControllerMessage message;
  v1::Transaction& t = *message.mutable_transaction();
  t.set_version("v");
  t.set_nonce(nonce);
  t.set_full(true);
  for (int i = 0; i < upserts; ++i) *t.add_upserts() = cluster("c" + std::to_string(i));
  t.set_last(last);
  return grpc(message.SerializeAsString());
}

std::string head() { return settings() + response_head(); }

struct HostileCase {
  const char* name;
  Script script;
  const char* error;  // Part of DiscoveryStatus::last_error.
};
void PrintTo(const HostileCase& c, std::ostream* out) { *out << c.name; }

std::vector<HostileCase> cases() {
  const std::string goaway_calm = frame(7, 0, 0, "\0\0\0\1\0\0\0\x0b"s + "too_many_pings");
  std::string continuation_flood = settings() + frame(1, 0, 1, "\0\1a\1b"s);
  for (int i = 0; i < 20'000; ++i) continuation_flood += frame(9, 0, 1, "\0\1a\1b"s);
  std::string settings_flood = head();
  for (int i = 0; i < 50'000; ++i) settings_flood += frame(4, 0, 0, "\0\3\0\0\0\1"s);
  return {
      {"not_http2", {"HTTP/1.1 400 Bad Request\r\n\r\n"}, "HTTP/2"},
      {"binary_noise", {std::string(100'000, '\xA5')}, "HTTP/2"},
      {"closed_at_once", {"", true}, "closed the connection"},
      {"closed_after_settings", {settings(), true}, "closed the connection"},
      {"silent", {""}, "connecting took too long"},
      {"status_503", {settings() + headers({{":status", "503"}})}, "HTTP status 503"},
      {"html",
       {settings() + headers({{":status", "200"}, {"content-type", "text/html"}})},
       "not gRPC"},
      {"trailers_only",
       {settings() + headers({{":status", "200"},
                              {"content-type", "application/grpc"},
                              {"grpc-status", "16"},
                              {"grpc-message", "no%20entry%0a"}},
                             true)},
       "gRPC status 16: no entry?"},
      {"trailers_after_head", {head() + headers({{"grpc-status", "14"}}, true)}, "gRPC status 14"},
      {"end_without_status", {head() + data_frames("", true)}, "without a gRPC status"},
      {"end_inside_message",
       {head() + data_frames(grpc("x").substr(0, 4), true)},
       "inside a message"},
      {"data_before_head", {settings() + data_frames(grpc("x"))}, ""},
      {"compressed", {head() + data_frames("\1\0\0\0\1x"s)}, "compressed"},
      {"unknown_flag", {head() + data_frames("\x80\0\0\0\1x"s)}, "unknown flag"},
      {"four_gigabytes", {head() + data_frames("\0\xff\xff\xff\xff"s)}, "size limit"},
      {"one_above_the_limit", {head() + data_frames("\0\0\x40\0\1"s)}, "size limit"},
      {"no_protobuf", {head() + data_frames(grpc(std::string(50, '\xff')))}, "does not parse"},
      {"no_nonce", {head() + data_frames(transaction("", true))}, "nonce"},
      {"mixed", {head() + data_frames(transaction("1", false) + transaction("2", true))}, "mixed"},
      {"killed_inside_transaction",
       {head() + data_frames(transaction("1", false, 100)), true},
       "closed the connection"},
      {"killed_inside_message",
       {head() + data_frames(transaction("1", true, 100).substr(0, 700)), true},
       "closed the connection"},
      {"reset", {head() + frame(3, 0, 1, "\0\0\0\x08"s)}, "stream reset: CANCEL"},
      {"refused_stream",
       {settings() + frame(3, 0, 1, "\0\0\0\x07"s)},
       "stream reset: REFUSED_STREAM"},
      {"goaway", {head() + frame(7, 0, 0, "\0\0\0\1\0\0\0\0"s)}, "going away: NO_ERROR"},
      {"goaway_calm", {head() + goaway_calm}, "ENHANCE_YOUR_CALM (too_many_pings)"},
      {"push_promise", {settings() + frame(5, 4, 1, "\0\0\0\2\x88"s)}, "HTTP/2"},
      {"window_overflow", {head() + frame(8, 0, 1, "\x7f\xff\xff\xff"s)}, ""},
      {"frame_above_16k", {settings() + frame(0, 0, 1, std::string(20'000, 'x'))}, "HTTP/2"},
      {"continuation_flood", {continuation_flood}, "HTTP/2"},
      {"settings_flood", {settings_flood}, ""},
      {"no_ping_answer", {head()}, "no answer to PING"},
      {"never_the_last",
       {head() + data_frames(transaction("1", false)), false, frame(6, 0, 0, "12345678")},
       "took too long to arrive"},
      {"slow_message",
       {head() + data_frames("\0\0\x10\0\0"s), false, frame(6, 0, 0, "12345678")},
       "took too long to arrive"},
  };
}

class HostileControllerTest : public ::testing::TestWithParam<HostileCase> {
 protected:
  void SetUp() override {
    char name[] = "/tmp/ringway-hostile-XXXXXX";
    folder_ = ::mkdtemp(name);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  static DiscoveryOptions options(const std::string& path) {
    DiscoveryOptions options = testing::quick_options("unix:" + path);
    options.times = {.connect_ms = 300,
                     .transaction_ms = 400,
                     .ping_ms = 150,
                     .ping_timeout_ms = 150,
                     .backoff_min_ms = 10,
                     .backoff_max_ms = 40};
    return options;
  }
  std::string folder_;
};

TEST_P(HostileControllerTest, EndsWithAReasonAndTheSetStays) {
  const HostileCase& c = GetParam();
  const std::string path = folder_ + "/s";
  HostileServer server(path, c.script);
  ResourceSet held;
  held.upsert(cluster("kept"));
  held.set_version("before");
  ClientHarness proxy(options(path), std::move(held));
  ASSERT_TRUE(proxy.until([&] { return proxy.client.status().failures >= 2; }))
      << "ends, and tries again";
  EXPECT_THAT(proxy.client.status().last_error, ::testing::HasSubstr(c.error));
  EXPECT_NE(proxy.client.status().last_error, "");
  EXPECT_EQ(proxy.client.resources().size(), 1u);
  EXPECT_EQ(proxy.client.resources().version(), "before");
  EXPECT_EQ(proxy.sink.applied.size(), 0u);
}

INSTANTIATE_TEST_SUITE_P(Faults, HostileControllerTest, ::testing::ValuesIn(cases()),
                         [](const auto& test) { return std::string(test.param.name); });

// Bytes that begin well and are then changed at random places: no crash, no change of the set that
// no transaction made.
TEST_F(HostileControllerTest, SurvivesFlippedBytes) {
  const std::string good =
      head() + data_frames(transaction("1", false, 20) + transaction("1", true, 0));
  Random random(7);
  for (int round = 0; round < 60; ++round) {
    SCOPED_TRACE(round);
    std::string bytes = good;
    for (int flips = 0; flips < 3; ++flips)
      bytes[random.below(static_cast<uint32_t>(bytes.size()))] ^=
          static_cast<char>(1 << random.below(8));
    const std::string path = folder_ + "/" + std::to_string(round);
    HostileServer server(path, {bytes, true});
    ClientHarness proxy(options(path));
    EXPECT_TRUE(proxy.until([&] { return proxy.client.status().failures >= 1; }));
    EXPECT_EQ(proxy.client.resources().size(), proxy.sink.state.size());
  }
}

TEST_F(HostileControllerTest, ResourcesThatMakeNoSenseAreNacked) {
  v1::ControllerMessage message;
  v1::Transaction& t = *message.mutable_transaction();
  t.set_version("v");
  t.set_nonce("1");
  t.set_full(true);
  t.set_last(true);
  *t.add_upserts() = cluster("twice");
  *t.add_upserts() = cluster("twice");
  const std::string path = folder_ + "/s";
  HostileServer server(path, {head() + data_frames(grpc(message.SerializeAsString()))});
  ClientHarness proxy(options(path));
  ASSERT_TRUE(proxy.until([&] { return proxy.client.status().rejected == 1; }));
  EXPECT_EQ(proxy.client.status().rejection,
            "cluster \"twice\": resource is twice in the transaction");
  EXPECT_EQ(proxy.sink.applied.size(), 0u);
}

}  // namespace
}  // namespace ringway::config
