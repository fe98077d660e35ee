// A head or trailer section that came in pieces, made contiguous. Exists only while one is
// incomplete, so that an idle connection holds none, and the small receive buffers of a slow sender
// go back at once.
//
// Thread rule: the pool's thread. Bounded by what the parser lets pass before it refuses (Limits).
#pragma once

#include "dataplane/http/field_parser.h"
#include "dataplane/io/buffer_pool.h"
#include "dataplane/io/slice.h"

namespace ringway::http {

class HeadGather {
 public:
  explicit HeadGather(io::BufferPool& pool) : pool_(pool), memory_(pool.take()) {}

  // Copies as much of `text` behind what is there as the current block has room for (at least one
  // byte) and returns how much. When the block was full it is exchanged for one of twice the size
  // first and `moved` is set: views and progress are void.
  uint32_t append(std::string_view text, bool& moved);

  std::string_view view() const { return memory_.view(); }
  // The memory, cut to the `bytes` of the message. Ends the gathering.
  io::Slice take(uint32_t bytes) {
    memory_.truncate(bytes);
    return std::move(memory_);
  }

  HeadProgress progress;

 private:
  io::BufferPool& pool_;
  io::Slice memory_;
};

}  // namespace ringway::http
