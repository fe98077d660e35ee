#include "controlplane/identity/memory_file.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "base/file_stamp.h"

namespace ringway::identity {
namespace {

TEST(MemoryFileTest, IsReadByItsPathAndReplaced) {
  MemoryFile file("test");
  EXPECT_EQ(read_file(file.path(), 100), "");
  file.replace("one");
  EXPECT_EQ(read_file(file.path(), 100), "one");
  const auto before = stamp_of(file.path());
  file.replace("two");
  EXPECT_EQ(read_file(file.path(), 100), "two");
  EXPECT_NE(stamp_of(file.path()), before);
}

TEST(MemoryFileTest, AReaderGetsOneContentWhole) {
  MemoryFile file("test");
  const std::string a(100'000, 'a'), b(70'000, 'b');
  file.replace(a);
  std::atomic<bool> done = false;
  std::thread reader([&] {
    while (!done) {
      const auto text = read_file(file.path(), 1 << 20);
      ASSERT_TRUE(text == a || text == b);
    }
  });
  for (int i = 0; i < 300; ++i) file.replace(i % 2 == 0 ? b : a);
  done = true;
  reader.join();
}

}  // namespace
}  // namespace ringway::identity
