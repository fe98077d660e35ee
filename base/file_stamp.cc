#include "base/file_stamp.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace ringway {

std::optional<FileStamp> stamp_of(const std::string& path) {
  struct stat found{};
  if (::stat(path.c_str(), &found) != 0) return std::nullopt;
  return FileStamp{found.st_dev, found.st_ino, found.st_size,
                   found.st_ctim.tv_sec * 1'000'000'000 + found.st_ctim.tv_nsec};
}

std::optional<std::string> read_file(const std::string& path, size_t bytes_max) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return std::nullopt;
  std::string text;
  std::array<char, 16384> piece;
  int error = 0;
  for (;;) {
    const ssize_t got = ::read(fd, piece.data(), piece.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) error = errno;
    if (got <= 0) break;
    text.append(piece.data(), static_cast<size_t>(got));
    if (text.size() > bytes_max) {
      error = EFBIG;
      break;
    }
  }
  ::close(fd);
  errno = error;
  if (error != 0) return std::nullopt;
  return text;
}

}  // namespace ringway
