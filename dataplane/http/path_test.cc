#include "dataplane/http/path.h"

#include <gtest/gtest.h>

#include <string>

namespace ringway::http {
namespace {

struct PathCase {
  std::string_view raw, want;
};

class PathTest : public ::testing::Test {
 protected:
  io::BufferPool pool_{{.buffer_bytes = 4096, .buffers = 4, .buffers_max = 64}};
};

TEST_F(PathTest, CanonicalFormIsWhatIsMatchedAndSent) {
  constexpr PathCase kCases[] = {
      {"/", "/"},
      {"/a/b.html", "/a/b.html"},
      {"/a/../b", "/b"},
      {"/a/./b", "/a/b"},
      {"/..", "/"},
      {"/../../a", "/a"},
      {"/a/..", "/"},
      {"/a/b/..", "/a/"},
      {"/a/.", "/a/"},
      {"/.", "/"},
      {"/a/b/../../c", "/c"},
      {"//admin", "/admin"},
      {"/a///b//", "/a/b/"},
      {"/a//../b", "/b"},
      {"/%2e%2e/admin", "/admin"},
      {"/a/%2E%2e/b", "/b"},
      {"/a/.%2e/b", "/b"},
      {"/%2e", "/"},
      {"/%61%7E%5f", "/a~_"},
      {"/a%2fb", "/a%2Fb"},
      {"/a%2F..%2fb", "/a%2F..%2Fb"},
      {"/%5c..%5C", "/%5C..%5C"},
      {"/admin;x/y", "/admin;x/y"},
      {"/..;/x", "/..;/x"},
      {"/.../.a/a./..b", "/.../.a/a./..b"},
      {"/%20%c3%a4", "/%20%C3%A4"},
      {"/%c0%ae%c0%ae/", "/%C0%AE%C0%AE/"},
      {"/a%25%32%65", "/a%252e"},
      {"/%252e%252e/", "/%252e%252e/"},
      {"/!$&'()*+,=:@|\"<>^`{}", "/!$&'()*+,=:@|\"<>^`{}"},
  };
  for (const PathCase& c : kCases) {
    SCOPED_TRACE(c.raw);
    const auto path = canonical_path(c.raw, pool_);
    ASSERT_TRUE(path.has_value());
    EXPECT_EQ(path->path, c.want);
    EXPECT_EQ(is_canonical_path(c.raw), c.raw == c.want);
    EXPECT_EQ(path->memory.buffer() == nullptr, c.raw == c.want);
    EXPECT_TRUE(is_canonical_path(path->path));
  }
}

TEST_F(PathTest, RefusesWhatHasNoMeaning) {
  using namespace std::string_view_literals;
  for (const std::string_view raw :
       {""sv, "a"sv, "*"sv, "/%"sv, "/%4"sv, "/%zz"sv, "/%g0"sv, "/a%00b"sv, "/a b"sv, "/a#b"sv,
        "/a\\b"sv, "/\x80"sv, "/\xff"sv, "/\x7f"sv, "/\t"sv, "/a\0b"sv, "/a%2"sv, "/../%"sv}) {
    SCOPED_TRACE(raw);
    const auto path = canonical_path(raw, pool_);
    ASSERT_FALSE(path.has_value());
    EXPECT_EQ(path.error(), Error::kBadTarget);
    EXPECT_FALSE(is_canonical_path(raw));
  }
}

TEST_F(PathTest, LongPathsGetABlockOfTheirOwn) {
  const std::string raw = "/" + std::string(6000, 'x') + "/../y" + std::string(2000, 'z');
  const auto path = canonical_path(raw, pool_);
  ASSERT_TRUE(path.has_value());
  EXPECT_EQ(path->path, "/y" + std::string(2000, 'z'));
}

}  // namespace
}  // namespace ringway::http
