#include "base/utf8.h"

#include <gtest/gtest.h>

#include <string_view>

namespace ringway {
namespace {

using namespace std::string_view_literals;

TEST(Utf8, TakesWhatRfc3629Allows) {
  for (const std::string_view text : {""sv, "a"sv, "\x00"sv, "\xC2\x80"sv, "\xDF\xBF"sv, "\xE0\xA0\x80"sv, "\xED\x9F\xBF"sv,
                                      "\xEE\x80\x80"sv, "\xF0\x90\x80\x80"sv, "\xF4\x8F\xBF\xBF"sv, "a\xC3\xA4z"sv}) {
    EXPECT_TRUE(is_utf8(text)) << testing::PrintToString(text);
  }
}

TEST(Utf8, RefusesOverlongSurrogateTruncatedAndStrayBytes) {
  for (const std::string_view text : {"\x80"sv, "\xBF"sv, "\xC0\x80"sv, "\xC1\xBF"sv, "\xC2"sv, "\xC2g"sv, "\xE0\x9F\xBF"sv,
                                      "\xED\xA0\x80"sv, "\xE1\x80"sv, "\xF0\x8F\xBF\xBF"sv, "\xF4\x90\x80\x80"sv,
                                      "\xF5\x80\x80\x80"sv, "\xFF"sv, "a\xC3"sv}) {
    EXPECT_FALSE(is_utf8(text)) << testing::PrintToString(text);
  }
}

}  // namespace
}  // namespace ringway
