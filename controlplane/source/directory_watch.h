// inotify over a set of directories. One thread waits; any thread may interrupt.
#pragma once

#include <chrono>
#include <map>
#include <string>
#include <vector>

namespace ringway::source {

class DirectoryWatch {
 public:
  DirectoryWatch();
  ~DirectoryWatch();
  DirectoryWatch(const DirectoryWatch&) = delete;
  DirectoryWatch& operator=(const DirectoryWatch&) = delete;

  // Watches exactly these. A directory that is gone or over the system's limit is left out; returns
  // false then, and the caller looks again from time to time.
  bool set(const std::vector<std::string>& directories);

  struct Events {
    bool interrupted = false;
    bool any = false;        // Something may have changed (also after an overflow).
    bool structure = false;  // Directories or links may have: what is watched may be wrong now.
    std::vector<std::string> touched;  // Files that were closed after writing or moved here.
    std::vector<std::string> gone;     // Names that were removed or moved away.
    std::vector<std::string>
        others;  // Files that were created (and not closed so far), or whose mode changed.
  };
  // Waits up to `timeout` for events and returns all that are there. Writing itself (IN_MODIFY) is
  // no event, and creation touches no file: one half written would take its objects away for a
  // moment.
  Events wait(std::chrono::milliseconds timeout);

  void interrupt();  // Ends wait() now and always. Any thread.

 private:
  void read_events(Events& events);

  int inotify_fd_ = -1;
  int interrupt_fd_ = -1;
  std::map<int, std::string> paths_;  // By watch descriptor.
  std::map<std::string, int> watches_;
};

}  // namespace ringway::source
