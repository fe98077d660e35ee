#include "dataplane/io/buffer_pool.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

namespace ringway::io {
namespace {

TEST(BufferPool, GrowsToItsLimit) {
  BufferPool pool({.buffer_bytes = 100, .buffers = 2, .buffers_max = 5});
  std::vector<Slice> slices;
  std::set<const void*> places;
  for (int i = 0; i < 5; ++i) {
    slices.push_back(pool.take());
    EXPECT_EQ(slices.back().tail().size(), 100u);
    EXPECT_TRUE(places.insert(slices.back().data()).second);
  }
  EXPECT_EQ(pool.total(), 5u);
  EXPECT_EQ(pool.try_take().buffer(), nullptr);
  EXPECT_DEATH(pool.take(), "CHECK failed");
  slices.pop_back();
  EXPECT_NE(pool.try_take().buffer(), nullptr);
  EXPECT_EQ(pool.in_use(), 4u);
  EXPECT_EQ(pool.in_use_high_water(), 5u);
  slices.clear();
  EXPECT_EQ(pool.in_use(), 0u);
}

TEST(BufferPool, LentPoolGivesBackToTheKernel) {
  std::vector<uint32_t> given;
  BufferPool pool({.buffer_bytes = 32, .buffers = 4, .buffers_max = 4});
  pool.set_give_back(
      [](void* context, Buffer& buffer) {
        static_cast<std::vector<uint32_t>*>(context)->push_back(buffer.id);
      },
      &given);
  EXPECT_EQ(given, (std::vector<uint32_t>{0, 1, 2, 3}));
  {
    Slice slice = pool.lend(2, 10);
    EXPECT_EQ(slice.size(), 10u);
    EXPECT_EQ(pool.in_use(), 1u);
    EXPECT_TRUE(pool.free_percent(75));
    EXPECT_FALSE(pool.free_percent(76));
  }
  EXPECT_EQ(given.back(), 2u);
  EXPECT_EQ(pool.in_use(), 0u);
}

TEST(BufferPool, ASliceLeftBehindIsCaught) {
  EXPECT_DEATH(
      {
        auto pool = std::make_unique<BufferPool>(
            BufferPoolOptions{.buffer_bytes = 32, .buffers = 1, .buffers_max = 1});
        Slice slice = pool->take();
        pool.reset();
      },
      "CHECK failed");
}

#ifdef __SANITIZE_ADDRESS__
TEST(BufferPool, UseAfterReleaseIsCaught) {
  BufferPool pool({.buffer_bytes = 32, .buffers = 2, .buffers_max = 2});
  Slice slice = pool.take();
  const auto* data = reinterpret_cast<const volatile char*>(slice.data());
  slice.reset();
  EXPECT_DEATH(static_cast<void>(data[3]), "use-after-poison");
  Slice again = pool.take();
  EXPECT_DEATH(static_cast<void>(data[32]), "use-after-poison") << "the line between two buffers";
}
#endif

}  // namespace
}  // namespace ringway::io
