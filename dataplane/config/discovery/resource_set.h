// The configuration a proxy holds: (type, name) -> serialised resource and version. It is the last
// accepted state, what Hello.held tells a controller, and what outlives a crash (StateStore).
//
// Thread rule: the control thread's; not synchronised.
// Invariants: (1) a key is there at most once; (2) `bytes` parses as ringway.v1.Resource with the
// key's name and a body of the key's type; (3) bytes of certificates are wiped before their memory
// is given back.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ringway/v1/discovery.pb.h"
#include "ringway/v1/resources.pb.h"

namespace ringway::config {

struct ResourceKey {
  v1::ResourceType type = v1::RESOURCE_TYPE_UNSPECIFIED;
  std::string name;
  auto operator<=>(const ResourceKey&) const = default;
};

// The type a resource's body says; RESOURCE_TYPE_UNSPECIFIED when it has none (or one this build
// does not know).
v1::ResourceType resource_type(const v1::Resource& resource);
// "listener", "route_table", "cluster", "endpoints", "certificate"; "resource" for anything else.
// For logs.
std::string_view resource_type_name(v1::ResourceType type);

class ResourceSet {
 public:
  struct Entry {
    uint64_t version = 0;  // Resource.version
    bool keyless =
        false;          // A certificate that was read back from disk: its private key is missing.
    std::string bytes;  // Serialised ringway.v1.Resource.
    Entry() = default;
    Entry(Entry&&) noexcept;
    Entry& operator=(Entry&&) noexcept;
    Entry(const Entry&) = default;
    Entry& operator=(const Entry&) = default;
    ~Entry();  // Wipes `bytes` (they may hold a private key).
  };
  using Entries = std::map<ResourceKey, Entry>;

  // Inserts or replaces. REQUIRES: resource_type(resource) is known and the name is not empty.
  void upsert(const v1::Resource& resource);
  void upsert(ResourceKey key, Entry entry);
  bool erase(const ResourceKey& key);  // false: it was not there.
  void clear();

  const Entry* find(const ResourceKey& key) const;
  std::optional<v1::Resource> resource(
      const ResourceKey& key) const;  // Parsed; nullopt when absent.
  const Entries& entries() const { return entries_; }
  size_t size() const { return entries_.size(); }
  bool empty() const { return entries_.empty(); }
  size_t bytes() const { return bytes_; }  // Of all serialised resources.

  // Version of the last transaction applied (Transaction.version); "" when there was none.
  const std::string& version() const { return version_; }
  void set_version(std::string version) { version_ = std::move(version); }

  // Fills Hello.held and Hello.last_version. Keyless certificates are left out, so that the
  // controller sends them again.
  void write_held(v1::Hello& hello) const;

 private:
  Entries entries_;
  size_t bytes_ = 0;
  std::string version_;
};

}  // namespace ringway::config
