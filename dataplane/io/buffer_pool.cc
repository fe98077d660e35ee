#include "dataplane/io/buffer_pool.h"

#include <algorithm>
#include <cstdlib>

#ifdef __has_include
#if __has_include(<sanitizer/asan_interface.h>)
#include <sanitizer/asan_interface.h>  // Its macros are empty without -fsanitize=address.
#endif
#endif
#ifndef ASAN_POISON_MEMORY_REGION
#define ASAN_POISON_MEMORY_REGION(address, bytes) static_cast<void>(0)
#define ASAN_UNPOISON_MEMORY_REGION(address, bytes) static_cast<void>(0)
#endif

namespace ringway::io {
namespace {

constexpr size_t kCacheLine = 64;
constexpr size_t kPage = 4096;

}  // namespace

// One line more than the buffer: buffers a power of two apart would share the same few cache sets,
// since of most only the first lines are touched; and under ASan the line between them stays
// poisoned for ever.
size_t BufferPool::stride() const {
  return (size_t{options_.buffer_bytes} + kCacheLine - 1) / kCacheLine * kCacheLine + kCacheLine;
}

BufferPool::BufferPool(const BufferPoolOptions& options) : options_(options) {
  CHECK(options.buffer_bytes > 0 && options.buffers > 0);
  CHECK(options.buffers <= options.buffers_max);
  grow(options.buffers);
}

BufferPool::~BufferPool() {
  CHECK(in_use_ == 0);
  for (const Slab& slab : slabs_) {
    ASAN_UNPOISON_MEMORY_REGION(slab.memory, slab.bytes);
    std::free(slab.memory);
  }
}

void BufferPool::grow(uint32_t buffers) {
  const size_t bytes = (stride() * buffers + kPage - 1) / kPage * kPage;
  void* slab = std::aligned_alloc(kPage, bytes);
  CHECK(slab != nullptr);
  slabs_.push_back({slab, bytes});
  headers_.push_back(std::make_unique<Buffer[]>(buffers));
  const uint32_t first = total();
  buffers_.reserve(first + buffers);
  free_.reserve(first + buffers);
  for (uint32_t i = 0; i < buffers; ++i) {
    headers_.back()[i] = Buffer{this, static_cast<std::byte*>(slab) + i * stride(),
                                options_.buffer_bytes, 0, first + i};
    buffers_.push_back(&headers_.back()[i]);
  }
  for (uint32_t i = buffers; i-- > 0;) free_.push_back(&headers_.back()[i]);  // Lowest first out.
  ASAN_POISON_MEMORY_REGION(slab, bytes);
}

bool BufferPool::grow() {
  const uint32_t more = std::min(total(), options_.buffers_max - total());
  if (more == 0) return false;
  grow(more);
  if (give_back_ == nullptr) return true;
  for (Buffer* buffer : std::exchange(free_, {})) give_back_(give_back_context_, *buffer);
  return true;
}

Slice BufferPool::take() {
  Slice slice = try_take();
  CHECK(slice.buffer() != nullptr);
  return slice;
}

Slice BufferPool::try_take() {
  CHECK(give_back_ == nullptr);
  if (free_.empty()) {
    if (!grow()) return {};
  }
  Buffer* buffer = free_.back();
  free_.pop_back();
  return lend(buffer->id, 0);
}

Slice BufferPool::lend(uint32_t id, uint32_t bytes) {
  CHECK(id < total() && buffers_[id]->references == 0);
  note_lent();
  ASAN_UNPOISON_MEMORY_REGION(buffers_[id]->data, options_.buffer_bytes);
  return Slice(*buffers_[id], 0, bytes);
}

void BufferPool::set_give_back(GiveBack give_back, void* context) {
  give_back_ = give_back;
  give_back_context_ = context;
  if (give_back == nullptr) return;
  for (Buffer* buffer : buffers_) {
    if (buffer->references == 0) give_back(context, *buffer);
  }
  free_.clear();
}

void BufferPool::give_back(Buffer& buffer) {
  CHECK(in_use_ > 0 && buffer.references == 0);
  --in_use_;
  if (options_.scribble) std::memset(buffer.data, 0xDD, options_.buffer_bytes);
  ASAN_POISON_MEMORY_REGION(buffer.data, options_.buffer_bytes);
  if (give_back_ != nullptr) {
    give_back_(give_back_context_, buffer);
  } else {
    free_.push_back(&buffer);
  }
}

}  // namespace ringway::io
