// Bytes on the move. A Buffer is a fixed block of a BufferPool; a Slice is a counted part of one.
//
// Thread rule: a pool and all of its slices belong to one thread (the ring's). Counts are plain
// integers. Invariants: (1) a buffer's count is the number of slices on it; at zero it goes back to
// its pool, at once; (2) a slice never reaches outside its buffer; (3) bytes covered by two slices
// are never written.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <utility>

#include "base/check.h"

namespace ringway::io {

class BufferPool;

struct Buffer {
  BufferPool* pool;
  std::byte* data;
  uint32_t capacity;
  uint32_t references;
  uint32_t id;  // Index in the pool, and the provided-buffer id in the kernel.
};

void release_buffer(Buffer& buffer);  // Called at count zero: gives the buffer back to its pool.

class Slice {
 public:
  Slice() = default;
  Slice(Buffer& buffer, uint32_t offset, uint32_t length)
      : buffer_(&buffer), offset_(offset), length_(length) {
    DCHECK(offset <= buffer.capacity && length <= buffer.capacity - offset);
    ++buffer.references;
  }
  Slice(Slice&& other) noexcept
      : buffer_(std::exchange(other.buffer_, nullptr)),
        offset_(other.offset_),
        length_(std::exchange(other.length_, 0)) {}
  Slice& operator=(Slice&& other) noexcept {
    if (this != &other) {
      reset();
      buffer_ = std::exchange(other.buffer_, nullptr);
      offset_ = other.offset_;
      length_ = std::exchange(other.length_, 0);
    }
    return *this;
  }
  Slice(const Slice&) = delete;
  Slice& operator=(const Slice&) = delete;
  ~Slice() { reset(); }

  void reset() {
    if (buffer_ != nullptr && --buffer_->references == 0) release_buffer(*buffer_);
    buffer_ = nullptr;
    length_ = 0;
  }

  // A second slice on the same bytes. REQUIRES: offset + length <= size().
  Slice share(uint32_t offset, uint32_t length) const {
    DCHECK(buffer_ != nullptr && offset <= length_ && length <= length_ - offset);
    return Slice(*buffer_, offset_ + offset, length);
  }
  Slice share() const { return share(0, length_); }

  void remove_prefix(uint32_t bytes) {
    DCHECK(bytes <= length_);
    offset_ += bytes;
    length_ -= bytes;
  }
  // Cuts the first `bytes` off and returns them. REQUIRES: bytes <= size().
  Slice split_prefix(uint32_t bytes) {
    Slice first = share(0, bytes);
    remove_prefix(bytes);
    return first;
  }
  void truncate(uint32_t bytes) {
    DCHECK(bytes <= length_);
    length_ = bytes;
  }

  uint32_t size() const { return length_; }
  bool empty() const { return length_ == 0; }
  const std::byte* data() const { return buffer_ == nullptr ? nullptr : buffer_->data + offset_; }
  std::string_view view() const { return {reinterpret_cast<const char*>(data()), length_}; }
  std::span<const std::byte> bytes() const { return {data(), length_}; }
  Buffer* buffer() const { return buffer_; }
  uint32_t offset() const { return offset_; }

  // The bytes of a buffer this slice alone holds, from the slice's end to the buffer's end; for a
  // writer that fills a buffer it took. Empty when the buffer is shared.
  std::span<std::byte> tail() const {
    if (buffer_ == nullptr || buffer_->references != 1) return {};
    return {buffer_->data + offset_ + length_, buffer_->capacity - offset_ - length_};
  }
  // Takes `bytes` of tail() into the slice. REQUIRES: the writer has filled them.
  void extend(uint32_t bytes) {
    DCHECK(buffer_ != nullptr && buffer_->references == 1 &&
           bytes <= buffer_->capacity - offset_ - length_);
    length_ += bytes;
  }

 private:
  Buffer* buffer_ = nullptr;
  uint32_t offset_ = 0;
  uint32_t length_ = 0;
};

// A queue of slices in order, e.g. what a connection still has to send. Nodes come from a free list
// of the thread, so that a steady state allocates nothing and an empty queue holds nothing.
class SliceQueue {
 public:
  SliceQueue() = default;
  SliceQueue(SliceQueue&& other) noexcept;
  SliceQueue& operator=(SliceQueue&& other) noexcept;
  ~SliceQueue() { clear(); }

  void push(Slice slice);           // An empty slice is dropped.
  void append(SliceQueue&& other);  // Takes all of `other`, which is empty afterwards.
  // Copies `text` behind the last slice where its buffer has room and no other owner, else into
  // buffers taken from `pool`. Never fails: an output pool grows (see BufferPool::take).
  void append_copy(BufferPool& pool, std::string_view text);
  Slice pop();                 // REQUIRES: !empty().
  const Slice& front() const;  // REQUIRES: !empty().
  void consume(size_t bytes);  // Drops the first `bytes`. REQUIRES: bytes <= size().
  void clear();

  bool empty() const { return head_ == nullptr; }
  size_t size() const { return bytes_; }  // Bytes.
  uint32_t slices() const { return count_; }

  // Calls f(const Slice&) from the front while it returns true.
  template <typename F>
  void for_each(F&& f) const {
    for (const Node* node = head_; node != nullptr; node = node->next) {
      if (!f(node->slice)) return;
    }
  }

 private:
  struct Node {
    Slice slice;
    Node* next;
  };
  friend struct NodeFreeList;
  static Node* take_node();
  static void give_node(Node* node);
  Node* head_ = nullptr;
  Node* last_ = nullptr;
  size_t bytes_ = 0;
  uint32_t count_ = 0;
};

}  // namespace ringway::io
