#include "controlplane/source/directory_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <expected>
#include <iterator>
#include <set>
#include <thread>

namespace ringway::source {
namespace {

using model::Reason;

constexpr size_t kFilesPerThread = 16;  // A thread for fewer costs more than it saves.

bool is_manifest(std::string_view name) {
  return name.ends_with(".yaml") || name.ends_with(".yml") || name.ends_with(".json");
}

int64_t in_ns(const timespec& time) { return time.tv_sec * 1'000'000'000 + time.tv_nsec; }

model::Problem unreadable_problem(const std::string& path, const std::string& why) {
  return {.location = {path, 0, 0}, .reason = Reason::kUnreadable, .message = why};
}

std::expected<std::string, std::string> read_file(const std::string& path, size_t bytes_max) {
  // O_NONBLOCK: a FIFO put in place of the file must not hang the source.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return std::unexpected(std::string(std::strerror(errno)));
  std::string text;
  char buffer[1 << 16];
  ssize_t count = 0;
  while (text.size() <= bytes_max && (count = ::read(fd, buffer, sizeof buffer)) > 0) {
    text.append(buffer, static_cast<size_t>(count));
  }
  const int error = count < 0 ? errno : 0;
  ::close(fd);
  if (error != 0) return std::unexpected(std::string(std::strerror(error)));
  return text;
}

}  // namespace

void DirectoryFiles::walk(const std::string& directory, std::map<std::string, Found>& found,
                          std::vector<model::Problem>& problems,
                          std::vector<std::string>& unreadable) {
  struct stat own{};
  DIR* stream = ::stat(directory.c_str(), &own) == 0 ? ::opendir(directory.c_str()) : nullptr;
  if (stream == nullptr) {
    problems.push_back(unreadable_problem(directory, std::strerror(errno)));
    unreadable.push_back(directory + "/");
    return;
  }
  const Identity identity{own.st_dev, own.st_ino, 0, 0};
  if (std::ranges::find(seen_directories_, identity) != seen_directories_.end()) {
    ::closedir(stream);
    return;  // A link back up, or a second link to the same directory.
  }
  seen_directories_.push_back(identity);
  directories_.push_back(directory);
  std::set<std::string> names;  // Sorted: which of two links to one directory counts must not vary.
  while (const dirent* entry = ::readdir(stream)) {
    if (entry->d_name[0] != '.') names.insert(entry->d_name);
  }
  ::closedir(stream);
  for (const std::string& name : names) {
    const std::string path = directory + "/" + name;
    struct stat info{};
    if (::stat(path.c_str(), &info) != 0) {
      // Gone since readdir, or a link to nothing: editors' locks are such links.
      if (is_manifest(name) && errno != ENOENT) {
        problems.push_back(unreadable_problem(path, std::strerror(errno)));
      }
    } else if (S_ISDIR(info.st_mode)) {
      walk(path, found, problems, unreadable);
    } else if (S_ISREG(info.st_mode) && is_manifest(name)) {
      struct stat own_info{};
      const bool link = ::lstat(path.c_str(), &own_info) == 0 && S_ISLNK(own_info.st_mode);
      found[path] = {.identity = {info.st_dev, info.st_ino, info.st_size, in_ns(info.st_ctim)},
                     .modified_ns = in_ns(info.st_mtim),
                     .link = link};
    }
  }
}

DirectoryFiles::File DirectoryFiles::read(const std::string& path, const Identity& identity,
                                          const File* before) const {
  const model::TreeLimits limits;
  File file{.identity = identity, .manifest = {}};
  const auto text = read_file(path, limits.bytes_max);
  if (!text) {
    file.manifest.problems.push_back(unreadable_problem(path, text.error()));
    return file;
  }
  file.manifest =
      model::read_manifest(path, *text, limits, before == nullptr ? nullptr : &before->manifest);
  return file;
}

bool DirectoryFiles::may_read(const std::string& path, const Found& found,
                              const Complete& complete) const {
  if (found.link || found.modified_ns < complete.modified_before_ns) return true;
  if (std::ranges::find(complete.touched, path) != complete.touched.end()) return true;
  const std::string directory = path.substr(0, path.rfind('/'));
  return std::ranges::find(complete.watched, directory) == complete.watched.end();
}

Batch DirectoryFiles::scan(const Complete& complete) {
  std::map<std::string, Found> found;
  std::vector<std::string> unreadable;
  walk_problems_.clear();
  directories_.clear();
  seen_directories_.clear();
  walk(root_, found, walk_problems_, unreadable);
  std::vector<std::string> gone;
  for (const auto& [path, file] : files_) {
    const bool kept = std::ranges::any_of(
        unreadable, [&](const std::string& prefix) { return path.starts_with(prefix); });
    if (!kept && !found.contains(path)) gone.push_back(path);
  }
  for (const std::string& path : gone) replace(path, std::nullopt);
  incomplete_ = false;
  std::vector<Task> tasks;
  for (const auto& [path, file] : found) {
    const auto at = files_.find(path);
    if (at != files_.end() && at->second.identity == file.identity) continue;
    if (may_read(path, file, complete)) {
      tasks.push_back({&path, file.identity, at == files_.end() ? nullptr : &at->second, {}});
    } else {
      incomplete_ = true;
    }
  }
  read_all(tasks);
  for (Task& task : tasks) replace(*task.path, std::move(task.result));
  return difference();
}

void DirectoryFiles::read_all(std::vector<Task>& tasks) const {
  std::atomic<size_t> next{0};
  const auto work = [&] {
    for (size_t i = next++; i < tasks.size(); i = next++) {
      Task& task = tasks[i];
      task.result = read(*task.path, task.identity, task.before);
    }
  };
  const size_t helpers = std::min<size_t>(tasks.size() / kFilesPerThread,
                                          std::max(1u, std::thread::hardware_concurrency()) - 1);
  std::vector<std::jthread> threads;
  for (size_t i = 0; i < helpers; ++i) threads.emplace_back(work);
  work();
}

Batch DirectoryFiles::scan_files(const std::vector<std::string>& paths) {
  for (const std::string& path : paths) {
    const std::string_view name = std::string_view(path).substr(path.rfind('/') + 1);
    if (name.starts_with('.') || !is_manifest(name)) continue;
    struct stat info{};
    if (::stat(path.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) {
      replace(path, std::nullopt);
      continue;
    }
    const Identity identity{info.st_dev, info.st_ino, info.st_size, in_ns(info.st_ctim)};
    const auto at = files_.find(path);
    if (at != files_.end() && at->second.identity == identity) continue;
    replace(path, read(path, identity, at == files_.end() ? nullptr : &at->second));
  }
  return difference();
}

void DirectoryFiles::define(const model::ObjectKey& key, const Place& place,
                            model::ObjectPtr object) {
  auto& places = definitions_[key];
  touched_keys_.try_emplace(key, places.empty() ? nullptr : places.begin()->second);
  if (object == nullptr) {
    places.erase(place);
  } else {
    places[place] = std::move(object);
  }
  if (places.size() > 1) {
    doubled_.insert(key);
  } else {
    doubled_.erase(key);
    if (places.empty()) definitions_.erase(key);
  }
}

void DirectoryFiles::replace(const std::string& path, std::optional<File> file) {
  const auto at = files_.find(path);
  static const std::vector<model::ObjectPtr> kNone;
  const auto& before = at == files_.end() ? kNone : at->second.manifest.objects;
  const auto& after = file ? file->manifest.objects : kNone;
  const auto same = [&](size_t i) {
    return i < before.size() && i < after.size() && before[i] == after[i];
  };
  for (size_t i = 0; i < before.size(); ++i) {
    if (!same(i)) define(before[i]->key, {path, i}, nullptr);
  }
  for (size_t i = 0; i < after.size(); ++i) {
    if (!same(i)) define(after[i]->key, {path, i}, after[i]);
  }
  if (file) {
    files_.insert_or_assign(path, *std::move(file));
  } else if (at != files_.end()) {
    files_.erase(at);
  }
}

Batch DirectoryFiles::difference() {
  Batch batch;
  for (auto& [key, before] : touched_keys_) {
    const auto now = definitions_.find(key);
    if (now == definitions_.end()) {
      if (before != nullptr) batch.changes.removals.push_back(key);
    } else if (now->second.begin()->second != before) {
      batch.changes.upserts.push_back(now->second.begin()->second);
    }
  }
  touched_keys_.clear();
  batch.problems = walk_problems_;
  for (const auto& [path, file] : files_) {
    batch.problems.insert(batch.problems.end(), file.manifest.problems.begin(),
                          file.manifest.problems.end());
  }
  for (const model::ObjectKey& key : doubled_) {
    const auto& places = definitions_.at(key);
    const model::Location& first = places.begin()->second->location;
    for (auto place = std::next(places.begin()); place != places.end(); ++place) {
      batch.problems.push_back({.object = key,
                                .location = place->second->location,
                                .reason = Reason::kDuplicateObject,
                                .message = "is already defined in " + first.file + ":" +
                                           std::to_string(first.line) + ", which counts"});
    }
  }
  std::ranges::sort(batch.problems);
  return batch;
}

}  // namespace ringway::source
