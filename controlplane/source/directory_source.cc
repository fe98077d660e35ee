#include "controlplane/source/directory_source.h"

#include <algorithm>
#include <utility>

#include "base/clock.h"

namespace ringway::source {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

// Events that come this close together are one change: `kubectl`-like tools and editors write
// several files, or one in several steps. The sum is bounded, so that endless writing does not
// starve.
constexpr milliseconds kQuiet{5};
constexpr milliseconds kQuietMax{50};
// How often to look when not everything can be watched (a directory that is not there yet, or
// fs.inotify.max_user_watches).
constexpr milliseconds kPoll{200};
// A file that nobody has written to for so long is complete, event or not (a second link to a
// finished file has none; an overflow of the queue loses them).
constexpr milliseconds kSettled{1000};

std::string without_slashes(std::string path) {
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  return path;
}

}  // namespace

DirectorySource::DirectorySource(std::string directory)
    : files_(without_slashes(std::move(directory))) {}

void DirectorySource::stop() {
  stopped_ = true;
  watch_.interrupt();
}

std::optional<Batch> DirectorySource::scan_if_changed() {
  pending_ = false;
  DirectoryFiles::Complete complete;
  complete.touched = std::exchange(touched_, {});
  complete.watched = watch_complete_ ? files_.directories() : std::vector<std::string>{};
  complete.modified_before_ns = wall_clock_ns() - kSettled.count() * int64_t{kNsPerMs};
  Batch batch = files_.scan(complete);
  // Watches come after the walk: what changed in between is seen by a second one.
  const std::vector<std::string> walked = files_.directories();
  watch_complete_ = watch_.set(walked) && !walked.empty();
  Batch again = files_.scan(complete);
  if (files_.directories() != walked) pending_ = true;
  // `again` is a difference to `batch`: fold it in.
  for (const model::ObjectKey& key : again.changes.removals) {
    const auto gone = std::ranges::find_if(batch.changes.upserts,
                                           [&](const auto& object) { return object->key == key; });
    if (gone != batch.changes.upserts.end()) batch.changes.upserts.erase(gone);
    batch.changes.removals.push_back(key);
  }
  for (model::ObjectPtr& object : again.changes.upserts) {
    std::erase(batch.changes.removals, object->key);
    std::erase_if(batch.changes.upserts, [&](const auto& old) { return old->key == object->key; });
    batch.changes.upserts.push_back(std::move(object));
  }
  batch.problems = std::move(again.problems);
  const bool changed = !batch.changes.upserts.empty() || !batch.changes.removals.empty() ||
                       batch.problems != last_problems_;
  if (!changed && !first_) return std::nullopt;
  batch.full = first_;
  first_ = false;
  last_problems_ = batch.problems;
  return batch;
}

std::optional<Batch> DirectorySource::next(milliseconds timeout) {
  const Clock::time_point deadline = Clock::now() + timeout;
  while (!stopped_) {
    if (first_ || pending_) {
      if (std::optional<Batch> batch = scan_if_changed()) return batch;
      continue;
    }
    const auto left = std::chrono::ceil<milliseconds>(deadline - Clock::now());
    if (left <= milliseconds(0)) return std::nullopt;
    const bool poll = !watch_complete_ || files_.incomplete();
    DirectoryWatch::Events events = watch_.wait(poll ? std::min(left, kPoll) : left);
    if (events.interrupted) break;
    pending_ = events.any || poll;
    if (!events.any) continue;
    const Clock::time_point settled = Clock::now() + kQuietMax;
    while (events.any && !events.interrupted) {
      touched_.insert(touched_.end(), events.touched.begin(), events.touched.end());
      if (Clock::now() >= settled) break;
      events = watch_.wait(kQuiet);
    }
  }
  return std::nullopt;
}

}  // namespace ringway::source
