// Where objects come from: a directory of manifests, or an API server. A source runs its own
// reading; one thread at a time calls next(), any thread calls stop().
#pragma once

#include <chrono>
#include <optional>
#include <vector>

#include "controlplane/model/object.h"
#include "controlplane/model/problem.h"

namespace ringway::source {

struct Batch {
  bool full =
      false;  // The first batch of a source, and only it: `changes.upserts` is everything there is.
  model::Changes changes;
  std::vector<model::Problem>
      problems;  // All that the source now knows of, not a difference; sorted.
};

class Source {
 public:
  virtual ~Source() = default;

  // Waits until something changed and returns all of it at once. Changes that arrive meanwhile are
  // kept for the next call. nullopt: `timeout` passed with no change, or stop() was called.
  // A batch may have no changes but other problems.
  virtual std::optional<Batch> next(std::chrono::milliseconds timeout) = 0;

  // Ends a waiting next() and all later ones at once. Any thread.
  virtual void stop() = 0;
};

}  // namespace ringway::source
