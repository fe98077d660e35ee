#include "controlplane/base/hash.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace ringway {
namespace {

TEST(ContentHash, IsTheSameInEveryRun) {
  EXPECT_EQ(content_hash(""), 0xe220a8397b1dcdafu);
  EXPECT_EQ(content_hash("ringway"), content_hash(std::string("ringway")));
}

TEST(ContentHash, TellsLengthsAndSingleBitsApart) {
  std::set<uint64_t> seen;
  size_t count = 0;
  for (size_t length = 0; length < 40; ++length) {
    std::string text(length, '\0');
    seen.insert(content_hash(text));
    ++count;
    for (size_t bit = 0; bit < 8 * length; ++bit, ++count) {
      std::string changed = text;
      changed[bit / 8] = static_cast<char>(changed[bit / 8] ^ (1 << (bit % 8)));
      seen.insert(content_hash(changed));
    }
  }
  EXPECT_EQ(seen.size(), count);
  EXPECT_FALSE(seen.contains(0));
}

}  // namespace
}  // namespace ringway
