// Which snapshot a worker serves, and which older ones its exchanges still hold.
//
// Thread rule: one worker; counts are plain. A snapshot nobody on this worker holds any more is handed to `retire`, which gives it back to
// the control thread, so that freeing 10,000 routes never happens on a worker.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <memory>

#include "base/check.h"
#include "dataplane/config/snapshot.h"

namespace ringway::proxy {

class SnapshotPins {
 public:
  struct Pin {
    std::shared_ptr<const config::Snapshot> snapshot;
    uint32_t users = 0;
  };
  using Retire = std::function<void(std::shared_ptr<const config::Snapshot>)>;

  explicit SnapshotPins(Retire retire) : retire_(std::move(retire)) {}
  ~SnapshotPins() {
    for (Pin& pin : pins_) CHECK(pin.users == 0);
  }

  void publish(std::shared_ptr<const config::Snapshot> snapshot) {
    Pin* previous = current_;
    pins_.push_back({std::move(snapshot), 0});
    current_ = &pins_.back();
    if (previous != nullptr) drop_if_unused(previous);
  }
  bool has_snapshot() const { return current_ != nullptr; }
  const config::Snapshot& current() const { return *current_->snapshot; }
  size_t held() const { return pins_.size(); }

  // REQUIRES: has_snapshot().
  Pin* pin() {
    ++current_->users;
    return current_;
  }
  void unpin(Pin* pin) {
    DCHECK(pin->users > 0);
    if (--pin->users == 0 && pin != current_) drop_if_unused(pin);
  }

 private:
  void drop_if_unused(Pin* pin) {
    if (pin->users != 0 || pin == current_) return;
    retire_(std::move(pin->snapshot));
    pins_.remove_if([pin](const Pin& candidate) { return &candidate == pin; });
  }
  Retire retire_;
  std::list<Pin> pins_;   // Few: the current one and those that long requests hold.
  Pin* current_ = nullptr;
};

}  // namespace ringway::proxy
