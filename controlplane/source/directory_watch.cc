#include "controlplane/source/directory_watch.h"

#include <limits.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>

namespace ringway::source {
namespace {

constexpr uint32_t kMask = IN_CLOSE_WRITE | IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE |
                           IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;

bool is_regular(const std::string& path) {
  struct stat info{};
  return ::lstat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode);
}

}  // namespace

DirectoryWatch::DirectoryWatch()
    : inotify_fd_(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)),
      interrupt_fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

DirectoryWatch::~DirectoryWatch() {
  if (inotify_fd_ >= 0) ::close(inotify_fd_);
  if (interrupt_fd_ >= 0) ::close(interrupt_fd_);
}

bool DirectoryWatch::set(const std::vector<std::string>& directories) {
  bool complete = inotify_fd_ >= 0;
  std::map<std::string, int> before = std::move(watches_);
  watches_.clear();
  paths_.clear();
  for (const std::string& directory : directories) {
    // For a directory that is watched already this gives the same descriptor; for a new one under
    // an old name another.
    const int watch = ::inotify_add_watch(inotify_fd_, directory.c_str(), kMask);
    if (watch < 0) {
      complete = false;
      continue;
    }
    watches_[directory] = watch;
    paths_[watch] = directory;
  }
  for (const auto& [directory, watch] : before) {
    if (!paths_.contains(watch)) ::inotify_rm_watch(inotify_fd_, watch);
  }
  return complete;
}

void DirectoryWatch::interrupt() {
  const uint64_t one = 1;
  // Fails only when the counter is full, and then wait() ends all the same.
  [[maybe_unused]] const ssize_t written = ::write(interrupt_fd_, &one, sizeof one);
}

DirectoryWatch::Events DirectoryWatch::wait(std::chrono::milliseconds timeout) {
  Events events;
  pollfd fds[2] = {{interrupt_fd_, POLLIN, 0}, {inotify_fd_, POLLIN, 0}};
  const int timeout_ms =
      static_cast<int>(std::clamp<int64_t>(timeout.count(), 0, std::numeric_limits<int>::max()));
  if (::poll(fds, 2, timeout_ms) <= 0) return events;
  // The eventfd is never read: an interrupt is for good.
  events.interrupted = (fds[0].revents & POLLIN) != 0;
  if ((fds[1].revents & POLLIN) != 0) read_events(events);
  return events;
}

void DirectoryWatch::read_events(Events& events) {
  alignas(inotify_event) char buffer[16 * (sizeof(inotify_event) + NAME_MAX + 1)];
  ssize_t size = 0;
  while ((size = ::read(inotify_fd_, buffer, sizeof buffer)) > 0) {
    for (ssize_t at = 0; at < size;) {
      const auto* event = reinterpret_cast<const inotify_event*>(buffer + at);
      at += static_cast<ssize_t>(sizeof(inotify_event) + event->len);
      if ((event->mask & IN_Q_OVERFLOW) != 0) events.any = events.structure = true;
      const auto directory = paths_.find(event->wd);
      if (directory == paths_.end()) continue;
      const std::string path =
          event->len > 0 ? directory->second + "/" + event->name : directory->second;
      const bool came = (event->mask & (IN_CREATE | IN_MOVED_TO)) != 0;
      if (event->len == 0 || (event->mask & IN_ISDIR) != 0 || (came && !is_regular(path))) {
        events.structure = true;
      }
      events.any = true;
      if ((event->mask & (IN_CREATE | IN_ATTRIB)) != 0) {
        events.others.push_back(path);
      } else if ((event->mask & (IN_CLOSE_WRITE | IN_MOVED_TO)) != 0) {
        events.touched.push_back(path);
      } else {
        events.gone.push_back(path);
      }
    }
  }
}

}  // namespace ringway::source
