// The manifests below a directory: found, read, and compared with what was there before. Knows no
// events and no time; one thread, which has helpers while it reads many files.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "controlplane/model/manifest.h"
#include "controlplane/source/source.h"

namespace ringway::source {

// Files end in .yaml, .yml or .json; hidden names (".x", "..data" of mounted ConfigMaps, editors'
// temporary files) are passed over. Symbolic links to files and directories are followed, each real
// directory once.
//
// Invariant: definitions_ holds every object of every file of files_, by key and then by place.
class DirectoryFiles {
 public:
  explicit DirectoryFiles(std::string root) : root_(std::move(root)) {}

  // What a scan may take for complete. A file whose identity (device, inode, size, change time)
  // differs from the last scan is read when one of these holds; otherwise it keeps what it was,
  // because somebody may be in the middle of writing it.
  struct Complete {
    std::vector<std::string> touched;  // Closed after writing, or moved here.
    std::vector<std::string>
        watched;  // Only files below these can be in `touched`; others are read.
    int64_t modified_before_ns = INT64_MAX;  // Wall clock: nobody has written to it since.
  };

  // Walks the tree. The batch has the difference to the last scan and all problems. A file that is
  // gone takes its objects along; a directory that cannot be read is a problem and keeps what was
  // below it.
  Batch scan(const Complete& complete);

  // The same for these files only, which are complete: costs what they cost. Directories and links
  // must not have changed since the last scan().
  Batch scan_files(const std::vector<std::string>& paths);

  // Whether the last scan passed over a file because it may be incomplete: scan again later.
  bool incomplete() const { return incomplete_; }

  // The directories of the last walk, root first; what a watcher must watch.
  const std::vector<std::string>& directories() const { return directories_; }

 private:
  struct Identity {
    uint64_t device = 0, inode = 0;
    int64_t size = 0, changed_ns = 0;
    bool operator==(const Identity&) const = default;
  };
  struct Found {
    Identity identity;
    int64_t modified_ns = 0;
    bool link = false;  // Its target may have been switched without an event of its own.
  };
  using Place = std::pair<std::string, size_t>;  // Path, and index in the file.
  struct File {
    Identity identity;
    model::Manifest manifest;
  };

  void walk(const std::string& directory, std::map<std::string, Found>& found,
            std::vector<model::Problem>& problems, std::vector<std::string>& unreadable);
  File read(const std::string& path, const Identity& identity, const File* before) const;
  // A file to be read. Files are parsed without regard to each other, so by every core.
  struct Task {
    const std::string* path;
    Identity identity;
    const File* before;  // nullptr: it is new.
    File result;
  };
  void read_all(std::vector<Task>& tasks) const;
  bool may_read(const std::string& path, const Found& found, const Complete& complete) const;
  // Puts what a file says now (nullopt: it is gone) in the place of what it said before.
  void replace(const std::string& path, std::optional<File> file);
  void define(const model::ObjectKey& key, const Place& place, model::ObjectPtr object);
  Batch difference();

  const std::string root_;
  std::vector<std::string> directories_;
  bool incomplete_ = false;
  std::vector<Identity> seen_directories_;  // Of the walk under way.
  std::map<std::string, File> files_;
  std::vector<model::Problem> walk_problems_;  // Of the last scan().
  std::map<model::ObjectKey, std::map<Place, model::ObjectPtr>>
      definitions_;                     // The first one counts.
  std::set<model::ObjectKey> doubled_;  // Keys with more than one definition.
  // What counted before, of the keys that were touched since the last batch.
  std::map<model::ObjectKey, model::ObjectPtr> touched_keys_;
};

}  // namespace ringway::source
