#include "controlplane/source/directory_source.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/clock.h"

namespace ringway::source {
namespace {

using std::chrono::milliseconds;

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

// `later` is the difference to what `batch` led to: afterwards `batch` leads to the end of both.
void DirectorySource::fold(Batch& batch, Batch later) {
  const auto drop_upsert = [&](const model::ObjectKey& key) {
    std::erase_if(batch.changes.upserts, [&](const auto& object) { return object->key == key; });
  };
  for (const model::ObjectKey& key : later.changes.removals) {
    drop_upsert(key);
    batch.changes.removals.push_back(key);
  }
  for (model::ObjectPtr& object : later.changes.upserts) {
    std::erase(batch.changes.removals, object->key);
    drop_upsert(object->key);
    batch.changes.upserts.push_back(std::move(object));
  }
  batch.problems = std::move(later.problems);
}

// Looks at the whole tree, and sets the watches when directories may have changed.
Batch DirectorySource::scan_tree() {
  DirectoryFiles::Complete complete;
  complete.touched = std::move(events_.touched);
  complete.watched = watch_complete_ ? files_.directories() : std::vector<std::string>{};
  complete.modified_before_ns = wall_clock_ns() - kSettled.count() * int64_t{kNsPerMs};
  Batch batch = files_.scan(complete);
  if (watch_complete_ && !events_.structure && files_.directories() == complete.watched)
    return batch;
  // Watches come after the walk: what changed in a directory that was not watched yet, in between,
  // is seen by a second one.
  const std::vector<std::string> directories = files_.directories();
  watch_complete_ = watch_.set(directories) && !directories.empty();
  fold(batch, files_.scan(complete));
  if (files_.directories() != directories) pending_ = true;
  return batch;
}

// Whether the events are about finished or removed files only, so that nothing else need be looked
// at.
bool DirectorySource::only_files() const {
  if (!watch_complete_ || events_.structure || files_.incomplete()) return false;
  const auto has = [](const std::vector<std::string>& list, const std::string& path) {
    return std::ranges::find(list, path) != list.end();
  };
  // What was created and neither closed nor removed may be a second link to a finished file.
  const bool open_ended = std::ranges::any_of(events_.others, [&](const std::string& path) {
    return !has(events_.touched, path) && !has(events_.gone, path);
  });
  // A link to a directory goes like a file.
  const bool directory_gone = std::ranges::any_of(
      events_.gone, [&](const std::string& path) { return has(files_.directories(), path); });
  return !open_ended && !directory_gone;
}

std::optional<Batch> DirectorySource::scan_if_changed() {
  Batch batch;
  const bool pending = std::exchange(pending_, false);
  if (!first_ && !pending && only_files()) {
    events_.touched.insert(events_.touched.end(), events_.gone.begin(), events_.gone.end());
    batch = files_.scan_files(events_.touched);
  } else {
    batch = scan_tree();
  }
  events_ = {};
  const bool changed = !batch.changes.upserts.empty() || !batch.changes.removals.empty() ||
                       batch.problems != last_problems_;
  if (!changed && !first_) return std::nullopt;
  batch.full = first_;
  first_ = false;
  last_problems_ = batch.problems;
  return batch;
}

// Waits for events and gathers those that follow closely. false: the time is over, or we are
// stopped.
bool DirectorySource::await_change(Clock::time_point deadline) {
  const bool poll = !watch_complete_ || files_.incomplete();
  const auto left = std::chrono::ceil<milliseconds>(deadline - Clock::now());
  if (left <= milliseconds(0)) return false;
  DirectoryWatch::Events events = watch_.wait(poll ? std::min(left, kPoll) : left);
  if (events.interrupted) return false;
  if (!events.any) {
    pending_ = poll;
    return true;
  }
  const Clock::time_point settled = Clock::now() + kQuietMax;
  while (events.any) {
    const auto take = [](std::vector<std::string>& to, std::vector<std::string>& from) {
      std::ranges::move(from, std::back_inserter(to));
    };
    take(events_.touched, events.touched);
    take(events_.gone, events.gone);
    take(events_.others, events.others);
    events_.structure = events_.structure || events.structure;
    events_.any = true;
    if (Clock::now() >= settled || events.interrupted) break;
    events = watch_.wait(kQuiet);
  }
  return true;
}

std::optional<Batch> DirectorySource::next(milliseconds timeout) {
  const Clock::time_point deadline = Clock::now() + timeout;
  while (!stopped_) {
    if (first_ || pending_ || events_.any) {
      if (std::optional<Batch> batch = scan_if_changed()) return batch;
    } else if (!await_change(deadline)) {
      break;
    }
  }
  return std::nullopt;
}

}  // namespace ringway::source
