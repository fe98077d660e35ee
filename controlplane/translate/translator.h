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

  // Certificates that a broken or missing Secret falls back to: those accepted so far and still
  // referred to.
  const LastGood& last_good() const;

 private:
  class Graph;
  std::unique_ptr<Graph> graph_;
};

}  // namespace ringway::translate
