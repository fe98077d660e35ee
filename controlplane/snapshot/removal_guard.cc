#include "controlplane/snapshot/removal_guard.h"

namespace ringway::snapshot {

std::vector<v1::ResourceName> RemovalGuard::offer(const std::vector<v1::Resource>& upserts,
                                                  std::vector<v1::ResourceName> removals,
                                                  size_t stored, uint64_t now_ns) {
  if (!held_.empty()) {
    for (const v1::Resource& resource : upserts) held_.erase({type_of(resource), resource.name()});
  }
  const bool too_many = 2 * (held_.size() + removals.size()) > stored;
  if (options_.hold_ns == 0 || stored < options_.resources_min || !too_many) return removals;
  if (held_.empty()) deadline_ns_ = now_ns + options_.hold_ns;
  for (const v1::ResourceName& name : removals) held_.insert({name.type(), name.name()});
  return {};
}

std::vector<v1::ResourceName> RemovalGuard::release(uint64_t now_ns) {
  std::vector<v1::ResourceName> out;
  if (held_.empty() || now_ns < deadline_ns_) return out;
  for (const Key& key : held_) {
    v1::ResourceName& name = out.emplace_back();
    name.set_type(key.type);
    name.set_name(key.name);
  }
  held_.clear();
  return out;
}

}  // namespace ringway::snapshot
