// Fixed-size buffers of one ring. Three pools a ring: `small` and `bulk` are lent to the kernel for
// receives, `output` is written by the proxy itself (heads, chunk framing, TLS records, replay
// copies).
//
// Thread rule: the ring's thread. A pool outlives all of its slices (checked at destruction).
// When a kernel-lent pool is empty, receives wait (Ring parks them, back-pressure); an output pool
// is bounded by what its users queue, and grows by whole slabs up to `buffers_max`, beyond which
// `take` returns an empty slice only if `try_take` was asked, and CHECKs otherwise.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "dataplane/io/slice.h"

namespace ringway::io {

struct BufferPoolOptions {
  uint32_t buffer_bytes = 4096;
  uint32_t buffers = 1024;      // Made at start.
  uint32_t buffers_max = 1024;  // Growth limit. Kernel-lent pools: a power of two, <= 32768
                                // (io_uring_provided_buffers(7)).
  bool scribble = false;  // Overwrites a buffer that comes back, so that a late reader is seen
                          // without ASan (SimRing).
};

class BufferPool {
 public:
  explicit BufferPool(const BufferPoolOptions& options);
  ~BufferPool();  // CHECKs that every buffer has come back.
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;

  // A writable buffer: an empty slice (size 0) whose tail() is the whole buffer. CHECKs that the
  // limit is not passed.
  Slice take();
  // The same, but an empty Slice without buffer (buffer() == nullptr) at the limit.
  Slice try_take();

  // Makes the pool larger, doubling it up to buffers_max. False: it is at its limit already. For a pool that is lent to the kernel, and
  // was found empty: slow peers hold buffers, and others must not wait for them as long as memory is allowed.
  bool grow();

  // Where a freed buffer goes instead of the free list: the kernel's ring. Set once by the ring
  // that lends the pool; every buffer of the free list goes there at once, so that take() is over
  // for this pool. nullptr: no longer lent.
  using GiveBack = void (*)(void* context, Buffer& buffer);
  void set_give_back(GiveBack give_back, void* context);
  void give_back(
      Buffer& buffer);  // From release_buffer(). Poisons the bytes under ASan until taken again.

  Buffer& buffer(uint32_t id) { return *buffers_[id]; }
  uint32_t total() const { return static_cast<uint32_t>(buffers_.size()); }
  uint32_t limit() const { return options_.buffers_max; }
  uint32_t in_use() const { return in_use_; }  // Held by slices.
  uint32_t in_use_high_water() const { return high_water_; }
  // Share of the limit that slices hold now, in percent: how near the pool is to making others wait.
  uint32_t pressure_percent() const { return static_cast<uint32_t>(uint64_t{in_use_} * 100 / options_.buffers_max); }
  uint32_t buffer_bytes() const { return options_.buffer_bytes; }
  void note_lent() {
    if (++in_use_ > high_water_) high_water_ = in_use_;
  }  // Kernel filled a buffer: a slice is on its way.
  // The slice for a buffer that the kernel has filled with `bytes`: counts it and unpoisons it.
  Slice lend(uint32_t id, uint32_t bytes);
  // True when at least `percent` of the buffers are free: when parked receives may go on.
  bool free_percent(uint32_t percent) const {
    return uint64_t{total() - in_use_} * 100 >= uint64_t{total()} * percent;
  }

 private:
  void grow(uint32_t buffers);
  size_t stride() const;
  BufferPoolOptions options_;
  std::vector<std::unique_ptr<Buffer[]>> headers_;
  struct Slab {
    void* memory;
    size_t bytes;
  };
  std::vector<Slab> slabs_;
  std::vector<Buffer*> buffers_;
  std::vector<Buffer*> free_;
  GiveBack give_back_ = nullptr;
  void* give_back_context_ = nullptr;
  uint32_t in_use_ = 0;
  uint32_t high_water_ = 0;
};

}  // namespace ringway::io
