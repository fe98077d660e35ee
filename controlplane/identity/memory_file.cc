#include "controlplane/identity/memory_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

#include "base/check.h"

namespace ringway::identity {

MemoryFile::MemoryFile(const char* name) : name_(name), fd_(::memfd_create(name, MFD_CLOEXEC)) {
  CHECK(fd_ >= 0);
}

MemoryFile::~MemoryFile() { ::close(fd_); }

std::string MemoryFile::path() const { return "/proc/self/fd/" + std::to_string(fd_); }

void MemoryFile::replace(std::string_view content) {
  const int fresh = ::memfd_create(name_, MFD_CLOEXEC);
  CHECK(fresh >= 0);
  while (!content.empty()) {
    const ssize_t written = ::write(fresh, content.data(), content.size());
    if (written < 0 && errno == EINTR) continue;
    CHECK(written > 0);
    content.remove_prefix(static_cast<size_t>(written));
  }
  // The number changes its meaning at one moment: who has opened the old file reads it to its end.
  CHECK(::dup3(fresh, fd_, O_CLOEXEC) == fd_);
  ::close(fresh);
}

}  // namespace ringway::identity
