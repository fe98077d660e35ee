// What one list and watch knows: the objects of a collection as they are, made equal to a listing
// in one step. Content decides what is a change, never a resourceVersion: after a restore of etcd
// they go backwards. One thread.
#pragma once

#include <functional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "controlplane/kube/resource.h"

namespace ringway::kube {

// Invariants:
// 1. entries_ holds what the last finished listing had, and the events after it.
// 2. Each change of entries_ was told, in order, once.
// 3. While a listing is under way and objects change by events, those objects are left alone by the
//    listing: the event may be newer.
class Mirror {
 public:
  struct Listener {
    std::function<void(const Item&)> upserted;
    std::function<void(const Item&)> removed;
  };
  explicit Mirror(Listener listener) : listener_(std::move(listener)) {}

  // ---- events ----
  void upsert(Item item);
  void remove(const std::string& id);

  // ---- a listing: what it does not have is gone ----
  void begin_listing();  // One under way is dropped.
  void listed(Item item);
  void keep(const std::string& id);  // It is there but cannot be read: stays as it was.
  void unlist(const std::string& id);
  size_t
  finish_listing();  // Tells the differences; returns how many. Those left alone do not count.
  void drop_listing();
  bool is_listing() const { return listing_; }

  size_t size() const { return entries_.size(); }
  const Item* find(const std::string& id) const;
  template <typename Visit>
  void for_each(Visit visit) const {
    for (const auto& [id, entry] : entries_) visit(entry.item);
  }

 private:
  struct Entry {
    Item item;
    uint32_t seen = 0;  // The last listing that had it.
  };
  bool store(Item item, bool& existed);

  const Listener listener_;
  std::unordered_map<std::string, Entry> entries_;
  bool listing_ = false;
  uint32_t listing_number_ = 0;
  std::unordered_map<std::string, Item> pending_;  // Differ from entries_; of this listing.
  std::unordered_set<std::string> touched_;        // By events during this listing.
};

}  // namespace ringway::kube
