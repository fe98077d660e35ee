#include "controlplane/source/directory_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <expected>
#include <set>

namespace ringway::source {
namespace {

using model::Reason;

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

DirectoryFiles::File DirectoryFiles::read(const std::string& path, const Identity& identity) const {
  const model::TreeLimits limits;
  File file{.identity = identity};
  const auto text = read_file(path, limits.bytes_max);
  if (!text) {
    file.problems.push_back(unreadable_problem(path, text.error()));
    return file;
  }
  model::Manifest manifest = model::read_manifest(path, *text, limits);
  file.objects = std::move(manifest.objects);
  file.problems = std::move(manifest.problems);
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
  std::vector<model::Problem> problems;
  std::vector<std::string> unreadable;
  directories_.clear();
  seen_directories_.clear();
  walk(root_, found, problems, unreadable);
  std::erase_if(files_, [&](const auto& entry) {
    const bool kept = std::ranges::any_of(
        unreadable, [&](const std::string& prefix) { return entry.first.starts_with(prefix); });
    return !kept && !found.contains(entry.first);
  });
  incomplete_ = false;
  for (const auto& [path, file] : found) {
    const auto at = files_.find(path);
    if (at != files_.end() && at->second.identity == file.identity) continue;
    if (may_read(path, file, complete)) {
      files_.insert_or_assign(path, read(path, file.identity));
    } else {
      incomplete_ = true;
    }
  }
  return difference(std::move(problems));
}

Batch DirectoryFiles::difference(std::vector<model::Problem> problems) {
  Batch batch;
  std::map<model::ObjectKey, model::ObjectPtr> now;
  for (const auto& [path, file] : files_) {
    problems.insert(problems.end(), file.problems.begin(), file.problems.end());
    for (const model::ObjectPtr& object : file.objects) {
      const auto [at, fresh] = now.emplace(object->key, object);
      if (fresh) continue;
      const model::Location& first = at->second->location;
      problems.push_back({.object = object->key,
                          .location = object->location,
                          .reason = Reason::kDuplicateObject,
                          .message = "is already defined in " + first.file + ":" +
                                     std::to_string(first.line) + ", which counts"});
    }
  }
  for (const auto& [key, object] : now) {
    const auto before = current_.find(key);
    if (before == current_.end() || before->second != object)
      batch.changes.upserts.push_back(object);
  }
  for (const auto& [key, object] : current_) {
    if (!now.contains(key)) batch.changes.removals.push_back(key);
  }
  current_ = std::move(now);
  std::ranges::sort(problems);
  batch.problems = std::move(problems);
  return batch;
}

}  // namespace ringway::source
