// Manifests in a directory, followed by inotify. Takes editors' ways of saving (write in place,
// rename over), and the switch of the "..data" link by which Kubernetes updates mounted ConfigMaps.
#pragma once

#include <atomic>
#include <string>

#include "controlplane/source/directory_files.h"
#include "controlplane/source/directory_watch.h"
#include "controlplane/source/source.h"

namespace ringway::source {

class DirectorySource : public Source {
 public:
  // The first next() reports a directory that does not exist as a problem; it is waited for.
  explicit DirectorySource(std::string directory);

  std::optional<Batch> next(std::chrono::milliseconds timeout) override;
  void stop() override;

 private:
  using Clock = std::chrono::steady_clock;

  bool await_change(Clock::time_point deadline);
  std::optional<Batch> scan_if_changed();
  Batch scan_tree();
  bool only_files() const;
  static void fold(Batch& batch, Batch later);

  DirectoryFiles files_;
  DirectoryWatch watch_;
  DirectoryWatch::Events events_;  // Those that no scan has seen.
  std::vector<model::Problem> last_problems_;
  bool first_ = true;
  bool pending_ = false;  // The tree must be looked at, events or not.
  bool watch_complete_ = false;
  std::atomic<bool> stopped_ = false;
};

}  // namespace ringway::source
