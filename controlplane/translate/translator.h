// Kubernetes objects → configuration of proxies and problems. Pure: the result is a function of the
// options, the objects, the last good certificates and `now`; the order in which objects arrive
// does not matter. No clock, no I/O, no log. One thread at a time.
//
// A Translator keeps which output depends on which object, so that a change costs what depends on
// it. Invariant: after any sequence of apply() the sum of its results equals what a fresh
// Translator makes of the same objects and last_good() in one step.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "controlplane/model/object.h"
#include "controlplane/model/problem.h"
#include "controlplane/translate/options.h"
#include "ringway/v1/discovery.pb.h"
#include "ringway/v1/resources.pb.h"

namespace ringway::translate {

struct Translation {
  // Resources whose content differs from before, ordered by type and name. `version` is set: a
  // 64-bit hash of the content, never 0.
  std::vector<v1::Resource> upserts;
  std::vector<v1::ResourceName> removals;  // Ordered by type and name.
  // Every problem of the translation as it stands (not a difference), sorted, each once. The same
  // pointer as before when nothing changed.
  std::shared_ptr<const std::vector<model::Problem>> problems;
  // Ingresses of our class that are new, changed (in what is read) or became
  // ours; and those that are gone or ours no longer. Ordered by key.
  std::vector<model::ObjectPtr> served;
  std::vector<model::ObjectKey> unserved;
  model::ObjectPtr config_map;  // The controller's own, as it stands; nullptr: there is none.
};

// What would be said if one Ingress were as given.
struct Preview {
  bool served = false;                   // Of our class; otherwise nothing below is set.
  std::vector<model::Problem> problems;  // Of the Ingress itself, sorted.
  std::vector<model::Problem> others;    // That other objects would get by it, sorted.
  size_t ingresses_read = 0;             // Those that share a host with it, and itself.
  size_t output_bytes = 0;               // Of the routes that were made for it.
};

v1::ResourceType type_of(const v1::Resource& resource);

class Translator {
 public:
  explicit Translator(Options options, LastGood last_good = {});
  ~Translator();
  Translator(const Translator&) = delete;
  Translator& operator=(const Translator&) = delete;

  // Takes in a difference of the objects. The first call also yields what depends on no object (the
  // listeners). `now_s`: seconds since the epoch, for warnings about expiry only; an hour's
  // staleness does no harm, so calling with empty changes now and then is enough.
  Translation apply(const model::Changes& changes, int64_t now_s);

  // A look ahead: `ingress` is judged as if it replaced the one of its name (or were new, then
  // younger than all others when it has no creationTimestamp). Changes nothing; costs what its
  // hosts cost. A Secret that is not there is no problem here: it may be one that is not looked for
  // yet. REQUIRES: key.kind is Ingress; not at the same time as apply().
  Preview preview(const model::Object& ingress) const;

  // Certificates that a broken or missing Secret falls back to: those accepted so far and still
  // referred to.
  const LastGood& last_good() const;

 private:
  class Graph;
  std::unique_ptr<Graph> graph_;
};

}  // namespace ringway::translate
