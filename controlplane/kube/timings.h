// How long things may take between us and an API server. One value for all watches of a source.
#pragma once

#include <chrono>
#include <cstddef>

#include "controlplane/kube/backoff.h"

namespace ringway::kube {

struct Timings {
  // A watch without a byte, bookmarks included, is taken for half open. API servers send a bookmark
  // about every minute.
  std::chrono::milliseconds silence_max{180'000};
  // Everything is listed again this often (± 10 %) and compared by UID and content, because a watch
  // may be wrong without ending (an etcd that was restored). Soon after a connection that broke.
  std::chrono::milliseconds compare_every{300'000};
  std::chrono::milliseconds compare_soon{10'000};
  // Between the end of a listing and the comparison: events under way arrive first.
  std::chrono::milliseconds settle{1'000};
  // Of one watch request (timeoutSeconds), up to twice as long by chance; clean ends are normal.
  std::chrono::seconds watch_for{300};
  // Until a streamed list must have ended, or a page must have come.
  std::chrono::milliseconds list_max{60'000};
  // A named object that may be read but not watched is looked at this often.
  std::chrono::milliseconds poll_every{60'000};
  // What was refused again and again (a role without that right) is asked for this often.
  std::chrono::milliseconds refused_every{30'000};
  BackoffLimits backoff;
  // Of named objects: there may be thousands. A collection that gets through wakes them earlier.
  BackoffLimits named_backoff() const { return {backoff.first, backoff.most * 6}; }
  size_t page_items = 500;
  size_t line_bytes_max = 16u << 20;
};

}  // namespace ringway::kube
