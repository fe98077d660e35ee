// Objects of a cluster: what a Source is, over reflectors and watches of named objects.
//
// Thread rule: as Source says. All reading runs on the client's loop; next() takes what has
// gathered.
#pragma once

#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/random.h"
#include "controlplane/kube/api_client.h"
#include "controlplane/kube/named_watch.h"
#include "controlplane/kube/references.h"
#include "controlplane/kube/reflector.h"
#include "controlplane/kube/timings.h"
#include "controlplane/source/source.h"
#include "controlplane/translate/options.h"

namespace ringway::kube {

struct SourceOptions {
  std::vector<std::string> namespaces;  // Watched; empty = all. Not together with the selector.
  std::string namespace_selector;       // Of labels, as Kubernetes writes it; "" = none.
  // All Secrets instead of those that are named: a role with list, and memory for all of them.
  bool all_secrets = false;
  std::vector<std::string> configmaps;  // "namespace/name" of the controller's own.
  Timings timings;
  uint64_t seed = 1;  // Of waits.
};

class KubernetesSource final : public source::Source {
 public:
  // `client` outlives it and is used by nobody in another way that stops it.
  KubernetesSource(ApiClient& client, SourceOptions options, const translate::Options& translate);
  ~KubernetesSource() override;

  // The first full batch comes when every kind was listed and every named object was answered for.
  // Before it there may be batches with problems only: why it does not come.
  std::optional<source::Batch> next(std::chrono::milliseconds timeout) override;
  void stop() override;

  // Of one kind, summed over what follows it.
  struct Counters : Reflector::Counters {
    uint64_t objects = 0;   // Known; of named ones those that exist.
    uint64_t named = 0;     // Followed by name.
    uint64_t unsynced = 0;  // Collections not listed yet, and named objects not answered for.
  };
  // By plural ("ingresses"). Waits for the loop. REQUIRES: not on it. Empty after it stopped.
  std::map<std::string, Counters> counters() const;

 private:
  // ---- on the loop ----
  void start();
  void add_reflector(model::Kind kind, Reflector::Scope scope);
  void add_namespaces();
  void upserted(const Item& item);
  void removed(const Item& item);
  bool in_scope(const Item& item) const;
  void namespace_changed(const std::string& ns, bool in);
  void settle_soon();
  void settle();
  void add_named(const ObjectName& name);
  void remove_named(const ObjectName& name);
  void open_named();
  bool all_synced() const;
  std::map<std::string, Counters> count() const;
  std::vector<model::Problem> problems() const;

  // ---- to next() ----
  void change(const model::ObjectKey& key, model::ObjectPtr object);

  ApiClient& client_;
  const SourceOptions options_;
  const translate::Options translate_;
  std::optional<translate::BackendOption> default_backend_;

  // Loop's thread only.
  Random random_;
  ServerTraits traits_;
  References references_;
  std::vector<std::unique_ptr<Reflector>> reflectors_;
  std::unique_ptr<Reflector> namespaces_;
  std::set<std::string> matching_;  // Namespaces that the selector has.
  std::map<ObjectName, std::unique_ptr<NamedWatch>> named_;
  std::deque<ObjectName> unopened_;  // Of named_, and such as are gone from it.
  std::set<ObjectName> opening_;     // Started and not answered for.
  Loop::TimerId settle_timer_ = 0;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_.
  std::map<model::ObjectKey, model::ObjectPtr> pending_;  // nullptr: gone.
  std::vector<model::Problem> problems_;
  bool problems_changed_ = false;
  bool synced_ = false;
  bool stopped_ = false;
  uint64_t changed_at_ns_ = 0;

  bool full_given_ = false;  // next()'s thread.
};

}  // namespace ringway::kube
