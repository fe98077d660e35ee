// What the pipeline hands to the status writer: the served Ingresses and the problems, as they
// stand. Differences that come while the writer is busy become one.
//
// Thread rule: any thread.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "controlplane/model/object.h"
#include "controlplane/model/problem.h"
#include "controlplane/translate/translator.h"

namespace ringway::status {

using Problems = std::shared_ptr<const std::vector<model::Problem>>;

class Feed {
 public:
  void put(const translate::Translation& translation) {
    const std::lock_guard lock(mutex_);
    for (const model::ObjectPtr& object : translation.served) changes_[object->key] = object;
    for (const model::ObjectKey& key : translation.unserved) changes_[key] = nullptr;
    problems_ = translation.problems;
    config_map_ = translation.config_map;
  }

  struct Taken {
    std::map<model::ObjectKey, model::ObjectPtr> changes;  // nullptr: not served any more.
    Problems problems;                                     // nullptr: nothing was put yet.
    model::ObjectPtr config_map;                           // The controller's own.
  };
  Taken take() {
    const std::lock_guard lock(mutex_);
    return {std::exchange(changes_, {}), problems_, config_map_};
  }

 private:
  std::mutex mutex_;
  std::map<model::ObjectKey, model::ObjectPtr> changes_;
  Problems problems_;
  model::ObjectPtr config_map_;
};

}  // namespace ringway::status
