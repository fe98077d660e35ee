#include "dataplane/io/slice.h"

#include <gtest/gtest.h>

#include <string>

#include "dataplane/io/buffer_pool.h"

namespace ringway::io {
namespace {

Slice slice_of(BufferPool& pool, std::string_view text) {
  Slice slice = pool.take();
  CHECK(text.size() <= slice.tail().size());
  std::memcpy(slice.tail().data(), text.data(), text.size());
  slice.extend(static_cast<uint32_t>(text.size()));
  return slice;
}

std::string text_of(const SliceQueue& queue) {
  std::string text;
  queue.for_each([&](const Slice& slice) {
    text += slice.view();
    return true;
  });
  return text;
}

TEST(Slice, CountsItsBuffer) {
  BufferPool pool({.buffer_bytes = 64, .buffers = 2, .buffers_max = 2});
  Slice first = slice_of(pool, "hello world");
  EXPECT_EQ(pool.in_use(), 1u);
  EXPECT_FALSE(first.tail().empty());
  Slice second = first.share(6, 5);
  EXPECT_TRUE(first.tail().empty()) << "a shared buffer must not be written";
  EXPECT_EQ(second.view(), "world");
  first.reset();
  EXPECT_EQ(pool.in_use(), 1u);
  EXPECT_EQ(second.view(), "world");
  second = Slice();
  EXPECT_EQ(pool.in_use(), 0u);
}

TEST(Slice, CutsAndMoves) {
  BufferPool pool({.buffer_bytes = 64, .buffers = 1, .buffers_max = 1});
  Slice all = slice_of(pool, "GET / HTTP/1.1");
  Slice method = all.split_prefix(3);
  all.remove_prefix(1);
  all.truncate(1);
  EXPECT_EQ(method.view(), "GET");
  EXPECT_EQ(all.view(), "/");
  Slice moved = std::move(all);
  EXPECT_EQ(all.buffer(), nullptr);
  EXPECT_TRUE(all.empty());
  Slice& alias = moved;
  moved = std::move(alias);
  EXPECT_EQ(moved.view(), "/");
}

TEST(SliceQueue, KeepsOrderAndCounts) {
  BufferPool pool({.buffer_bytes = 16, .buffers = 8, .buffers_max = 8});
  {
    SliceQueue queue;
    EXPECT_TRUE(queue.empty());
    queue.push(Slice());
    EXPECT_TRUE(queue.empty()) << "an empty slice is dropped";
    queue.push(slice_of(pool, "abc"));
    queue.push(slice_of(pool, "defg"));
    EXPECT_EQ(queue.size(), 7u);
    EXPECT_EQ(queue.slices(), 2u);
    queue.consume(4);
    EXPECT_EQ(text_of(queue), "efg");
    EXPECT_EQ(pool.in_use(), 1u);

    SliceQueue other;
    other.push(slice_of(pool, "hi"));
    queue.append(std::move(other));
    EXPECT_TRUE(other.empty());
    EXPECT_EQ(other.size(), 0u);
    EXPECT_EQ(queue.pop().view(), "efg");
    EXPECT_EQ(queue.front().view(), "hi");
    SliceQueue moved = std::move(queue);
    EXPECT_EQ(text_of(moved), "hi");
    EXPECT_EQ(queue.slices(), 0u);
    moved.consume(2);
    EXPECT_TRUE(moved.empty());
    moved.push(slice_of(pool, "left behind"));
  }
  EXPECT_EQ(pool.in_use(), 0u);
}

TEST(SliceQueue, AppendCopyFillsTailsAndGrows) {
  BufferPool pool({.buffer_bytes = 8, .buffers = 1, .buffers_max = 16});
  SliceQueue queue;
  queue.append_copy(pool, "0123");
  queue.append_copy(pool, "45");
  EXPECT_EQ(queue.slices(), 1u) << "the second copy fits behind the first";
  queue.append_copy(pool, "6789abcdefghij");
  EXPECT_EQ(text_of(queue), "0123456789abcdefghij");
  EXPECT_EQ(queue.size(), 20u);
  EXPECT_EQ(queue.slices(), 3u);
  Slice kept;
  queue.for_each([&](const Slice& slice) {
    kept = slice.share();
    return true;
  });
  queue.append_copy(pool, "Z");  // The last buffer has another owner now.
  EXPECT_EQ(queue.slices(), 4u);
  EXPECT_EQ(kept.view(), "ghij");
  EXPECT_EQ(text_of(queue), "0123456789abcdefghijZ");
}

TEST(SliceQueue, ForEachStops) {
  BufferPool pool({.buffer_bytes = 8, .buffers = 4, .buffers_max = 4});
  SliceQueue queue;
  for (int i = 0; i < 3; ++i) queue.push(slice_of(pool, "x"));
  int seen = 0;
  queue.for_each([&](const Slice&) { return ++seen < 2; });
  EXPECT_EQ(seen, 2);
}

}  // namespace
}  // namespace ringway::io
