// Memory for nghttp2 sessions: free lists by size, so that streams which come and go do not reach
// malloc in the steady state.
//
// Thread rule: lists are of the thread; a session is made, used and deleted on one thread. What the
// lists keep is bounded (kKeptBytesMax); beyond it, and above the largest class, malloc and free.
#pragma once

#include <nghttp2/nghttp2.h>

#include <cstddef>
#include <cstdint>

namespace ringway::http {

nghttp2_mem* h2_memory();

struct H2MemoryStats {
  uint64_t from_malloc = 0;  // Blocks that no list had.
  size_t in_use_bytes = 0;   // Given out now, as rounded up to classes.
  size_t kept_bytes = 0;     // Waiting in the lists.
};
const H2MemoryStats& h2_memory_stats();  // Of this thread.

}  // namespace ringway::http
