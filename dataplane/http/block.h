// One contiguous block for what does not fit a pool's buffer: a head that came in pieces, a long
// rewritten path. The rare path: a block larger than `pool`'s buffers is a heap allocation that is
// freed with its last slice.
//
// Thread rule: the pool's thread.
#pragma once

#include "dataplane/io/buffer_pool.h"
#include "dataplane/io/slice.h"

namespace ringway::http {

// An empty slice with a tail of at least `bytes`.
io::Slice take_block(io::BufferPool& pool, uint32_t bytes);

}  // namespace ringway::http
