// Events (events.k8s.io/v1) on Ingresses with problems: one for each problem when it appears, none
// while it stands. `kubectl describe ingress` shows them.
//
// The name of an Event is made of what it says, so that the next leader, or this controller after a
// restart, cannot write it twice. Thread rule: one thread. The clock is an argument.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "controlplane/kube/caller.h"
#include "controlplane/model/object.h"
#include "controlplane/model/problem.h"
#include "controlplane/status/pace.h"

namespace ringway::status {

// The body of the Event of a problem. Pure. `uid`: metadata.uid of the object. `instance`: who
// reports. Times in UTC.
struct EventText {
  std::string name;  // metadata.name
  std::string body;  // JSON
};
EventText write_event(const model::Problem& problem, const std::string& uid,
                      const std::string& instance, int64_t wall_ns);

class EventWriter {
 public:
  static constexpr size_t kPerObjectMax = 10;  // An Ingress can have thousands of bad paths.

  EventWriter(kube::Caller& api, std::string instance)
      : api_(api), instance_(std::move(instance)) {}

  // All problems of Ingresses that are served, with the Ingress's uid. What is new is queued.
  struct Due {
    const model::Problem* problem;
    std::string uid;
  };
  void update(const std::vector<Due>& problems, int64_t wall_ns);
  // Forgets everything: another is the leader and may write.
  void clear();
  // Posts what the pace allows. Returns when to come again; kNever when the queue is empty.
  uint64_t post(uint64_t now_ns);
  // The server answers again: what waits after a failure need not.
  void resume() { pause_.succeeded(); }

  uint64_t writes() const { return writes_; }
  size_t waiting() const { return queue_.size(); }

 private:
  struct Queued {
    std::string ns;
    EventText text;
  };
  kube::Caller& api_;
  const std::string instance_;
  std::set<std::string> known_;  // "namespace/name" of Events whose problem stands.
  std::deque<Queued> queue_;
  // client-go's recorder: 25 at once and then one in 5 minutes, for each object. Ours is for all.
  Pace pace_{100, kNsPerSecond / 5};
  Pause pause_;
  uint64_t writes_ = 0;
};

}  // namespace ringway::status
