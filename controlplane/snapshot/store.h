// The configuration as it stands: (type, name) → resource and version, with the order in which
// things changed, so that what a proxy lacks costs what changed and not what there is.
//
// Every change gets the next sequence number. A reader keeps one number, its cursor: since(cursor)
// is what changed after it. Removals are remembered until forget_removals() says that no reader
// needs them.
//
// Thread rule: any thread; one lock, held for pointer copies only. Resources are immutable and
// shared. Invariants: (1) version() depends on the content only, not on the order of changes; (2)
// for any cursor c not older than what was forgotten, the state at c plus since(c) is the state
// now.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "ringway/v1/discovery.pb.h"
#include "ringway/v1/resources.pb.h"

namespace ringway::snapshot {

struct Key {
  v1::ResourceType type = v1::RESOURCE_TYPE_UNSPECIFIED;
  std::string name;
  auto operator<=>(const Key&) const = default;
};

v1::ResourceType type_of(const v1::Resource& resource);

using ResourcePtr = std::shared_ptr<const v1::Resource>;

// What turns one state into another. Sorted so that what is referred to comes first: certificates,
// clusters, endpoints, route tables, listeners; removals the other way round.
struct Difference {
  std::string version;    // Of the whole configuration afterwards.
  uint64_t sequence = 0;  // The cursor afterwards.
  bool full = false;
  std::vector<Key> unchanged;  // With `full`: held by the proxy, and to be kept.
  std::vector<ResourcePtr> upserts;
  std::vector<Key> removals;
  bool empty() const { return upserts.empty() && removals.empty(); }
};

// Which resources a reader takes; an empty function takes all.
using Filter = std::function<bool(const Key&)>;

class Store {
 public:
  Store() = default;
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  // Takes one batch in, as one sequence number. A resource without a version gets the hash of its
  // content; one whose version is held already is no change. A key in both lists is upserted.
  // False: nothing changed. REQUIRES: upserts have a name and a body.
  bool apply(std::vector<v1::Resource> upserts, const std::vector<v1::ResourceName>& removals);

  uint64_t sequence() const;
  std::string version() const;  // 16 hexadecimal digits; "0000000000000000" when empty.
  size_t size() const;
  std::map<v1::ResourceType, size_t> counts() const;

  // REQUIRES: cursor <= sequence() and cursor >= what forget_removals() was given.
  Difference since(uint64_t cursor, const Filter& filter = {}) const;
  // The whole state against what a proxy holds (name → version).
  Difference against(const std::map<Key, uint64_t>& held, const Filter& filter = {}) const;
  // These as they stand; names that are not there as removals. For on-demand names.
  void add_named(const std::set<Key>& names, Difference& difference) const;

  // No reader has a cursor below `sequence`.
  void forget_removals(uint64_t sequence);
  size_t removals_remembered() const;

 private:
  struct Entry {
    ResourcePtr resource;
    uint64_t changed_at = 0;
  };
  void note_change(const Key& key, uint64_t& changed_at);
  bool upsert(v1::Resource resource);
  bool remove(const Key& key);
  void describe(Difference& difference) const;

  mutable std::mutex mutex_;
  uint64_t sequence_ = 0;
  uint64_t forgotten_ = 0;
  uint64_t content_ = 0;  // Sum over the resources: order-independent, and kept up by differences.
  std::map<Key, Entry> entries_;
  std::map<Key, uint64_t> removed_;             // Sequence of the removal.
  std::set<std::pair<uint64_t, Key>> changes_;  // Of entries_ and removed_, by sequence.
};

}  // namespace ringway::snapshot
