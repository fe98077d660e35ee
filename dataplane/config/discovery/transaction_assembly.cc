#include "dataplane/config/discovery/transaction_assembly.h"

#include <algorithm>
#include <set>

#include "base/check.h"

namespace ringway::config {
namespace {

std::unexpected<RefusedTransaction> refuse(const Transaction& transaction, const std::string& nonce,
                                           v1::ResourceType type, std::string name,
                                           std::string reason) {
  return std::unexpected(RefusedTransaction{transaction.version, nonce,
                                            Rejection{type, std::move(name), std::move(reason)}});
}

void take_names(std::vector<ResourceKey>& out,
                google::protobuf::RepeatedPtrField<v1::ResourceName>& names) {
  out.reserve(out.size() + static_cast<size_t>(names.size()));
  for (v1::ResourceName& name : names)
    out.push_back({name.type(), std::move(*name.mutable_name())});
}

bool before(const v1::Resource& a, const v1::Resource& b) {
  const v1::ResourceType type_a = resource_type(a), type_b = resource_type(b);
  return type_a != type_b ? type_a < type_b : a.name() < b.name();
}

// REQUIRES: `sorted` is in the order of before().
bool upserted(const std::vector<v1::Resource>& sorted, const ResourceKey& key) {
  const auto found = std::ranges::lower_bound(sorted, key, {}, [](const v1::Resource& resource) {
    return ResourceKey{resource_type(resource), resource.name()};
  });
  return found != sorted.end() && resource_type(*found) == key.type && found->name() == key.name;
}

}  // namespace

void AssembledTransaction::commit_to(ResourceSet& set) && {
  for (auto& [key, entry] : entries) set.upsert(std::move(key), std::move(entry));
  for (const ResourceKey& key : removals) set.erase(key);
}

TransactionAssembly::Progress TransactionAssembly::add(v1::Transaction&& message,
                                                       size_t wire_bytes) {
  if (!open_) {
    if (message.nonce().empty()) {
      fault_ = "transaction without a nonce";
      return Progress::kBroken;
    }
    open_ = true;
    full_ = message.full();
    version_ = std::move(*message.mutable_version());
    nonce_ = std::move(*message.mutable_nonce());
  } else if (message.version() != version_ || message.nonce() != nonce_ ||
             message.full() != full_) {
    fault_ = "messages of two transactions are mixed";
    return Progress::kBroken;
  }
  bytes_ += wire_bytes;
  resources_ += static_cast<size_t>(message.upserts_size()) +
                static_cast<size_t>(message.removals_size()) +
                static_cast<size_t>(message.unchanged_held_size());
  // An empty name costs the peer two bytes and us a hundred: resources are counted, not bytes
  // alone.
  if (bytes_ > bytes_max_ || resources_ > 2 * size_t{resources_max_}) {
    fault_ = "transaction above the size limit";
    return Progress::kBroken;
  }
  for (v1::Resource& resource : *message.mutable_upserts()) upserts_.push_back(std::move(resource));
  take_names(removals_, *message.mutable_removals());
  take_names(unchanged_, *message.mutable_unchanged_held());
  return message.last() ? Progress::kComplete : Progress::kMore;
}

std::expected<AssembledTransaction, RefusedTransaction> TransactionAssembly::finish(
    const ResourceSet& set) {
  CHECK(open_);
  AssembledTransaction out;
  Transaction& transaction = out.transaction;
  transaction.version = std::move(version_);
  transaction.full = full_;
  out.nonce = std::move(nonce_);
  std::vector<v1::Resource> upserts = std::move(upserts_);
  std::vector<ResourceKey> removals = std::move(removals_);
  std::vector<ResourceKey> unchanged = std::move(unchanged_);
  clear();

  if (!std::ranges::is_sorted(upserts, before)) std::ranges::stable_sort(upserts, before);
  std::set<ResourceKey> seen;
  size_t added = 0;
  for (v1::Resource& resource : upserts) {
    const v1::ResourceType type = resource_type(resource);
    if (type == v1::RESOURCE_TYPE_UNSPECIFIED) {
      return refuse(transaction, out.nonce, type, resource.name(),
                    "resource of a type this proxy does not know");
    }
    if (resource.name().empty())
      return refuse(transaction, out.nonce, type, "", "resource without a name");
    ResourceKey key{type, resource.name()};
    if (!seen.insert(key).second) {
      return refuse(transaction, out.nonce, type, key.name, "resource is twice in the transaction");
    }
    if (set.find(key) == nullptr) ++added;
    ResourceSet::Entry entry;
    entry.version = resource.version();
    entry.bytes = resource.SerializeAsString();
    out.entries.emplace_back(std::move(key), std::move(entry));
  }
  transaction.upserts = std::move(upserts);

  if (transaction.full) {
    for (const ResourceKey& key : unchanged) {
      const ResourceSet::Entry* entry = set.find(key);
      if (entry == nullptr || entry->keyless) {
        return refuse(transaction, out.nonce, key.type, key.name,
                      "named as unchanged, but the proxy does not hold it");
      }
    }
    seen.insert(unchanged.begin(), unchanged.end());
    for (const auto& [key, entry] : set.entries()) {
      if (!seen.contains(key)) out.removals.push_back(key);
    }
  } else {
    for (ResourceKey& key : removals) {
      if (upserted(transaction.upserts, key)) {
        return refuse(transaction, out.nonce, key.type, key.name,
                      "resource is both sent and removed");
      }
      // Names that are not held (an on-demand name that does not exist) and doubles are no change.
      if (set.find(key) != nullptr && seen.insert(key).second)
        out.removals.push_back(std::move(key));
    }
  }
  // The sink was never given a keyless certificate (whole_transaction), so it has none to remove.
  for (const ResourceKey& key : out.removals) {
    if (!set.find(key)->keyless) transaction.removals.push_back(key);
  }
  if (set.size() + added - out.removals.size() > resources_max_) {
    return refuse(transaction, out.nonce, v1::RESOURCE_TYPE_UNSPECIFIED, "",
                  "more resources than this proxy may hold");
  }
  return out;
}

void TransactionAssembly::clear() {
  open_ = full_ = false;
  bytes_ = resources_ = 0;
  version_.clear();
  nonce_.clear();
  upserts_.clear();
  removals_.clear();
  unchanged_.clear();
}

Transaction whole_transaction(const ResourceSet& set) {
  Transaction transaction;
  transaction.version = set.version();
  transaction.full = true;
  transaction.upserts.reserve(set.size());
  for (const auto& [key, entry] : set.entries()) {
    if (entry.keyless) continue;
    v1::Resource resource;
    CHECK(resource.ParseFromString(entry.bytes));
    transaction.upserts.push_back(std::move(resource));
  }
  return transaction;
}

}  // namespace ringway::config
