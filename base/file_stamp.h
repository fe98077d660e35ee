// Which content a path holds, without reading it: for files that others replace (mounted Secrets
// swap a symlink, certbot renames). Any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace ringway {

struct FileStamp {
  uint64_t device = 0;
  uint64_t inode = 0;
  int64_t size = 0;
  int64_t changed_ns = 0;  // st_ctime: also a write within the same size and mtime shows.
  bool operator==(const FileStamp&) const = default;
};

// Of what `path` leads to. nullopt: it cannot be looked at; errno says why.
std::optional<FileStamp> stamp_of(const std::string& path);

// The whole file. nullopt: not readable (errno), or longer than `bytes_max` (EFBIG).
std::optional<std::string> read_file(const std::string& path, size_t bytes_max);

}  // namespace ringway
