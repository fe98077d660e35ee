#include "controlplane/snapshot/store.h"

#include <algorithm>
#include <cstdio>

#include "base/check.h"
#include "controlplane/base/hash.h"

namespace ringway::snapshot {
namespace {

// Of one resource in the whole: a hash of its key and version.
uint64_t content_of(const Key& key, uint64_t version) {
  std::string text =
      std::to_string(static_cast<int>(key.type)) + "/" + key.name + "@" + std::to_string(version);
  return content_hash(text);
}

// What is referred to comes first.
int rank(v1::ResourceType type) {
  switch (type) {
    case v1::RESOURCE_TYPE_CERTIFICATE:
      return 0;
    case v1::RESOURCE_TYPE_CLUSTER:
      return 1;
    case v1::RESOURCE_TYPE_ENDPOINTS:
      return 2;
    case v1::RESOURCE_TYPE_ROUTE_TABLE:
      return 3;
    case v1::RESOURCE_TYPE_LISTENER:
      return 4;
    default:
      return 5;
  }
}

bool before(const ResourcePtr& a, const ResourcePtr& b) {
  const int rank_a = rank(type_of(*a)), rank_b = rank(type_of(*b));
  return rank_a != rank_b ? rank_a < rank_b : a->name() < b->name();
}

bool removed_before(const Key& a, const Key& b) {
  const int rank_a = rank(a.type), rank_b = rank(b.type);
  return rank_a != rank_b ? rank_a > rank_b : a.name < b.name;
}

void sort(Difference& difference) {
  std::ranges::sort(difference.upserts, before);
  std::ranges::sort(difference.removals, removed_before);
}

}  // namespace

v1::ResourceType type_of(const v1::Resource& resource) {
  switch (resource.body_case()) {
    case v1::Resource::kListener:
      return v1::RESOURCE_TYPE_LISTENER;
    case v1::Resource::kRouteTable:
      return v1::RESOURCE_TYPE_ROUTE_TABLE;
    case v1::Resource::kCluster:
      return v1::RESOURCE_TYPE_CLUSTER;
    case v1::Resource::kEndpoints:
      return v1::RESOURCE_TYPE_ENDPOINTS;
    case v1::Resource::kCertificate:
      return v1::RESOURCE_TYPE_CERTIFICATE;
    case v1::Resource::BODY_NOT_SET:
      break;
  }
  return v1::RESOURCE_TYPE_UNSPECIFIED;
}

void Store::note_change(const Key& key, uint64_t& changed_at) {
  if (changed_at != 0) changes_.erase({changed_at, key});
  changed_at = sequence_;
  changes_.emplace(sequence_, key);
}

bool Store::upsert(v1::Resource resource) {
  Key key{type_of(resource), resource.name()};
  CHECK(key.type != v1::RESOURCE_TYPE_UNSPECIFIED && !key.name.empty());
  if (resource.version() == 0) resource.set_version(content_hash(resource.SerializeAsString()));
  Entry& entry = entries_[key];
  if (entry.resource != nullptr) {
    if (entry.resource->version() == resource.version()) return false;
    content_ -= content_of(key, entry.resource->version());
  }
  content_ += content_of(key, resource.version());
  if (const auto removed = removed_.find(key); removed != removed_.end()) {
    changes_.erase({removed->second, key});
    removed_.erase(removed);
  }
  note_change(key, entry.changed_at);
  entry.resource = std::make_shared<const v1::Resource>(std::move(resource));
  return true;
}

bool Store::remove(const Key& key) {
  const auto found = entries_.find(key);
  if (found == entries_.end() || found->second.changed_at == sequence_) return false;
  content_ -= content_of(key, found->second.resource->version());
  changes_.erase({found->second.changed_at, key});
  entries_.erase(found);
  note_change(key, removed_[key]);
  return true;
}

bool Store::apply(std::vector<v1::Resource> upserts,
                  const std::vector<v1::ResourceName>& removals) {
  const std::lock_guard lock(mutex_);
  ++sequence_;
  bool changed = false;
  std::set<Key> kept;  // Upserted without a change: not removed either.
  for (v1::Resource& resource : upserts) {
    Key key{type_of(resource), resource.name()};
    if (!removals.empty()) kept.insert(key);
    changed |= upsert(std::move(resource));
  }
  for (const v1::ResourceName& name : removals) {
    const Key key{name.type(), name.name()};
    if (!kept.contains(key)) changed |= remove(key);
  }
  if (!changed) --sequence_;
  return changed;
}

uint64_t Store::sequence() const {
  const std::lock_guard lock(mutex_);
  return sequence_;
}

std::string Store::version() const {
  Difference difference;
  const std::lock_guard lock(mutex_);
  describe(difference);
  return difference.version;
}

size_t Store::size() const {
  const std::lock_guard lock(mutex_);
  return entries_.size();
}

std::map<v1::ResourceType, size_t> Store::counts() const {
  const std::lock_guard lock(mutex_);
  std::map<v1::ResourceType, size_t> counts;
  for (const auto& [key, entry] : entries_) ++counts[key.type];
  return counts;
}

void Store::describe(Difference& difference) const {
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(content_));
  difference.version = text;
  difference.sequence = sequence_;
}

