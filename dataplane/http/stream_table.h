// Stream number to object, for the streams of one HTTP/2 connection.
//
// Open addressing with linear probing; numbers of one side are two apart, so a full table of
// consecutive streams has no collision. Grows by doubling and keeps its size; one that was never
// used holds nothing. Thread rule: the connection's.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>

#include "base/check.h"

namespace ringway::http {

template <typename T>
class StreamTable {
 public:
  // nullptr when absent.
  T* find(uint32_t stream) const {
    if (size_ == 0) return nullptr;
    for (uint32_t i = slot_of(stream);; i = (i + 1) & mask_) {
      if (slots_[i].value == nullptr) return nullptr;
      if (slots_[i].stream == stream) return slots_[i].value;
    }
  }

  // REQUIRES: absent; value != nullptr.
  void insert(uint32_t stream, T* value) {
    DCHECK(value != nullptr && find(stream) == nullptr);
    if (slots_ == nullptr || (size_ + 1) * 2 > mask_ + 1) grow();
    put(stream, value);
    ++size_;
  }

  // The value removed; nullptr when absent.
  T* remove(uint32_t stream) {
    if (size_ == 0) return nullptr;
    uint32_t i = slot_of(stream);
    while (slots_[i].stream != stream || slots_[i].value == nullptr) {
      if (slots_[i].value == nullptr) return nullptr;
      i = (i + 1) & mask_;
    }
    T* removed = slots_[i].value;
    // Moves back what had to give way, so that no marks of removed ones are needed.
    for (uint32_t hole = i, j = (i + 1) & mask_;; j = (j + 1) & mask_) {
      if (slots_[j].value == nullptr) {
        slots_[hole].value = nullptr;
        break;
      }
      const uint32_t home = slot_of(slots_[j].stream);
      if (((j - home) & mask_) < ((j - hole) & mask_)) continue;
      slots_[hole] = slots_[j];
      hole = j;
    }
    --size_;
    return removed;
  }

  uint32_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  // Calls f(stream, T&) for all in no order. `f` must not change the table.
  template <typename F>
  void for_each(F&& f) const {
    for (uint32_t i = 0; size_ != 0 && i <= mask_; ++i) {
      if (slots_[i].value != nullptr) f(slots_[i].stream, *slots_[i].value);
    }
  }
  // Any one. REQUIRES: !empty().
  std::pair<uint32_t, T*> any() const {
    CHECK(size_ != 0);
    uint32_t i = 0;
    while (slots_[i].value == nullptr) ++i;
    return {slots_[i].stream, slots_[i].value};
  }

 private:
  struct Slot {
    uint32_t stream = 0;
    T* value = nullptr;
  };
  uint32_t slot_of(uint32_t stream) const { return (stream >> 1) & mask_; }
  void put(uint32_t stream, T* value) {
    uint32_t i = slot_of(stream);
    while (slots_[i].value != nullptr) i = (i + 1) & mask_;
    slots_[i] = {stream, value};
  }
  void grow() {
    const uint32_t old = slots_ == nullptr ? 0 : mask_ + 1;
    const uint32_t slots = old == 0 ? 8 : old * 2;
    auto before = std::exchange(slots_, std::make_unique<Slot[]>(slots));
    mask_ = slots - 1;
    for (uint32_t i = 0; i < old; ++i) {
      if (before[i].value != nullptr) put(before[i].stream, before[i].value);
    }
  }

  std::unique_ptr<Slot[]> slots_;
  uint32_t mask_ = 0;
  uint32_t size_ = 0;
};

}  // namespace ringway::http
