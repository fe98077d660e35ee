#include "controlplane/status/events.h"

#include <ctime>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/log.h"
#include "controlplane/base/hash.h"

namespace ringway::status {
namespace {

using nlohmann::json;

// Limits of the API (k8s.io/kubernetes/pkg/apis/core/validation): note 1 kB, reportingInstance 128.
constexpr size_t kNoteBytesMax = 1000;
constexpr size_t kInstanceBytesMax = 128;
constexpr size_t kNameBytesMax = 200;  // Of the Ingress, in the Event's: 253 with what follows.

std::string micro_time(int64_t wall_ns) {
  const auto second_ns = static_cast<int64_t>(kNsPerSecond);
  const std::time_t seconds = wall_ns / second_ns;
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  char date[32], out[64];
  std::strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &parts);
  std::snprintf(out, sizeof out, "%s.%06dZ", date, static_cast<int>(wall_ns % second_ns / 1000));
  return out;
}

std::string hex(uint64_t value) {
  char out[17];
  std::snprintf(out, sizeof out, "%016lx", static_cast<unsigned long>(value));
  return out;
}

std::string name_of(const model::Problem& problem, const std::string& uid) {
  std::string said = uid;
  for (const std::string& part :
       {problem.field, std::string(model::reason_name(problem.reason)), problem.message}) {
    said += '\0';
    said += part;
  }
  std::string name = problem.object.name.substr(0, kNameBytesMax);
  while (!name.empty() && (name.back() == '.' || name.back() == '-')) name.pop_back();
  return name + "." + hex(content_hash(said));
}

}  // namespace

EventText write_event(const model::Problem& problem, const std::string& uid,
                      const std::string& instance, int64_t wall_ns) {
  std::string note =
      problem.field.empty() ? problem.message : problem.field + ": " + problem.message;
  if (note.size() > kNoteBytesMax) note = note.substr(0, kNoteBytesMax - 3) + "...";
  EventText text{name_of(problem, uid), ""};
  const json event = {
      {"apiVersion", "events.k8s.io/v1"},
      {"kind", "Event"},
      {"metadata", {{"name", text.name}, {"namespace", problem.object.ns}}},
      {"eventTime", micro_time(wall_ns)},
      {"reportingController", "ringway.dev/controller"},
      {"reportingInstance", instance.substr(0, kInstanceBytesMax)},
      {"action", "Translate"},
      {"reason", model::reason_name(problem.reason)},
      {"regarding",
       {{"apiVersion",
         problem.object.kind == model::Kind::kIngress ? "networking.k8s.io/v1" : "v1"},
        {"kind", model::kind_name(problem.object.kind)},
        {"namespace", problem.object.ns},
        {"name", problem.object.name},
        {"uid", uid}}},
      {"note", note},
      {"type", "Warning"}};
  text.body = event.dump(-1, ' ', false, json::error_handler_t::replace);
  return text;
}

void EventWriter::update(const std::vector<Due>& problems, int64_t wall_ns) {
  std::set<std::string> now;
  std::map<model::ObjectKey, size_t> of_object;
  for (const Due& due : problems) {
    if (++of_object[due.problem->object] > kPerObjectMax) continue;
    const std::string id = due.problem->object.ns + "/" + name_of(*due.problem, due.uid);
    if (!known_.contains(id) && !now.contains(id)) {
      queue_.push_back(
          {due.problem->object.ns, write_event(*due.problem, due.uid, instance_, wall_ns)});
    }
    now.insert(id);
  }
  known_ = std::move(now);
  // What was mended before it was posted is not worth a word any more.
  std::erase_if(queue_, [&](const Queued& queued) {
    return !known_.contains(queued.ns + "/" + queued.text.name);
  });
}

void EventWriter::clear() {
  known_.clear();
  queue_.clear();
}

uint64_t EventWriter::post(uint64_t now_ns) {
  while (!queue_.empty()) {
    if (!pause_.over(now_ns)) return pause_.until_ns();
    if (!pace_.take(now_ns)) return now_ns + pace_.interval_ns();
    const Queued& next = queue_.front();
    ++writes_;
    const auto answer =
        api_.call({.method = "POST",
                   .path = "/apis/events.k8s.io/v1/namespaces/" + next.ns + "/events",
                   .content_type = "application/json",
                   .body = next.text.body});
    // 409: it was said before. Other refusals (the namespace goes, no right) would come again.
    const bool done =
        answer && answer->status >= 200 && answer->status < 500 && answer->status != 429;
    if (!done) {
      pause_.failed(now_ns);
      log_debug("events: {}", answer ? kube::describe(*answer) : answer.error().message);
      return pause_.until_ns();
    }
    if (!answer->ok() && answer->status != 409)
      log_debug("events: {}/{}: {}", next.ns, next.text.name, kube::describe(*answer));
    pause_.succeeded();
    queue_.pop_front();
  }
  return kNever;
}

}  // namespace ringway::status
