// source → translate → store → proxies, one batch after the other on one thread. While a batch is
// translated the source collects the next.
//
// Thread rule: run() on a thread of its own until the source is stopped; preview() from any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "controlplane/model/problem.h"
#include "controlplane/serve/metrics.h"
#include "controlplane/serve/server.h"
#include "controlplane/snapshot/removal_guard.h"
#include "controlplane/snapshot/store.h"
#include "controlplane/source/source.h"
#include "controlplane/translate/translator.h"

namespace ringway {

// Logs each problem once when it appears and once when it is gone. Where in its file it stands does
// not make it another problem.
class ProblemLog {
 public:
  // All problems as they stand.
  void update(const std::vector<model::Problem>& from_source,
              const std::vector<model::Problem>& from_translation, serve::PipelineStats& stats);

 private:
  using Identity = std::tuple<model::ObjectKey, std::string, std::string, model::Reason,
                              std::string>;  // Object, file, field, reason, message.
  std::set<Identity> known_;
};

class Pipeline {
 public:
  Pipeline(source::Source& source, translate::Options options, snapshot::RemovalGuardOptions guard,
           snapshot::Store& store, serve::DiscoveryServer& server, serve::PipelineStats& stats);
  void run(const std::atomic<bool>& stopping);
  // Told of each translation, on the thread of run(). Set before run().
  std::function<void(const translate::Translation&)> on_translation;
  // What the translation would say of an Ingress, for the admission webhook; waits for the batch
  // that is being translated. nullopt: the objects are not read yet.
  std::optional<translate::Preview> preview(const model::Object& ingress) const;

 private:
  void take(source::Batch batch);
  void publish(std::vector<v1::Resource> upserts, const std::vector<v1::ResourceName>& removals);
  void release_held();
  std::chrono::milliseconds patience() const;

  source::Source& source_;
  mutable std::mutex translator_mutex_;
  translate::Translator translator_;  // Guarded by translator_mutex_.
  snapshot::RemovalGuard guard_;
  snapshot::Store& store_;
  serve::DiscoveryServer& server_;
  serve::PipelineStats& stats_;
  ProblemLog problem_log_;
  std::vector<model::Problem> source_problems_;
};

}  // namespace ringway
