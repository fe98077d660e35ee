#include "dataplane/http/h2_memory.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <new>

#include "base/check.h"

namespace ringway::http {
namespace {

constexpr size_t kKeptBytesMax = 8 * 1024 * 1024;  // Of one thread: some 200 sessions' worth.
constexpr size_t kSmallest = 32;
constexpr uint32_t kClasses = 22;  // 32, 48, 64, 96, ... 49152: two to an octave.
constexpr uint32_t kNoClass = kClasses;

constexpr size_t class_bytes(uint32_t index) {
  const size_t octave = kSmallest << (index / 2);
  return index % 2 == 0 ? octave : octave + octave / 2;
}

constexpr uint32_t class_of(size_t bytes) {
  if (bytes <= kSmallest) return 0;
  const auto log =
      static_cast<uint32_t>(std::bit_width(bytes - 1)) - 1;  // 2^log < bytes <= 2^(log+1)
  const size_t half = (size_t{1} << log) + (size_t{1} << (log - 1));
  const uint32_t index = 2 * (log - 5) + (bytes <= half ? 1 : 2);
  return index < kClasses ? index : kNoClass;
}
static_assert(class_of(32) == 0 && class_of(33) == 1 && class_of(48) == 1 && class_of(49) == 2);
static_assert(class_of(64) == 2 && class_of(65) == 3 && class_of(97) == 4);
static_assert(class_of(class_bytes(kClasses - 1)) == kClasses - 1 &&
              class_of(class_bytes(kClasses - 1) + 1) == kNoClass);

struct alignas(16) Block {
  size_t bytes;  // Without this header.
  uint32_t index;
  union {
    uint32_t unused;
  };
};
static_assert(sizeof(Block) == 16);

struct Lists {
  std::array<Block*, kClasses> free{};
  H2MemoryStats stats;
  bool gone = false;  // The thread ends: nothing is kept any more.

  ~Lists() {
    gone = true;
    for (Block*& first : free) {
      while (first != nullptr) {
        Block* block = first;
        first = next(block);
        std::free(block);
      }
    }
  }
  // A free block keeps the link where its user's bytes were.
  static Block*& next(Block* block) { return *reinterpret_cast<Block**>(block + 1); }
};
thread_local Lists lists;

void* take(size_t bytes) {
  const uint32_t index = class_of(bytes);
  Block* block = nullptr;
  if (index != kNoClass) {
    bytes = class_bytes(index);
    block = lists.free[index];
  }
  if (block != nullptr) {
    lists.free[index] = Lists::next(block);
    lists.stats.kept_bytes -= bytes;
  } else {
    ++lists.stats.from_malloc;
    block = static_cast<Block*>(std::malloc(sizeof(Block) + bytes));
    CHECK(block != nullptr);
    block->bytes = bytes;
    block->index = index;
  }
  lists.stats.in_use_bytes += bytes;
  return block + 1;
}

void give(void* memory) {
  if (memory == nullptr) return;
  Block* block = static_cast<Block*>(memory) - 1;
  lists.stats.in_use_bytes -= block->bytes;
  if (block->index == kNoClass || lists.gone ||
      lists.stats.kept_bytes + block->bytes > kKeptBytesMax) {
    return std::free(block);
  }
  Lists::next(block) = lists.free[block->index];
  lists.free[block->index] = block;
  lists.stats.kept_bytes += block->bytes;
}

void* mem_malloc(size_t bytes, void*) { return take(bytes); }
void mem_free(void* memory, void*) { give(memory); }

void* mem_calloc(size_t count, size_t bytes, void*) {
  CHECK(bytes == 0 || count <= SIZE_MAX / 2 / bytes);
  void* memory = take(count * bytes);
  std::memset(memory, 0, count * bytes);
  return memory;
}

void* mem_realloc(void* memory, size_t bytes, void*) {
  if (memory == nullptr) return take(bytes);
  const size_t old_bytes = (static_cast<Block*>(memory) - 1)->bytes;
  if (bytes <= old_bytes && bytes > 0) return memory;
  void* moved = take(bytes);
  std::memcpy(moved, memory, std::min(old_bytes, bytes));
  give(memory);
  return moved;
}

}  // namespace

nghttp2_mem* h2_memory() {
  static nghttp2_mem memory{nullptr, mem_malloc, mem_free, mem_calloc, mem_realloc};
  return &memory;
}

const H2MemoryStats& h2_memory_stats() { return lists.stats; }

}  // namespace ringway::http
