#include "controlplane/kube/watch.h"

#include <utility>

namespace ringway::kube {
namespace {

bool unsupported(int status) {
  return status == 400 || status == 404 || status == 405 || status == 422 || status == 500 ||
         status == 501;
}

WatchEnd end_of(int status, std::string message) {
  using Why = WatchEnd::Why;
  const Why why = status == 410         ? Why::kGone
                  : unsupported(status) ? Why::kUnsupported
                                        : Why::kRefused;
  return {.why = why, .status = status, .message = std::move(message)};
}

WatchEnd end_of(const Result& result) {
  using Why = WatchEnd::Why;
  if (result && result->ok()) return {.why = Why::kClosed, .status = result->status};
  if (result) {
    WatchEnd end = end_of(result->status, describe(*result));
    end.retry_after = result->retry_after.value_or(std::chrono::seconds(0));
    return end;
  }
  const Failure& failure = result.error();
  const Why why = failure.fault == Fault::kSilent      ? Why::kSilent
                  : failure.fault == Fault::kCancelled ? Why::kCancelled
                                                       : Why::kFailed;
  return {.why = why, .message = failure.message};
}

}  // namespace

void Watch::start(Request request, Limits limits, Handlers handlers) {
  cancel();
  handlers_ = std::move(handlers);
  limits_ = limits;
  call_ = client_.start(std::move(request),
                        Stream{.silence_max = limits.silence_max,
                               .on_open =
                                   [this] {
                                     if (const auto on_open = handlers_.on_open) on_open();
                                   },
                               .on_data = [this](std::string_view part) { on_data(part); },
                               .on_end = [this](Result result) { end(end_of(result)); }});
}

void Watch::cancel() {
  ++round_;
  rest_.clear();
  if (call_ != 0) client_.cancel(std::exchange(call_, 0));
}

void Watch::end(WatchEnd end) {
  cancel();
  const auto on_end = std::move(handlers_.on_end);
  handlers_ = {};
  on_end(std::move(end));
}

void Watch::on_data(std::string_view part) {
  const uint64_t round = round_;
  std::string joined;
  if (!rest_.empty()) {
    // Only the part that ends the line is looked at and joined: a long line is not copied again and
    // again.
    const size_t first = part.find('\n');
    if (first == std::string_view::npos) {
      rest_ += part;
      if (rest_.size() > limits_.line_bytes_max) {
        end({.why = WatchEnd::Why::kFailed, .message = "an event is too large"});
      }
      return;
    }
    joined = std::exchange(rest_, {});
    joined += part.substr(0, first);
    part.remove_prefix(first + 1);
    if (!on_line(joined) || round != round_) return;
  }
  for (size_t at = part.find('\n'); at != std::string_view::npos; at = part.find('\n')) {
    const std::string_view line = part.substr(0, at);
    part.remove_prefix(at + 1);
    if (!on_line(line) || round != round_) return;
  }
  rest_ = part;
}

// false: the watch ended.
bool Watch::on_line(std::string_view line) {
  if (line.find_first_not_of(" \r\t") == std::string_view::npos) return true;
  const auto event = cut_event(line);
  if (!event) {
    end({.why = WatchEnd::Why::kFailed, .message = "the watch is broken: " + event.error()});
    return false;
  }
  if (event->type == EventType::kError) {
    const StatusHead status = read_status(event->object);
    end(end_of(status.code, "the watch ended with " + std::to_string(status.code) + " " +
                                status.reason + ": " + status.message.substr(0, 500)));
    return false;
  }
  const auto on_event = handlers_.on_event;  // It may cancel, which must not free it under way.
  on_event(*event);
  return true;
}

}  // namespace ringway::kube
