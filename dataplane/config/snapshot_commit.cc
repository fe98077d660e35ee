// The second half of SnapshotBuilder::apply(): takes an accepted stage over. Nothing here can fail.
#include <algorithm>
#include <map>
#include <utility>

#include "dataplane/config/snapshot_builder.h"
#include "dataplane/config/snapshot_stage.h"

namespace ringway::config {

void SnapshotBuilder::commit(Stage&& stage, Snapshot& next) {
  commit_clusters(stage, next);
  commit_tables(stage, next);
  for (auto& [name, entry] : stage.certificates) {
    if (entry) {
      certificates_.insert_or_assign(name, *std::move(entry));
    } else {
      certificates_.erase(name);
    }
  }
  if (stage.listeners.empty()) return;
  for (auto& [name, entry] : stage.listeners) {
    if (entry) {
      listeners_.insert_or_assign(name, *std::move(entry));
    } else {
      listeners_.erase(name);
    }
  }
  next.listeners.clear();
  for (const auto& [name, entry] : listeners_) next.listeners.push_back(entry.compiled);
}

void SnapshotBuilder::commit_clusters(Stage& stage, Snapshot& next) {
  std::map<size_t, std::shared_ptr<Snapshot::ClusterChunk>> chunks;  // Copied for this snapshot.
  const auto publish = [&](uint32_t slot, std::shared_ptr<const upstream::Cluster> cluster) {
    const size_t index = slot / Snapshot::kChunk;
    if (index >= next.cluster_chunks.size()) next.cluster_chunks.resize(index + 1);
    auto& chunk = chunks[index];
    if (chunk == nullptr) {
      const auto& shared = next.cluster_chunks[index];
      chunk = shared == nullptr ? std::make_shared<Snapshot::ClusterChunk>()
                                : std::make_shared<Snapshot::ClusterChunk>(*shared);
    }
    (*chunk)[slot % Snapshot::kChunk] = std::move(cluster);
  };
  for (auto& [name, cluster] : stage.clusters) {
    const auto held = clusters_.find(name);
    count_endpoints(held == clusters_.end() ? nullptr : held->second.compiled.get(),
                    cluster ? cluster->compiled.get() : nullptr);
    if (cluster) {
      publish(cluster->lease->slot, cluster->has_policy ? cluster->compiled : nullptr);
      // The lease stays the same as long as it is held, and with it the key.
      if (held != clusters_.end()) {
        held->second = *std::move(cluster);
      } else {
        const std::string_view key = cluster->lease->key;
        clusters_.emplace(key, *std::move(cluster));
      }
    } else if (held != clusters_.end()) {
      publish(held->second.lease->slot, nullptr);
      clusters_.erase(held);
    }
  }
  for (auto& [index, chunk] : chunks) {
    const bool empty =
        std::ranges::all_of(*chunk, [](const auto& cluster) { return cluster == nullptr; });
    next.cluster_chunks[index] = empty ? nullptr : std::move(chunk);
  }
  while (!next.cluster_chunks.empty() && next.cluster_chunks.back() == nullptr)
    next.cluster_chunks.pop_back();
}

// Workers close idle connections to endpoints that no cluster has any more: the address may be
// another pod's tomorrow.
void SnapshotBuilder::count_endpoints(const upstream::Cluster* before,
                                      const upstream::Cluster* after) {
  if (after != nullptr) {
    for (const upstream::EndpointRef& endpoint : after->endpoints) ++endpoint.state->configured;
  }
  if (before != nullptr) {
    for (const upstream::EndpointRef& endpoint : before->endpoints) {
      CHECK(endpoint.state->configured > 0);
      if (--endpoint.state->configured == 0)
        endpoint.state->retired.store(true, std::memory_order_relaxed);
    }
  }
  if (after == nullptr) return;
  for (const upstream::EndpointRef& endpoint : after->endpoints) {
    endpoint.state->retired.store(false, std::memory_order_relaxed);
  }
}

std::vector<SnapshotBuilder::CertificateExpiry> SnapshotBuilder::certificate_expiries() const {
  std::vector<CertificateExpiry> out;
  for (const auto& [name, entry] : certificates_) {
    out.push_back({name, entry.certificate->not_after_unix_seconds()});
  }
  return out;
}

void SnapshotBuilder::commit_tables(Stage& stage, Snapshot& next) {
  std::map<std::string, std::vector<route::RouteSet::Change>> by_set;
  for (auto& [name, table] : stage.tables) {
    const size_t slash = name.rfind('/');  // Hosts have none.
    by_set[name.substr(0, slash)].push_back(
        {name.substr(slash + 1), table ? table->compiled.table : nullptr});
    if (table) {
      tables_.insert_or_assign(name, *std::move(table));
    } else {
      tables_.erase(name);
    }
  }
  for (auto& [set, changes] : by_set) {
    auto at =
        std::ranges::find(next.route_sets, set, [](const auto& entry) { return entry.first; });
    auto routes =
        (at == next.route_sets.end() ? std::make_shared<const route::RouteSet>() : at->second)
            ->with(std::move(changes));
    if (at == next.route_sets.end()) {
      if (routes->hosts() != 0) next.route_sets.emplace_back(set, std::move(routes));
    } else if (routes->hosts() != 0) {
      at->second = std::move(routes);
    } else {
      next.route_sets.erase(at);
    }
  }
}

}  // namespace ringway::config
