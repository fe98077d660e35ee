#include "controlplane/kube/named_watch.h"

#include <utility>

#include "base/clock.h"

namespace ringway::kube {
namespace {

using std::chrono::milliseconds;
using Why = WatchEnd::Why;

// Refusals in a row about one object, after which the others do not wait for it. The first ones may
// be of a server that just began and does not know its roles yet.
constexpr uint32_t kRefusalsMax = 3;
// Refusals in a row after which it is asked for seldom. There may be thousands of them, and a role
// does not change often.
constexpr uint32_t kRefusalsToPoll = 8;
// A watch that ended after so long did what it should, even if nothing happened.
constexpr uint64_t kHealthyNs = 5 * kNsPerSecond;

}  // namespace

NamedWatch::NamedWatch(ApiClient& client, const Resource& resource, std::string ns,
                       std::string name, const Timings& timings, Retries& retries, Random& random,
                       Listener listener)
    : client_(client),
      resource_(resource),
      ns_(std::move(ns)),
      name_(std::move(name)),
      timings_(timings),
      random_(random),
      listener_(std::move(listener)),
      watch_(client),
      retry_(client.loop(), retries, timings.named_backoff(), random) {}

NamedWatch::~NamedWatch() { client_.cancel(ask_call_); }

void NamedWatch::start() {
  started_ = true;
  open();
}

void NamedWatch::open() {
  const auto span = static_cast<uint32_t>(timings_.watch_for.count());
  Request request{.path = collection_path(resource_, ns_)};
  // From any state that the server has at hand: reading the object follows in any case.
  request.query = "watch=1&allowWatchBookmarks=true&resourceVersion=0&fieldSelector=" +
                  query_escape("metadata.name=" + name_) +
                  "&timeoutSeconds=" + std::to_string(span + random_.below(span + 1));
  heard_ = false;
  opened_ns_ = 0;
  watch_.start(std::move(request),
               {.silence_max = timings_.silence_max, .line_bytes_max = timings_.line_bytes_max},
               {.on_open =
                    [this] {
                      opened_ns_ = monotonic_ns();
                      watched_ = true;
                      ask();
                    },
                .on_event = [this](const WatchEvent& event) { on_event(event); },
                .on_end = [this](WatchEnd end) { on_watch_end(std::move(end)); }});
}

void NamedWatch::on_event(const WatchEvent& event) {
  retry_.reset();
  if (event.type == EventType::kBookmark) return;
  if (read_head(event.object).name != name_) return;  // A server that ignores the selector.
  heard_ = ask_call_ != 0;
  if (event.type == EventType::kDeleted) {
    gone();
  } else {
    take(event.object);
  }
}

void NamedWatch::on_watch_end(WatchEnd end) {
  if (opened_ns_ != 0 && monotonic_ns() - opened_ns_ > kHealthyNs) retry_.reset();
  switch (end.why) {
    case Why::kCancelled:
      return;
    case Why::kClosed:
    case Why::kGone:
      return pause();
    case Why::kRefused:
    case Why::kUnsupported:
      if (end.status == 403 || end.status == 404 || end.status == 405) {
        ask();  // Reading may be allowed.
        // If not, its answer decides. A pause, because reading is no sign that watching works.
        return pause(watched_ ? milliseconds(0) : timings_.poll_every);
      }
      return again(end.retry_after);
    case Why::kSilent:
    case Why::kFailed:
      return again();
  }
}

void NamedWatch::again(milliseconds retry_after, milliseconds more) {
  ++failures_;
  retry_.after_failure([this] { open(); }, {.not_before = retry_after, .more = more});
}

void NamedWatch::pause(milliseconds more) {
  retry_.after_pause([this] { open(); }, more);
}

void NamedWatch::ask() {
  client_.cancel(std::exchange(ask_call_, 0));
  ask_call_ =
      client_.start({.path = object_path(resource_, ns_, name_), .timeout = timings_.list_max},
                    [this](Result result) {
                      ask_call_ = 0;
                      on_answer(std::move(result));
                    });
}

void NamedWatch::on_answer(Result result) {
  if (!result) {
    if (result.error().fault == Fault::kCancelled) return;
    watch_.cancel();  // The next one asks again.
    return again();
  }
  if (result->ok()) {
    refusals_ = 0;
    retry_.got_through();
    if (!std::exchange(heard_, false)) take(result->body);
    return answer();
  }
  if (result->status == 404) {
    refusals_ = 0;
    retry_.got_through();
    set_problem(std::nullopt);
    if (!std::exchange(heard_, false)) gone();
    return answer();
  }
  on_refused(*result);
}

void NamedWatch::on_refused(const Response& response) {
  model::Problem problem;
  problem.object = {resource_.model.value_or(model::Kind::kConfigMap), ns_, name_};
  problem.reason = model::Reason::kUnreadable;
  problem.message = "cannot be read: " + describe(response);
  if (response.status == 403) problem.message += " (the controller needs the verbs get and watch)";
  const bool busy = response.status == 429 || response.status == 503;
  const bool final = !busy && ++refusals_ >= kRefusalsMax;
  if (final) {
    set_problem(std::move(problem));
    answer();
  }
  watch_.cancel();
  again(response.retry_after.value_or(std::chrono::seconds(0)),
        refusals_ >= kRefusalsToPoll ? timings_.poll_every : milliseconds(0));
}

void NamedWatch::take(std::string_view json) {
  auto item = read_item(resource_, json);
  if (!item) return set_problem(std::move(item.error().problem));  // What it was stays.
  set_problem(std::nullopt);
  if (item_ && same_content(*item_->message, *item->message)) return;
  item_ = *std::move(item);
  listener_.upserted(*item_);
}

void NamedWatch::gone() {
  set_problem(std::nullopt);
  if (!item_) return;
  const Item gone = *std::exchange(item_, std::nullopt);
  listener_.removed(gone);
}

void NamedWatch::set_problem(std::optional<model::Problem> problem) {
  if (problem_ == problem) return;
  problem_ = std::move(problem);
  listener_.changed();
}

void NamedWatch::answer() {
  if (std::exchange(answered_, true)) return;
  listener_.changed();
}

}  // namespace ringway::kube
