// Keeps a Mirror of one collection equal to what the API server has: lists, watches, lists again
// when that is called for. Loop's thread only.
//
//   listing ──▶ watching ──▶ (410, silent, lost place) ──▶ listing
//                  │  ▲
//                  └──┘ closed: go on from the last resourceVersion; failed: after a wait
//
// The list is streamed through the watch where the server can (WatchList, sendInitialEvents), else
// read in pages. While it watches, a second listing now and then is compared with the mirror; when
// they differ the watch has been wrong and begins anew where that listing was.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "base/random.h"
#include "controlplane/kube/api_client.h"
#include "controlplane/kube/mirror.h"
#include "controlplane/kube/retry.h"
#include "controlplane/kube/timings.h"
#include "controlplane/kube/watch.h"

namespace ringway::kube {

// What reflectors of one server share.
struct ServerTraits {
  bool streams_lists = true;  // Until one of them learns otherwise.
  Retries retries;
};

class Reflector {
 public:
  struct Scope {
    std::string ns;  // "" = all
    std::string field_selector, label_selector;
    // What 403 means: with true, that there is nothing (and a warning); else that we must wait.
    bool optional = false;
  };
  struct Listener {
    Mirror::Listener mirror;
    std::function<void()> changed;  // synced() or problems() may have.
  };
  struct Counters {
    uint64_t lists = 0;  // Begun, streamed ones and comparisons included.
    uint64_t watches = 0;
    uint64_t failures = 0;
    uint64_t comparisons = 0, differences = 0;  // Done; objects that were not as the watch told.
    // Listings because the place of a watch was lost, by why.
    uint64_t relists_gone = 0, relists_silent = 0, relists_broken = 0;
  };

  // All references outlive it.
  Reflector(ApiClient& client, const Resource& resource, Scope scope, const Timings& timings,
            ServerTraits& traits, Random& random, Listener listener);
  ~Reflector();
  Reflector(const Reflector&) = delete;
  Reflector& operator=(const Reflector&) = delete;

  void start();
  bool synced() const { return synced_; }  // Once true it stays so.
  const Mirror& mirror() const { return mirror_; }
  const Resource& resource() const { return resource_; }
  const Counters& counters() const { return counters_; }
  // Appends: objects that cannot be read, and why the server is not followed just now.
  void append_problems(std::vector<model::Problem>& out) const;

 private:
  // ---- the first listing, and after 410 ----
  void list_anew();
  void stream_list();
  void limit_stream();
  void on_streamed(const WatchEvent& event);
  void on_stream_end(WatchEnd end);

  // ---- pages; for the first listing or for a comparison ----
  void list_pages();
  void ask_page();
  void on_page(Result result);
  bool take_page(const Response& response);
  void on_page_failed(WatchEnd end);
  void finish_pages();

  // ---- watch ----
  void watch();
  void on_event(const WatchEvent& event);
  void take_event(const WatchEvent& event);
  void on_watch_end(WatchEnd end);

  // ---- comparison ----
  void compare_later(std::chrono::milliseconds wait);
  void compare();
  void finish_comparison();
  void end_comparison();

  std::optional<Item> read(std::string_view json, bool from_watch);
  void forget_bad_items();
  void synced_now();
  void watch_lasted();
  void retry(const WatchEnd& end, void (Reflector::*then)());
  void note_failure(const WatchEnd& end);
  void clear_failure();
  std::string query(std::string_view more) const;

  ApiClient& client_;
  const Resource& resource_;
  const Scope scope_;
  const Timings timings_;
  ServerTraits& traits_;
  Random& random_;
  const Listener listener_;
  Mirror mirror_;
  Watch watch_;
  Retry retry_;

  bool synced_ = false;
  bool comparing_ = false;        // The listing under way is a comparison.
  bool broke_ = false;            // Since the last comparison a connection was lost.
  uint64_t streamed_ = 0;         // Events of the streamed list.
  uint32_t stream_attempts_ = 0;  // In a row that did not come to an end.
  uint32_t resumes_ = 0;          // In a row without a step forward.
  bool relisted_ = false;         // Because of a 410, and no step forward since.
  uint64_t opened_ns_ = 0;        // When the server took the watch under way; 0 = not yet.
  std::string resource_version_;  // Where the watch goes on; opaque.

  ApiClient::CallId page_call_ = 0;
  std::string continue_token_;
  std::string list_version_;
  size_t page_items_;

  Loop::TimerId compare_timer_ = 0, list_timer_ = 0;
  uint32_t failures_ = 0;  // In a row.
  std::optional<model::Problem> failure_;
  std::map<std::string, model::Problem> bad_items_;  // By id.
  std::set<std::string> bad_seen_;                   // Since the last listing began.
  Counters counters_;
};

}  // namespace ringway::kube
