// The pure parsers by themselves; what they refuse is in security_request_test.cc.
#include <gtest/gtest.h>

#include "dataplane/http/codec_testing.h"
#include "dataplane/http/request_parser.h"
#include "dataplane/http/response_parser.h"
#include "dataplane/http/websocket_accept.h"

namespace ringway::http::testing {
namespace {

constexpr std::string_view kRequest =
    "GET /a?b HTTP/1.1\r\nHost: a\r\nX-Long-Name-Of-A-Field: \t value \t\r\nEmpty:\r\n\r\n";

class ScanKinds : public ::testing::TestWithParam<ScanKind> {};
INSTANTIATE_TEST_SUITE_P(Twins, ScanKinds,
                         ::testing::Values(ScanKind::kPortable, ScanKind::kVector));

TEST_P(ScanKinds, ParseARequest) {
  RequestHead head;
  HeadProgress progress;
  const ParseResult parsed =
      parse_request_head(std::string(kRequest) + "rest", {}, progress, head, GetParam());
  ASSERT_EQ(parsed.status, ParseStatus::kComplete);
  EXPECT_EQ(parsed.bytes, kRequest.size());
  EXPECT_EQ(head.method, Method::kGet);
  EXPECT_EQ(head.headers.size(), 3u);
  EXPECT_TRUE(head.headers.has(HeaderName::kHost));
}

TEST_P(ScanKinds, GoOnWhereTheyStopped) {
  for (size_t cut = 0; cut < kRequest.size(); ++cut) {
    RequestHead head;
    HeadProgress progress;
    EXPECT_EQ(parse_request_head(kRequest.substr(0, cut), {}, progress, head, GetParam()).status,
              ParseStatus::kIncomplete);
    const uint32_t lines = progress.line_start;
    ASSERT_EQ(parse_request_head(kRequest, {}, progress, head, GetParam()).status,
              ParseStatus::kComplete);
    EXPECT_GE(progress.line_start, lines);
    EXPECT_EQ(describe(head.headers), " Host=a; X-Long-Name-Of-A-Field=value; Empty=;");
  }
}

// Never a byte beyond the end: each text lies at the very end of a heap block, where ASan sees one
// byte too far.
TEST_P(ScanKinds, ReadNothingBeyondTheEnd) {
  const std::string text = "GET /" + std::string(40, 'p') + " HTTP/1.1\r\nHost: a\r\nX-" +
                           std::string(40, 'n') + ": " + std::string(100, 'v') + "\r\n\r\n";
  for (size_t size = 0; size <= text.size(); ++size) {
    const std::unique_ptr<char[]> exact(new char[size]);
    text.copy(exact.get(), size);
    RequestHead head;
    HeadProgress progress;
    const ParseResult parsed =
        parse_request_head({exact.get(), size}, {}, progress, head, GetParam());
    EXPECT_EQ(parsed.status,
              size == text.size() ? ParseStatus::kComplete : ParseStatus::kIncomplete);
    ResponseHead response;
    progress = {};
    parse_response_head({exact.get(), size}, {}, progress, response, GetParam());
  }
}

TEST(WebsocketAccepts, AreThoseOfTheRfc) {
  const auto accept = [](std::string_view key) {
    const WebsocketAccept text = websocket_accept(key);
    return std::string(text.data(), text.size());
  };
  EXPECT_EQ(accept("dGhlIHNhbXBsZSBub25jZQ=="),
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");  // RFC 6455 section 1.3
  EXPECT_EQ(accept("x3JJHMbDL1EzLkh9GBhXDw=="), "HSmrc0sMlYUkAGmm5OPpG2HaGWk=");
  EXPECT_EQ(accept(std::string(100, 'a')), "+taVhj8zzaJPYE6HHo1ugamK/Ug=");  // Two blocks and more.
}

}  // namespace
}  // namespace ringway::http::testing
