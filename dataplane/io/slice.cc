#include "dataplane/io/slice.h"

#include <algorithm>

#include "dataplane/io/buffer_pool.h"

namespace ringway::io {

void release_buffer(Buffer& buffer) { buffer.pool->give_back(buffer); }

// The spare nodes of a thread. Bounded, so that one burst does not keep its memory for ever.
struct NodeFreeList {
  static constexpr uint32_t kNodesMax = 4096;
  SliceQueue::Node* head = nullptr;
  uint32_t count = 0;

  ~NodeFreeList() {
    while (head != nullptr) delete std::exchange(head, head->next);
    count = kNodesMax;  // A queue that outlives the list frees its nodes itself.
  }
};

namespace {
thread_local NodeFreeList free_nodes;
}  // namespace

SliceQueue::Node* SliceQueue::take_node() {
  if (free_nodes.head == nullptr) return new Node{};
  Node* node = free_nodes.head;
  free_nodes.head = node->next;
  --free_nodes.count;
  node->next = nullptr;
  return node;
}

void SliceQueue::give_node(Node* node) {
  node->slice.reset();
  if (free_nodes.count >= NodeFreeList::kNodesMax) {
    delete node;
    return;
  }
  node->next = free_nodes.head;
  free_nodes.head = node;
  ++free_nodes.count;
}

SliceQueue::SliceQueue(SliceQueue&& other) noexcept
    : head_(std::exchange(other.head_, nullptr)),
      last_(std::exchange(other.last_, nullptr)),
      bytes_(std::exchange(other.bytes_, 0)),
      count_(std::exchange(other.count_, 0)) {}

SliceQueue& SliceQueue::operator=(SliceQueue&& other) noexcept {
  if (this != &other) {
    clear();
    append(std::move(other));
  }
  return *this;
}

void SliceQueue::push(Slice slice) {
  if (slice.empty()) return;
  Node* node = take_node();
  bytes_ += slice.size();
  ++count_;
  node->slice = std::move(slice);
  (last_ == nullptr ? head_ : last_->next) = node;
  last_ = node;
}

void SliceQueue::append(SliceQueue&& other) {
  DCHECK(this != &other);
  if (other.head_ == nullptr) return;
  (last_ == nullptr ? head_ : last_->next) = other.head_;
  last_ = std::exchange(other.last_, nullptr);
  other.head_ = nullptr;
  bytes_ += std::exchange(other.bytes_, 0);
  count_ += std::exchange(other.count_, 0);
}

void SliceQueue::append_copy(BufferPool& pool, std::string_view text) {
  while (!text.empty()) {
    std::span<std::byte> room = last_ == nullptr ? std::span<std::byte>{} : last_->slice.tail();
    if (room.empty()) {
      Slice slice = pool.take();
      room = slice.tail();
      const size_t bytes = std::min(room.size(), text.size());
      std::memcpy(room.data(), text.data(), bytes);
      slice.extend(static_cast<uint32_t>(bytes));
      push(std::move(slice));
      text.remove_prefix(bytes);
      continue;
    }
    const size_t bytes = std::min(room.size(), text.size());
    std::memcpy(room.data(), text.data(), bytes);
    last_->slice.extend(static_cast<uint32_t>(bytes));
    bytes_ += bytes;
    text.remove_prefix(bytes);
  }
}

Slice SliceQueue::pop() {
  CHECK(head_ != nullptr);
  Node* node = head_;
  Slice slice = std::move(node->slice);
  head_ = node->next;
  if (head_ == nullptr) last_ = nullptr;
  bytes_ -= slice.size();
  --count_;
  give_node(node);
  return slice;
}

const Slice& SliceQueue::front() const {
  CHECK(head_ != nullptr);
  return head_->slice;
}

void SliceQueue::consume(size_t bytes) {
  CHECK(bytes <= bytes_);
  while (bytes > 0) {
    Slice& first = head_->slice;
    if (bytes < first.size()) {
      first.remove_prefix(static_cast<uint32_t>(bytes));
      bytes_ -= bytes;
      return;
    }
    bytes -= first.size();
    pop();
  }
}

void SliceQueue::clear() {
  while (head_ != nullptr) pop();
}

}  // namespace ringway::io