Difference Store::since(uint64_t cursor, const Filter& filter) const {
  Difference difference;
  {
    const std::lock_guard lock(mutex_);
    CHECK(cursor <= sequence_ && cursor >= forgotten_);
    describe(difference);
    for (auto each = changes_.lower_bound({cursor + 1, Key{}}); each != changes_.end(); ++each) {
      const Key& key = each->second;
      if (filter && !filter(key)) continue;
      if (const auto entry = entries_.find(key); entry != entries_.end()) {
        difference.upserts.push_back(entry->second.resource);
      } else {
        difference.removals.push_back(key);
      }
    }
  }
  sort(difference);
  return difference;
}

Difference Store::against(const std::map<Key, uint64_t>& held, const Filter& filter) const {
  Difference difference;
  difference.full = true;
  {
    const std::lock_guard lock(mutex_);
    describe(difference);
    for (const auto& [key, entry] : entries_) {
      if (filter && !filter(key)) continue;
      const auto found = held.find(key);
      if (found != held.end() && found->second == entry.resource->version()) {
        difference.unchanged.push_back(key);
      } else {
        difference.upserts.push_back(entry.resource);
      }
    }
  }
  sort(difference);
  return difference;
}

void Store::add_named(const std::set<Key>& names, Difference& difference) const {
  {
    const std::lock_guard lock(mutex_);
    if (difference.version.empty()) describe(difference);
    for (const Key& key : names) {
      if (const auto entry = entries_.find(key); entry != entries_.end()) {
        difference.upserts.push_back(entry->second.resource);
      } else {
        difference.removals.push_back(key);
      }
    }
  }
  sort(difference);
  const auto same = [](const ResourcePtr& a, const ResourcePtr& b) {
    return type_of(*a) == type_of(*b) && a->name() == b->name();
  };
  difference.upserts.erase(std::unique(difference.upserts.begin(), difference.upserts.end(), same),
                           difference.upserts.end());
  difference.removals.erase(std::unique(difference.removals.begin(), difference.removals.end()),
                            difference.removals.end());
}

void Store::forget_removals(uint64_t sequence) {
  const std::lock_guard lock(mutex_);
  CHECK(sequence <= sequence_);
  forgotten_ = std::max(forgotten_, sequence);
  std::erase_if(removed_, [&](const auto& removed) {
    if (removed.second > forgotten_) return false;
    changes_.erase({removed.second, removed.first});
    return true;
  });
}

size_t Store::removals_remembered() const {
  const std::lock_guard lock(mutex_);
  return removed_.size();
}

}  // namespace ringway::snapshot
