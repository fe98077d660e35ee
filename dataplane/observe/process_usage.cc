#include "dataplane/observe/process_usage.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <charconv>
#include <cstring>
#include <string>
#include <string_view>

namespace ringway::observe {
namespace {

std::string read_small_file(const char* path) {
  const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return {};
  std::string text(8192, '\0');
  size_t size = 0;
  for (ssize_t n;
       size < text.size() && (n = ::read(fd, text.data() + size, text.size() - size)) > 0;)
    size += static_cast<size_t>(n);
  ::close(fd);
  text.resize(size);
  return text;
}

// The n-th word of a line, 0 the first; as a number.
uint64_t number_at(std::string_view text, int index) {
  size_t at = 0;
  for (int i = 0; i < index && at != std::string_view::npos; ++i) {
    at = text.find(' ', at);
    if (at != std::string_view::npos) ++at;
  }
  uint64_t value = 0;
  if (at < text.size()) std::from_chars(text.data() + at, text.data() + text.size(), value);
  return value;
}

uint64_t boot_time_seconds() {
  const std::string stat = read_small_file("/proc/stat");
  const size_t at = stat.find("btime ");
  return at == std::string::npos ? 0 : number_at(std::string_view(stat).substr(at), 1);
}

// A line "name: value" of /proc/pid/io (proc(5)).
uint64_t named_value(std::string_view text, std::string_view name) {
  const size_t at = text.find(name);
  return at == std::string_view::npos ? 0 : number_at(text.substr(at), 1);
}

uint64_t count_fds() {
  DIR* directory = opendir("/proc/self/fd");
  if (directory == nullptr) return 0;
  uint64_t count = 0;
  while (const dirent* entry = readdir(directory)) count += entry->d_name[0] != '.';
  closedir(directory);
  return count > 0 ? count - 1 : 0;  // Without the directory's own.
}

}  // namespace

ProcessUsage read_process_usage() {
  ProcessUsage usage;
  // proc(5), /proc/pid/stat: fields are counted behind the command's closing parenthesis, which is
  // followed by field 3.
  const std::string stat = read_small_file("/proc/self/stat");
  const size_t paren = stat.rfind(')');
  if (paren != std::string::npos && paren + 2 < stat.size()) {
    const std::string_view fields = std::string_view(stat).substr(paren + 2);
    const auto ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
    usage.cpu_seconds = static_cast<double>(number_at(fields, 11) + number_at(fields, 12)) / ticks;
    usage.threads = static_cast<uint32_t>(number_at(fields, 17));
    const uint64_t boot = boot_time_seconds();
    if (boot > 0)
      usage.start_time_seconds =
          static_cast<double>(boot) + static_cast<double>(number_at(fields, 19)) / ticks;
    usage.virtual_bytes = number_at(fields, 20);
    usage.resident_bytes = number_at(fields, 21) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  }
  const std::string io = read_small_file("/proc/self/io");
  usage.storage_read_bytes = named_value(io, "\nread_bytes: ");
  usage.storage_written_bytes = named_value(io, "\nwrite_bytes: ");
  usage.open_fds = count_fds();
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
    usage.max_fds = limit.rlim_cur;
  return usage;
}

}  // namespace ringway::observe
