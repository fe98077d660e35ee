#include "dataplane/config/health_targets.h"

#include <algorithm>

namespace ringway::config {

void update_health_checks(upstream::HealthChecker& checker, const Snapshot* before,
                          const Snapshot& after) {
  const size_t old_chunks = before == nullptr ? 0 : before->cluster_chunks.size();
  const size_t chunks = std::max(old_chunks, after.cluster_chunks.size());
  for (size_t i = 0; i < chunks; ++i) {
    const auto old_chunk = i < old_chunks ? before->cluster_chunks[i] : nullptr;
    const auto new_chunk = i < after.cluster_chunks.size() ? after.cluster_chunks[i] : nullptr;
    if (old_chunk == new_chunk) continue;
    for (uint32_t j = 0; j < Snapshot::kChunk; ++j) {
      const upstream::Cluster* was = old_chunk == nullptr ? nullptr : (*old_chunk)[j].get();
      const upstream::Cluster* is = new_chunk == nullptr ? nullptr : (*new_chunk)[j].get();
      if (was == is) continue;
      if (is != nullptr) checker.set_cluster(*is);
      if (was != nullptr && (is == nullptr || is->uid != was->uid))
        checker.remove_cluster(was->uid);
    }
  }
}

}  // namespace ringway::config
