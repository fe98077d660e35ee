// A file that is nowhere on a disk: for libraries that take key material by path only. Readable by
// this process alone, as /proc/self/fd/N; needs no writable folder.
//
// Invariant: a reader that opens path() gets a whole content, the old or the new one.
#pragma once

#include <string>
#include <string_view>

namespace ringway::identity {

class MemoryFile {
 public:
  explicit MemoryFile(const char* name);  // CHECKs that the system gives one.
  ~MemoryFile();
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  std::string path() const;
  void replace(std::string_view content);

 private:
  const char* const name_;
  int fd_;
};

}  // namespace ringway::identity
