#include "dataplane/config/discovery/resource_set.h"

#include <cstring>
#include <utility>

#include "base/check.h"

namespace ringway::config {

v1::ResourceType resource_type(const v1::Resource& resource) {
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

std::string_view resource_type_name(v1::ResourceType type) {
  switch (type) {
    case v1::RESOURCE_TYPE_LISTENER:
      return "listener";
    case v1::RESOURCE_TYPE_ROUTE_TABLE:
      return "route_table";
    case v1::RESOURCE_TYPE_CLUSTER:
      return "cluster";
    case v1::RESOURCE_TYPE_ENDPOINTS:
      return "endpoints";
    case v1::RESOURCE_TYPE_CERTIFICATE:
      return "certificate";
    default:
      return "resource";
  }
}

// A moved-from string may still hold its bytes (short ones are copied), so it is wiped too.
ResourceSet::Entry::Entry(Entry&& other) noexcept
    : version(other.version), keyless(other.keyless), bytes(std::move(other.bytes)) {
  explicit_bzero(other.bytes.data(), other.bytes.size());
  other.bytes.clear();
}

ResourceSet::Entry& ResourceSet::Entry::operator=(Entry&& other) noexcept {
  if (this != &other) {
    version = other.version;
    keyless = other.keyless;
    bytes.swap(other.bytes);  // The old bytes are wiped by the destructor of `other`.
  }
  return *this;
}

ResourceSet::Entry::~Entry() { explicit_bzero(bytes.data(), bytes.size()); }

void ResourceSet::upsert(const v1::Resource& resource) {
  Entry entry;
  entry.version = resource.version();
  entry.bytes = resource.SerializeAsString();
  upsert(ResourceKey{resource_type(resource), resource.name()}, std::move(entry));
}

void ResourceSet::upsert(ResourceKey key, Entry entry) {
  CHECK(key.type != v1::RESOURCE_TYPE_UNSPECIFIED);
  CHECK(!key.name.empty());
  Entry& place = entries_[std::move(key)];
  bytes_ -= place.bytes.size();
  bytes_ += entry.bytes.size();
  place = std::move(entry);
}

bool ResourceSet::erase(const ResourceKey& key) {
  const auto found = entries_.find(key);
  if (found == entries_.end()) return false;
  bytes_ -= found->second.bytes.size();
  entries_.erase(found);
  return true;
}

void ResourceSet::clear() {
  entries_.clear();
  bytes_ = 0;
  version_.clear();
}

const ResourceSet::Entry* ResourceSet::find(const ResourceKey& key) const {
  const auto found = entries_.find(key);
  return found == entries_.end() ? nullptr : &found->second;
}

std::optional<v1::Resource> ResourceSet::resource(const ResourceKey& key) const {
  const Entry* entry = find(key);
  if (entry == nullptr) return std::nullopt;
  v1::Resource resource;
  CHECK(resource.ParseFromString(entry->bytes));  // Invariant (2).
  return resource;
}

void ResourceSet::write_held(v1::Hello& hello) const {
  hello.set_last_version(version_);
  for (const auto& [key, entry] : entries_) {
    if (entry.keyless) continue;
    v1::ResourceVersion& held = *hello.add_held();
    held.set_type(key.type);
    held.set_name(key.name);
    held.set_version(entry.version);
  }
}

}  // namespace ringway::config
