// Small dense numbers for names, as long as somebody holds the name: what per-worker arrays are
// indexed by.
//
// Thread rule: take() and the readers on the control thread; a lease may be released on any thread.
// Invariants: (1) two live leases never share a slot or a key; (2) a slot is given again only after
// every holder of its lease let go; (3) a uid is never given again.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace ringway::config {

template <typename Key>
class SlotTable {
 private:
  struct Index;

 public:
  struct Lease {
    uint32_t slot = 0;
    uint64_t uid = 0;
    Key key;

    Lease(std::shared_ptr<Index> owner, Key k) : key(std::move(k)), index(std::move(owner)) {}
    ~Lease() { index->release(*this); }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;

   private:
    std::shared_ptr<Index> index;
  };

  SlotTable() : index_(std::make_shared<Index>()) {}

  // The lease of `key`: the one that is held, or one with a free slot.
  std::shared_ptr<const Lease> take(const Key& key) {
    const std::lock_guard lock(index_->mutex);
    const auto found = index_->by_key.find(&key);
    if (found != index_->by_key.end()) {
      if (auto lease = found->second.lease.lock(); lease != nullptr) return lease;
    }
    auto lease = std::make_shared<Lease>(index_, key);
    if (index_->free_slots.empty()) {
      lease->slot = index_->slots++;
    } else {
      lease->slot = index_->free_slots.back();
      index_->free_slots.pop_back();
    }
    lease->uid = ++index_->last_uid;
    if (found != index_->by_key.end())
      index_->by_key.erase(found);  // Its key goes with the lease that was released.
    index_->by_key.emplace(&lease->key, Entry{lease->uid, lease});
    return lease;
  }

  // Every slot in use is below.
  uint32_t slots() const {
    const std::lock_guard lock(index_->mutex);
    return index_->slots;
  }
  // Slots in use, in the order of their keys.
  std::vector<std::shared_ptr<const Lease>> held() const {
    const std::lock_guard lock(index_->mutex);
    std::vector<std::shared_ptr<const Lease>> out;
    out.reserve(index_->by_key.size());
    for (const auto& [key, entry] : index_->by_key) {
      if (auto lease = entry.lease.lock(); lease != nullptr) out.push_back(std::move(lease));
    }
    return out;
  }

 private:
  struct Entry {
    uint64_t uid;
    std::weak_ptr<const Lease> lease;
  };
  struct LessKey {
    bool operator()(const Key* a, const Key* b) const { return *a < *b; }
  };
  // Shared with the leases, so that the last of them can give its slot back whoever is gone
  // already.
  struct Index {
    std::mutex mutex;
    std::map<const Key*, Entry, LessKey> by_key;  // Keys of the leases themselves.
    std::vector<uint32_t> free_slots;
    uint32_t slots = 0;
    uint64_t last_uid = 0;

    void release(const Lease& lease) {
      const std::lock_guard lock(mutex);
      const auto found = by_key.find(&lease.key);
      // The key may belong to a successor already, made between the last release and this line.
      if (found != by_key.end() && found->second.uid == lease.uid) by_key.erase(found);
      free_slots.push_back(lease.slot);
    }
  };
  std::shared_ptr<Index> index_;
};

}  // namespace ringway::config
