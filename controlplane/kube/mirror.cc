#include "controlplane/kube/mirror.h"

#include <utility>

#include "base/check.h"

namespace ringway::kube {

const Item* Mirror::find(const std::string& id) const {
  const auto at = entries_.find(id);
  return at == entries_.end() ? nullptr : &at->second.item;
}

void Mirror::upsert(Item item) {
  std::string id = item.id();
  Entry& entry = entries_[id];
  const bool same =
      entry.item.message != nullptr && same_content(*entry.item.message, *item.message);
  entry.seen = listing_number_;
  if (!same) {
    entry.item = std::move(item);
    listener_.upserted(entry.item);
  }
  if (listing_) touched_.insert(std::move(id));
}

void Mirror::remove(const std::string& id) {
  if (listing_) touched_.insert(id);
  const auto at = entries_.find(id);
  if (at == entries_.end()) return;
  const Entry gone = std::move(at->second);
  entries_.erase(at);
  listener_.removed(gone.item);
}

void Mirror::begin_listing() {
  drop_listing();
  listing_ = true;
  ++listing_number_;
}

void Mirror::listed(Item item) {
  CHECK(listing_);
  std::string id = item.id();
  const auto at = entries_.find(id);
  if (at != entries_.end()) {
    at->second.seen = listing_number_;
    if (same_content(*at->second.item.message, *item.message)) {
      pending_.erase(id);
      return;
    }
  }
  pending_.insert_or_assign(std::move(id), std::move(item));
}

void Mirror::keep(const std::string& id) {
  CHECK(listing_);
  if (const auto at = entries_.find(id); at != entries_.end()) at->second.seen = listing_number_;
  pending_.erase(id);
}

void Mirror::unlist(const std::string& id) {
  CHECK(listing_);
  pending_.erase(id);
  if (const auto at = entries_.find(id); at != entries_.end()) at->second.seen = 0;
}

size_t Mirror::finish_listing() {
  CHECK(listing_);
  size_t differences = 0;
  std::vector<std::string> gone;
  for (const auto& [id, entry] : entries_) {
    if (entry.seen != listing_number_ && !touched_.contains(id)) gone.push_back(id);
  }
  const auto pending = std::exchange(pending_, {});
  const auto touched = std::exchange(touched_, {});
  listing_ = false;
  for (const std::string& id : gone) remove(id);
  differences += gone.size();
  for (const auto& [id, item] : pending) {
    if (touched.contains(id)) continue;
    upsert(item);
    ++differences;
  }
  return differences;
}

void Mirror::drop_listing() {
  listing_ = false;
  pending_.clear();
  touched_.clear();
}

}  // namespace ringway::kube
