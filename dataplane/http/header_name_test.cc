#include "dataplane/http/header_name.h"

#include <gtest/gtest.h>

#include <string>

#include "dataplane/http/message.h"

namespace ringway::http {
namespace {

TEST(HeaderNames, EveryNameIsFoundInAnyCase) {
  for (int i = 0; i <= static_cast<int>(HeaderName::kAllow); ++i) {
    const auto id = static_cast<HeaderName>(i);
    const std::string text(header_text(id));
    std::string lower = text, upper = text;
    for (char& c : lower) c = static_cast<char>(std::tolower(c));
    for (char& c : upper) c = static_cast<char>(std::toupper(c));
    EXPECT_EQ(header_name_of(text), id) << text;
    EXPECT_EQ(header_name_of(lower), id) << text;
    EXPECT_EQ(header_name_of(upper), id) << text;
  }
}

TEST(HeaderNames, NearMissesAreOthers) {
  for (int i = 0; i <= static_cast<int>(HeaderName::kAllow); ++i) {
    const std::string text(header_text(static_cast<HeaderName>(i)));
    for (size_t at = 0; at < text.size(); ++at) {
      for (int bit = 0; bit < 8; ++bit) {
        std::string near = text;
        near[at] = static_cast<char>(near[at] ^ (1 << bit));
        const bool letter = std::isalpha(static_cast<unsigned char>(text[at])) != 0;
        if (letter && bit == 5) continue;  // The other case.
        EXPECT_EQ(header_name_of(near), HeaderName::kOther) << near;
      }
    }
    EXPECT_EQ(header_name_of(text + "x"), HeaderName::kOther);
    EXPECT_EQ(header_name_of(text.substr(1)), HeaderName::kOther);
  }
  EXPECT_EQ(header_name_of(""), HeaderName::kOther);
  EXPECT_EQ(header_name_of(std::string(1000, 'a')), HeaderName::kOther);
  EXPECT_EQ(header_text(HeaderName::kOther), "");
}

TEST(HeaderLists, FindRemoveSetAndReplaceKeepOrder) {
  HeaderList list;
  list.add(HeaderName::kHost, "a");
  list.add(HeaderName::kOther, "X-One", "1");
  list.add(HeaderName::kVia, "v1");
  list.add(HeaderName::kOther, "x-one", "2");
  list.add(HeaderName::kVia, "v2");
  EXPECT_EQ(list.find("X-ONE")->value(), "1");
  EXPECT_EQ(list.find("via")->value(), "v1");
  EXPECT_EQ(list.find(HeaderName::kDate), nullptr);
  EXPECT_TRUE(list.replace(HeaderName::kHost, "b"));
  EXPECT_EQ(list[0].value(), "b");
  list.remove("X-One");
  ASSERT_EQ(list.size(), 3u);
  EXPECT_EQ(list[1].value(), "v1");
  list.set(HeaderName::kVia, "v3");
  ASSERT_EQ(list.size(), 2u);
  EXPECT_EQ(list[1].value(), "v3");
  list.remove(HeaderName::kVia);
  EXPECT_FALSE(list.has(HeaderName::kVia));
  EXPECT_TRUE(list.has(HeaderName::kHost));
}

TEST(HeaderLists, RefusesWhatDoesNotFit) {
  HeaderList list;
  for (uint32_t i = 0; i < HeaderList::kHeadersMax; ++i)
    EXPECT_TRUE(list.add(HeaderName::kOther, "x", "y"));
  EXPECT_FALSE(list.add(HeaderName::kOther, "x", "y"));
  EXPECT_EQ(list.size(), HeaderList::kHeadersMax);
}

TEST(Methods, AreCaseSensitive) {
  EXPECT_EQ(method_of("GET"), Method::kGet);
  EXPECT_EQ(method_of("PATCH"), Method::kPatch);
  EXPECT_EQ(method_of("get"), Method::kOther);
  EXPECT_EQ(method_of("PROPFIND"), Method::kOther);
  EXPECT_TRUE(is_idempotent(Method::kPut));
  EXPECT_FALSE(is_idempotent(Method::kPost));
  EXPECT_FALSE(is_idempotent(Method::kPatch));
}

}  // namespace
}  // namespace ringway::http
