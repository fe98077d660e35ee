// RouteSet: hosts in 1,024 shards of open addressing. A changed host copies its shard and the array
// of shards, nothing else.
#include <array>
#include <bit>
#include <cstring>
#include <map>

#include "base/check.h"
#include "dataplane/route/host_name.h"
#include "dataplane/route/route_table.h"

namespace ringway::route {
namespace {

constexpr size_t kShards = 1024;
constexpr int kShardShift = 54;  // The hash's top ten bits choose the shard, its low bits the slot.

struct Slot {
  uint64_t hash = 0;
  std::shared_ptr<const RouteTable> table;  // nullptr: free.
  uint32_t name = 0;                        // Offset in Shard::names.
  uint32_t name_size = 0;
};

// At most half full, so that a probe ends soon.
struct Shard {
  explicit Shard(const std::map<std::string, std::shared_ptr<const RouteTable>>& hosts);
  const RouteTable* find(uint64_t hash, std::string_view host) const;

  std::vector<Slot> slots;
  std::string names;
};

Shard::Shard(const std::map<std::string, std::shared_ptr<const RouteTable>>& hosts)
    : slots(std::bit_ceil(hosts.size() * 2)) {
  for (const auto& [host, table] : hosts) {
    const uint64_t hash = hash_host(host);
    size_t at = hash & (slots.size() - 1);
    while (slots[at].table != nullptr) at = (at + 1) & (slots.size() - 1);
    slots[at] = {hash, table, static_cast<uint32_t>(names.size()),
                 static_cast<uint32_t>(host.size())};
    names += host;
  }
  names.shrink_to_fit();
}

const RouteTable* Shard::find(uint64_t hash, std::string_view host) const {
  const size_t mask = slots.size() - 1;
  for (size_t at = hash & mask; slots[at].table != nullptr; at = (at + 1) & mask) {
    const Slot& slot = slots[at];
    if (slot.hash == hash && slot.name_size == host.size() &&
        std::memcmp(names.data() + slot.name, host.data(), host.size()) == 0) {
      return slot.table.get();
    }
  }
  return nullptr;
}

}  // namespace

struct RouteSet::Tables {
  std::array<std::shared_ptr<const Shard>, kShards> shards;  // nullptr: no host.
  size_t hosts = 0;
  size_t wildcards = 0;                   // Hosts that start with "*.".
  std::shared_ptr<const RouteTable> any;  // Host "*".

  const RouteTable* find(std::string_view host) const {
    const uint64_t hash = hash_host(host);
    const Shard* shard = shards[hash >> kShardShift].get();
    return shard == nullptr ? nullptr : shard->find(hash, host);
  }
};

RouteSet::RouteSet() : tables_(std::make_shared<const Tables>()) {}
RouteSet::~RouteSet() = default;

const RouteTable* RouteSet::find(std::string_view authority) const {
  const Tables& tables = *tables_;
  HostBuffer buffer;
  const std::string_view host = normal_host(authority, buffer);
  if (!host.empty()) {
    if (const RouteTable* table = tables.find(host); table != nullptr) return table;
    if (tables.wildcards != 0) {
      const size_t dot = host.find('.');
      if (dot != 0 && dot != std::string_view::npos) {
        buffer.bytes[dot - 1] = '*';  // "a.example.com" becomes "*.example.com" in place.
        if (const RouteTable* table = tables.find(host.substr(dot - 1)); table != nullptr)
          return table;
      }
    }
  }
  return tables.any.get();
}

Match RouteSet::find(std::string_view authority, std::string_view path) const {
  const RouteTable* table = find(authority);
  return table == nullptr ? Match{} : table->find(path);
}

std::shared_ptr<const RouteSet> RouteSet::with(std::vector<Change> changes) const {
  auto tables = std::make_shared<Tables>(*tables_);
  std::map<size_t, std::vector<Change*>> by_shard;
  for (Change& change : changes) {
    if (change.host == "*") {
      tables->hosts += (change.table != nullptr) - (tables->any != nullptr);
      tables->any = std::move(change.table);
      continue;
    }
    HostBuffer buffer;
    change.host = normal_host(change.host, buffer);
    CHECK(!change.host.empty());
    by_shard[hash_host(change.host) >> kShardShift].push_back(&change);
  }
  for (auto& [index, shard_changes] : by_shard) {
    std::map<std::string, std::shared_ptr<const RouteTable>> hosts;
    if (const Shard* shard = tables->shards[index].get(); shard != nullptr) {
      for (const Slot& slot : shard->slots) {
        if (slot.table != nullptr)
          hosts.emplace(shard->names.substr(slot.name, slot.name_size), slot.table);
      }
    }
    for (Change* change : shard_changes) {
      const size_t before = hosts.size();
      if (change->table == nullptr) {
        hosts.erase(change->host);
      } else {
        hosts.insert_or_assign(change->host, std::move(change->table));
      }
      const size_t difference =
          hosts.size() - before;  // Wraps around for a removal, as do the sums.
      tables->hosts += difference;
      if (change->host.starts_with("*.")) tables->wildcards += difference;
    }
    tables->shards[index] = hosts.empty() ? nullptr : std::make_shared<const Shard>(hosts);
  }
  auto set = std::make_shared<RouteSet>();
  set->tables_ = std::move(tables);
  return set;
}

size_t RouteSet::hosts() const { return tables_->hosts; }

}  // namespace ringway::route
