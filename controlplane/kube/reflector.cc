#include "controlplane/kube/reflector.h"

#include <algorithm>
#include <utility>

#include "base/clock.h"
#include "base/log.h"

namespace ringway::kube {
namespace {

using std::chrono::milliseconds;
using Why = WatchEnd::Why;

// Failures in a row before they are worth a line. A server that just began refuses everything (403)
// until it knows its own roles, so not even a refusal is believed at once.
constexpr uint32_t kFailuresToSay = 3;
// Streams of a list that broke in a row, after which pages are tried for once.
constexpr uint32_t kStreamAttempts = 2;
// A watch that ended by itself after so long did what it should, even if nothing happened.
constexpr uint64_t kHealthyNs = 5 * kNsPerSecond;
// Watches in a row that ended without a step forward, after which the place is taken for lost.
constexpr uint32_t kResumesMax = 5;
// Failures in a row after which a refusal is believed to be one of a role, which changes seldom.
constexpr uint32_t kRefusalsMax = 10;

milliseconds about(milliseconds value, Random& random) {
  const auto tenth = static_cast<uint32_t>(value.count() / 10);
  return value - milliseconds(tenth) + milliseconds(random.below(2 * tenth + 1));
}

}  // namespace

Reflector::Reflector(ApiClient& client, const Resource& resource, Scope scope,
                     const Timings& timings, ServerTraits& traits, Random& random,
                     Listener listener)
    : client_(client),
      resource_(resource),
      scope_(std::move(scope)),
      timings_(timings),
      traits_(traits),
      random_(random),
      listener_(std::move(listener)),
      mirror_(listener_.mirror),
      watch_(client),
      retry_(client.loop(), traits.retries, timings.backoff, random),
      page_items_(timings.page_items) {}

Reflector::~Reflector() {
  for (Loop::TimerId* timer : {&compare_timer_, &list_timer_}) client_.loop().cancel(*timer);
  client_.cancel(page_call_);
}

void Reflector::start() { list_anew(); }

std::string Reflector::query(std::string_view more) const {
  std::string out(more);
  if (!scope_.field_selector.empty()) {
    out += "&fieldSelector=" + query_escape(scope_.field_selector);
  }
  if (!scope_.label_selector.empty()) {
    out += "&labelSelector=" + query_escape(scope_.label_selector);
  }
  return out;
}

// ---- the first listing, and after 410 ----

void Reflector::list_anew() {
  watch_.cancel();
  end_comparison();
  ++counters_.lists;
  resumes_ = 0;
  if (traits_.streams_lists && stream_attempts_ < kStreamAttempts) return stream_list();
  stream_attempts_ = 0;
  list_pages();
}

void Reflector::stream_list() {
  ++stream_attempts_;
  opened_ns_ = 0;
  bad_seen_.clear();
  mirror_.begin_listing();
  Request request{.path = collection_path(resource_, scope_.ns)};
  request.query = query(
      "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
      "&timeoutSeconds=" +
      std::to_string(timings_.watch_for.count() +
                     random_.below(static_cast<uint32_t>(timings_.watch_for.count() + 1))));
  limit_stream();
  watch_.start(std::move(request),
               {.silence_max = timings_.silence_max, .line_bytes_max = timings_.line_bytes_max},
               {.on_event = [this](const WatchEvent& event) { on_streamed(event); },
                .on_end = [this](WatchEnd end) { on_stream_end(std::move(end)); }});
}

// A server that does not know the parameters may take the request for a plain watch, which never
// says that the list is complete.
void Reflector::limit_stream() {
  list_timer_ = client_.loop().after(timings_.list_max, [this, before = streamed_] {
    list_timer_ = 0;
    if (streamed_ != before) return limit_stream();
    watch_.cancel();
    on_stream_end({.why = Why::kFailed, .message = "the streamed list did not end in time"});
  });
}

void Reflector::on_streamed(const WatchEvent& event) {
  retry_.got_through();
  if (!mirror_.is_listing() || comparing_) return on_event(event);
  ++streamed_;
  if (event.type == EventType::kBookmark) {
    const ObjectHead head = read_head(event.object);
    if (!head.initial_events_end) return;
    client_.loop().cancel(list_timer_);
    stream_attempts_ = 0;
    resource_version_ = head.resource_version;
    mirror_.finish_listing();
    forget_bad_items();
    opened_ns_ = monotonic_ns();
    return synced_now();
  }
  if (event.type == EventType::kDeleted) {
    const ObjectHead head = read_head(event.object);
    return mirror_.unlist((resource_.namespaced ? head.ns : "") + "/" + head.name);
  }
  if (auto item = read(event.object, false)) mirror_.listed(*std::move(item));
}

void Reflector::on_stream_end(WatchEnd end) {
  client_.loop().cancel(list_timer_);
  if (!mirror_.is_listing() || comparing_) return on_watch_end(std::move(end));
  mirror_.drop_listing();
  if (end.why == Why::kUnsupported) {
    traits_.streams_lists = false;
    return list_pages();
  }
  retry(end, &Reflector::list_anew);
}

// ---- pages ----

void Reflector::list_pages() {
  continue_token_.clear();
  list_version_.clear();
  bad_seen_.clear();
  mirror_.begin_listing();
  ask_page();
}

void Reflector::ask_page() {
  Request request{.path = collection_path(resource_, scope_.ns), .timeout = timings_.list_max};
  std::string page;
  if (page_items_ != 0) page = "limit=" + std::to_string(page_items_);
  if (!continue_token_.empty()) page += "&continue=" + query_escape(continue_token_);
  request.query = query(page);
  page_call_ = client_.start(std::move(request), [this](Result result) {
    page_call_ = 0;
    on_page(std::move(result));
  });
}

void Reflector::on_page(Result result) {
  if (result && result->ok() && take_page(*result)) return;
  WatchEnd end;
  if (result && result->status == 410 && !continue_token_.empty()) {
    // The place in the list is too old: pages are read too slowly for this server. All at once.
    page_items_ = 0;
    return list_pages();
  }
  if (!result && result.error().fault == Fault::kTooLarge && page_items_ != 1) {
    page_items_ = std::max<size_t>(1, (page_items_ == 0 ? timings_.page_items : page_items_) / 8);
    return list_pages();
  }
  if (result && !result->ok()) {
    end = {.why = Why::kRefused,
           .status = result->status,
           .retry_after = result->retry_after.value_or(std::chrono::seconds(0)),
           .message = describe(*result)};
  } else if (result) {
    end = {.why = Why::kFailed, .message = client_.config().server + ": a page is not a list"};
  } else if (result.error().fault == Fault::kCancelled) {
    return;
  } else {
    end = {.why = Why::kFailed, .message = result.error().message};
  }
  on_page_failed(std::move(end));
}

bool Reflector::take_page(const Response& response) {
  const auto page = cut_list(response.body);
  if (!page) return false;
  retry_.got_through();
  if (list_version_.empty()) list_version_ = page->resource_version;
  for (const std::string_view json : page->items) {
    if (auto item = read(json, false)) mirror_.listed(*std::move(item));
  }
  continue_token_ = page->continue_token;
  if (continue_token_.empty()) {
    finish_pages();
  } else {
    ask_page();
  }
  return true;
}

void Reflector::on_page_failed(WatchEnd end) {
  mirror_.drop_listing();
  if (!comparing_) return retry(end, &Reflector::list_anew);
  // The watch goes on; another look later.
  comparing_ = false;
  compare_later(timings_.compare_soon);
}

void Reflector::finish_pages() {
  if (comparing_) {
    compare_timer_ = client_.loop().after(timings_.settle, [this] {
      compare_timer_ = 0;
      finish_comparison();
    });
    return;
  }
  page_items_ = page_items_ == 0 ? timings_.page_items : page_items_;
  resource_version_ = list_version_;
  mirror_.finish_listing();
  forget_bad_items();
  synced_now();
  watch();
}

// ---- watch ----

void Reflector::watch() {
  ++counters_.watches;
  opened_ns_ = 0;
  retry_.cancel();
  const auto span = static_cast<uint32_t>(timings_.watch_for.count());
  Request request{.path = collection_path(resource_, scope_.ns)};
  request.query =
      query("watch=1&allowWatchBookmarks=true&resourceVersion=" + query_escape(resource_version_) +
            "&timeoutSeconds=" + std::to_string(span + random_.below(span + 1)));
  watch_.start(std::move(request),
               {.silence_max = timings_.silence_max, .line_bytes_max = timings_.line_bytes_max},
               {.on_open =
                    [this] {
                      opened_ns_ = monotonic_ns();
                      retry_.got_through();
                      clear_failure();
                      if (std::exchange(broke_, false)) compare_later(timings_.compare_soon);
                    },
                .on_event = [this](const WatchEvent& event) { on_event(event); },
                .on_end = [this](WatchEnd end) { on_watch_end(std::move(end)); }});
}

void Reflector::on_event(const WatchEvent& event) {
  const std::string before = resource_version_;
  take_event(event);
  if (resource_version_ == before) return;  // Not a step forward.
  watch_lasted();
}

void Reflector::watch_lasted() {
  resumes_ = 0;
  relisted_ = false;
  retry_.reset();
}

void Reflector::take_event(const WatchEvent& event) {
  if (event.type == EventType::kAdded || event.type == EventType::kModified) {
    if (auto item = read(event.object, true)) {
      resource_version_ = item->resource_version;
      mirror_.upsert(*std::move(item));
    }
    return;
  }
  const ObjectHead head = read_head(event.object);
  if (!head.resource_version.empty()) resource_version_ = head.resource_version;
  if (event.type != EventType::kDeleted) return;
  const std::string id = (resource_.namespaced ? head.ns : "") + "/" + head.name;
  if (bad_items_.erase(id) > 0) listener_.changed();
  mirror_.remove(id);
}

void Reflector::on_watch_end(WatchEnd end) {
  if (opened_ns_ != 0 && monotonic_ns() - opened_ns_ > kHealthyNs) watch_lasted();
  switch (end.why) {
    case Why::kCancelled:
      return;
    case Why::kClosed:
      // A server that closes at once, again and again, must not be asked in a tight loop.
      if (++resumes_ == 1) return watch();
      if (resumes_ < kResumesMax) return retry(end, &Reflector::watch);
      ++counters_.relists_broken;
      return list_anew();
    case Why::kGone:
    case Why::kSilent:
      log_debug("{}: {}: listing again", resource_.plural, end.message);
      ++(end.why == Why::kGone ? counters_.relists_gone : counters_.relists_silent);
      // The answer to a place that is too old is a listing; only the second needs to wait.
      if (end.why == Why::kGone && !std::exchange(relisted_, true)) return list_anew();
      return retry(end, &Reflector::list_anew);
    case Why::kFailed:
      broke_ = true;
      [[fallthrough]];
    case Why::kUnsupported:
    case Why::kRefused:
      if (++resumes_ < kResumesMax) return retry(end, &Reflector::watch);
      ++counters_.relists_broken;
      return retry(end, &Reflector::list_anew);
  }
}

// ---- comparison ----

void Reflector::compare_later(milliseconds wait) {
  if (comparing_) return;
  client_.loop().cancel(compare_timer_);
  compare_timer_ = client_.loop().after(about(wait, random_), [this] {
    compare_timer_ = 0;
    compare();
  });
}

void Reflector::compare() {
  if (!watch_.running() || mirror_.is_listing()) return compare_later(timings_.compare_soon);
  comparing_ = true;
  ++counters_.lists;
  list_pages();
}

void Reflector::finish_comparison() {
  comparing_ = false;
  const size_t differences = mirror_.finish_listing();
  forget_bad_items();
  ++counters_.comparisons;
  counters_.differences += differences;
  compare_later(timings_.compare_every);
  if (differences == 0) return;
  log_warning("{}: {} objects were not as the watch had told; it begins anew", resource_.plural,
              differences);
  resource_version_ = list_version_;
  watch();
}

void Reflector::end_comparison() {
  client_.loop().cancel(compare_timer_);
  client_.loop().cancel(list_timer_);
  client_.cancel(std::exchange(page_call_, 0));
  mirror_.drop_listing();
  comparing_ = false;
}

// ---- what all of them need ----

std::optional<Item> Reflector::read(std::string_view json, bool from_watch) {
  auto item = read_item(resource_, json);
  if (item) {
    if (!bad_items_.empty() && bad_items_.erase(item->id()) > 0) listener_.changed();
    return *std::move(item);
  }
  BadItem& bad = item.error();
  const std::string id = (resource_.namespaced ? bad.ns : "") + "/" + bad.name;
  if (mirror_.is_listing()) mirror_.keep(id);
  if (from_watch && !bad.resource_version.empty()) resource_version_ = bad.resource_version;
  bad_seen_.insert(id);
  auto& known = bad_items_[id];
  const bool news = known != bad.problem;
  known = std::move(bad.problem);
  if (news) listener_.changed();
  return std::nullopt;
}

// After a listing: what it did not have as bad is good now, or gone.
void Reflector::forget_bad_items() {
  const size_t gone = std::erase_if(
      bad_items_, [&](const auto& entry) { return !bad_seen_.contains(entry.first); });
  if (gone > 0) listener_.changed();
}

void Reflector::synced_now() {
  synced_ = true;
  broke_ = false;
  clear_failure();
  compare_later(timings_.compare_every);
  listener_.changed();
}

void Reflector::retry(const WatchEnd& end, void (Reflector::*then)()) {
  if (end.why == Why::kCancelled) return;
  note_failure(end);
  const auto again = [this, then] { (this->*then)(); };
  // The server answered, and is there: nobody's success says more.
  if (end.why == Why::kClosed || end.why == Why::kGone) return retry_.after_pause(again);
  const bool by_role = end.status == 401 || end.status == 403;
  retry_.after_failure(again, {.not_before = end.retry_after,
                               .more = by_role && failures_ > kRefusalsMax ? timings_.refused_every
                                                                           : milliseconds(0)});
}

void Reflector::note_failure(const WatchEnd& end) {
  if (end.why == Why::kClosed || end.why == Why::kGone || end.why == Why::kSilent) return;
  ++counters_.failures;
  ++failures_;
  const bool absent = scope_.optional && end.status == 403;
  if (failures_ < kFailuresToSay) return;
  if (absent && !synced_) {
    synced_ = true;
    listener_.changed();
  }
  model::Problem problem;
  problem.location.file = client_.config().server;
  problem.reason = model::Reason::kUnreadable;
  if (absent) problem.severity = model::Severity::kWarning;
  if (end.why == Why::kFailed) {
    // The same for all kinds, so that it is said once.
    problem.message = end.message + "; what is known stays in use";
  } else {
    problem.message = "cannot read " + std::string(resource_.plural) +
                      (scope_.ns.empty() ? "" : " of namespace " + scope_.ns) + ": " + end.message;
    if (absent) problem.message += "; taken for none";
  }
  if (failure_ == problem) return;
  failure_ = std::move(problem);
  listener_.changed();
}

void Reflector::clear_failure() {
  failures_ = 0;
  if (!failure_) return;
  failure_.reset();
  listener_.changed();
}

void Reflector::append_problems(std::vector<model::Problem>& out) const {
  for (const auto& [id, problem] : bad_items_) out.push_back(problem);
  if (failure_) out.push_back(*failure_);
}

}  // namespace ringway::kube
