#include "dataplane/proxy/grpc.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

namespace ringway::proxy {
namespace {

TEST(Grpc, IsToldByItsContentType) {
  const std::pair<const char*, bool> cases[] = {
      {"application/grpc", true},           {"application/grpc+proto", true},
      {"application/grpc;charset=x", true}, {"APPLICATION/GRPC+json", true},
      {"application/grpc-web", false},      {"application/grpc-web-text", false},
      {"application/grpcx", false},         {"application/json", false},
      {"application/grp", false},           {"", false}};
  for (const auto& [type, grpc] : cases) {
    http::HeaderList headers;
    headers.add(http::HeaderName::kContentType, type);
    EXPECT_EQ(is_grpc(headers), grpc) << type;
  }
  EXPECT_FALSE(is_grpc({}));
}

TEST(Grpc, TimeoutsAreReadStrictly) {
  const std::pair<const char*, uint64_t> good[] = {{"1n", 1},
                                                   {"100u", 100'000},
                                                   {"5m", 5'000'000},
                                                   {"30S", 30'000'000'000},
                                                   {"2M", 120'000'000'000},
                                                   {"1H", 3'600'000'000'000},
                                                   {"0m", 0},
                                                   {"99999999S", 99'999'999'000'000'000}};
  for (const auto& [text, ns] : good) EXPECT_EQ(parse_grpc_timeout_ns(text), ns) << text;
  EXPECT_GT(*parse_grpc_timeout_ns("99999999H"), uint64_t{1} << 62);  // Bounded, not wrapped.
  EXPECT_LE(*parse_grpc_timeout_ns("99999999H"), static_cast<uint64_t>(INT64_MAX));
  for (const char* text :
       {"", "1", "S", "123456789S", "-1S", "+1S", " 1S", "1 S", "1s", "1x", "1.5S"}) {
    EXPECT_EQ(parse_grpc_timeout_ns(text), std::nullopt) << text;
  }
}

TEST(Grpc, TimeoutsAreWrittenInTheFinestUnitThatHasRoom) {
  std::array<char, 9> out;
  const std::pair<uint64_t, const char*> cases[] = {{0, "1n"},
                                                    {99'999'999, "99999999n"},
                                                    {100'000'000, "100000u"},
                                                    {99'999'999'999, "99999999u"},
                                                    {100'000'000'000, "100000m"},
                                                    {static_cast<uint64_t>(INT64_MAX), "2562047H"}};
  for (const auto& [ns, text] : cases) {
    EXPECT_EQ(write_grpc_timeout(ns, out), text) << ns;
    EXPECT_LE(*parse_grpc_timeout_ns(write_grpc_timeout(ns, out)), std::max<uint64_t>(ns, 1));
  }
}

TEST(Grpc, AnswersOfOurOwn) {
  const std::pair<uint16_t, const char*> cases[] = {
      {404, "12"}, {503, "14"}, {502, "14"}, {504, "4"},  {413, "8"},
      {429, "8"},  {403, "7"},  {401, "16"}, {400, "13"}, {500, "2"}};
  for (const auto& [status, number] : cases) {
    http::ResponseHead head;
    fill_grpc_response(head, status, "now");
    EXPECT_EQ(head.status, 200);
    EXPECT_EQ(head.headers.find(http::HeaderName::kGrpcStatus)->value(), number) << status;
    EXPECT_EQ(is_grpc_unavailable(head), std::string_view(number) == "14");
  }
}

TEST(GrpcStatusText, Digits) {
  EXPECT_EQ(parse_grpc_status("0"), 0);
  EXPECT_EQ(parse_grpc_status("16"), 16);
  EXPECT_EQ(parse_grpc_status("99"), 99);
  for (const char* bad : {"", "x", "-1", "1x", " 1", "100", "1 "})
    EXPECT_FALSE(parse_grpc_status(bad)) << bad;
}

}  // namespace
}  // namespace ringway::proxy
