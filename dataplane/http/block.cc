#include "dataplane/http/block.h"

#include <cstdlib>
#include <new>

namespace ringway::http {
namespace {

// Counts the blocks of a thread and frees each when its last slice goes.
class HeapBlocks {
 public:
  HeapBlocks() : pool_({.buffer_bytes = 1, .buffers = 1, .buffers_max = 1}) {
    pool_.set_give_back(&HeapBlocks::free_block, this);
  }

  io::Slice take(uint32_t bytes) {
    void* memory = std::malloc(sizeof(io::Buffer) + bytes);
    CHECK(memory != nullptr);
    auto* buffer = new (memory)
        io::Buffer{&pool_, static_cast<std::byte*>(memory) + sizeof(io::Buffer), bytes, 0, kHeapId};
    pool_.note_lent();
    return io::Slice(*buffer, 0, 0);
  }

 private:
  static constexpr uint32_t kHeapId = ~uint32_t{0};  // The pool's own buffer has number 0.

  static void free_block(void*, io::Buffer& buffer) {
    if (buffer.id == kHeapId) std::free(&buffer);
  }

  io::BufferPool pool_;
};

thread_local HeapBlocks heap_blocks;

}  // namespace

io::Slice take_block(io::BufferPool& pool, uint32_t bytes) {
  return bytes <= pool.buffer_bytes() ? pool.take() : heap_blocks.take(bytes);
}

}  // namespace ringway::http
