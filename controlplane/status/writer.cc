#include "controlplane/status/writer.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/clock.h"
#include "base/log.h"

namespace ringway::status {
namespace {

constexpr uint64_t kFinishNs = 10 * kNsPerSecond;
constexpr uint64_t kNotLeadingNs = kNsPerSecond;  // How soon a new leader begins to write.
constexpr size_t kWritesPerStep = 50;             // Between looks at who leads and what changed.

using nlohmann::json;

// Of an object that may be anything.
Addresses status_of(const json& ingress) {
  Addresses out;
  const json empty = json::array();
  const json found = ingress.is_object()
                         ? ingress.value("/status/loadBalancer/ingress"_json_pointer, empty)
                         : empty;
  for (const json& entry : found) {
    if (!entry.is_object()) continue;
    const auto text = [&](const char* name) {
      const auto at = entry.find(name);
      return at != entry.end() && at->is_string() ? at->get<std::string>() : std::string();
    };
    Address address{text("ip"), text("hostname")};
    if (address != Address()) out.push_back(std::move(address));
  }
  return sorted(std::move(out));
}

std::string collection(const std::string& ns) {
  return "/apis/networking.k8s.io/v1/namespaces/" + ns + "/ingresses";
}

}  // namespace

Writer::Writer(kube::Caller& api, Feed& feed, PublishOptions publish, WriterOptions options,
               std::function<bool()> leads)
    : api_(api),
      feed_(feed),
      reader_(api, std::move(publish)),
      options_(std::move(options)),
      leads_(std::move(leads)),
      events_(api, options_.instance) {}

void Writer::absorb() {
  Feed::Taken taken = feed_.take();
  for (const auto& [key, object] : taken.changes) {
    events_due_ = true;
    if (object == nullptr) {
      entries_.erase(key);
      continue;
    }
    const auto& ingress = std::get<kubernetes::Ingress>(object->body);
    // Another of the same name has another status; a change of the same one changes none.
    Entry& entry = entries_[key];
    if (entry.uid != ingress.metadata().uid() || !entry.current) {
      entry.current.reset();
      unlisted_.insert(key.ns);
    }
    entry.uid = ingress.metadata().uid();
    entry.refused = false;
  }
  if (taken.problems != problems_ || taken.config_map != config_map_) {
    problems_ = std::move(taken.problems);
    config_map_ = std::move(taken.config_map);
    events_due_ = true;
  }
}

uint64_t Writer::step(uint64_t now_ns, int64_t wall_ns) {
  absorb();
  const bool leading = leads_();
  if (leading != led_) {
    led_ = leading;
    events_due_ = true;
    look_at_ns_ = list_at_ns_ = 0;
    if (!leading) events_.clear();
    if (leading) resume();
  }
  if (!leading) return now_ns + kNotLeadingNs;
  uint64_t next_ns = kNever;
  if (options_.update_status && reader_.options().any()) {
    if (now_ns >= look_at_ns_) look(now_ns);
    list(now_ns);
    next_ns = std::min(look_at_ns_, write_all(now_ns));
  }
  if (events_due_) update_events(wall_ns);
  const uint64_t before = events_.writes();
  next_ns = std::min(next_ns, events_.post(now_ns));
  stats_.events += events_.writes() - before;
  return std::min(next_ns, now_ns + kNotLeadingNs);
}

// Who holds the Lease has just written to the server: what failed before is worth a try at once.
void Writer::resume() {
  list_pause_.succeeded();
  pause_.succeeded();
  events_.resume();
}

bool Writer::look(uint64_t now_ns) {
  look_at_ns_ = now_ns + options_.look_ns;
  auto read = reader_.read();
  if (!read) {
    if (complaint_ != read.error()) log_warning("status: {}", read.error());
    complaint_ = read.error();
    return false;  // What was known stays wanted.
  }
  gone_ = read->gone;
  if (read->addresses.empty()) {
    const std::string why =
        gone_ ? "the published Service does not exist" : "the published Service has no address yet";
    if (complaint_ != why) log_warning("status: {}; Ingresses stay as they are", why);
    complaint_ = why;
    return true;
  }
  complaint_.clear();
  if (!wanted_ || *wanted_ != read->addresses)
    log_info("status: Ingresses are reached at {}", to_text(read->addresses));
  wanted_ = std::move(read->addresses);
  return true;
}

void Writer::list(uint64_t now_ns) {
  if (now_ns >= list_at_ns_) {
    list_at_ns_ = now_ns + options_.list_ns;
    for (const auto& [key, entry] : entries_) unlisted_.insert(key.ns);
  }
  while (!unlisted_.empty() && list_pause_.over(now_ns)) {
    if (!list_namespace(*unlisted_.begin())) return list_pause_.failed(now_ns);
    list_pause_.succeeded();
    unlisted_.erase(unlisted_.begin());
  }
}

bool Writer::list_namespace(const std::string& ns) {
  std::map<std::string, Addresses> seen;
  std::string query = "limit=500";
  while (!query.empty()) {
    const auto answer = api_.call({.path = collection(ns), .query = query});
    json page = answer && answer->ok() ? json::parse(answer->body, nullptr, false) : json();
    if (!page.is_object() || !page["items"].is_array()) {
      log_warning("status: Ingresses of namespace {}: {}", ns,
                  !answer        ? answer.error().message
                  : answer->ok() ? "the answer is no list"
                                 : kube::describe(*answer));
      return false;
    }
    for (const json& item : page["items"]) {
      if (item.is_object()) seen[item.value("/metadata/name"_json_pointer, "")] = status_of(item);
    }
    const std::string more = page.value("/metadata/continue"_json_pointer, "");
    query = more.empty() ? "" : "limit=500&continue=" + kube::query_escape(more);
  }
  for (auto at = entries_.lower_bound({model::Kind::kIngress, ns, ""});
       at != entries_.end() && at->first.ns == ns; ++at) {
    const auto found = seen.find(at->first.name);
    if (found == seen.end()) {
      at->second.refused = true;  // Gone; the source will say so.
    } else {
      at->second.current = std::move(found->second);
    }
  }
  return true;
}

uint64_t Writer::write_all(uint64_t now_ns) {
  if (!wanted_) return kNever;
  size_t writes = 0;
  for (auto& [key, entry] : entries_) {
    if (entry.refused || !entry.current || entry.current == wanted_) continue;
    if (!pause_.over(now_ns)) return pause_.until_ns();
    if (++writes > kWritesPerStep || !leads_()) return now_ns;
    (void)write(key, entry, now_ns);
  }
  return kNever;
}

bool Writer::write(const model::ObjectKey& key, Entry& entry, uint64_t now_ns) {
  const nlohmann::json patch = {{"status", {{"loadBalancer", {{"ingress", to_json(*wanted_)}}}}}};
  ++stats_.status_writes;
  const auto answer = api_.call({.method = "PATCH",
                                 .path = collection(key.ns) + "/" + key.name + "/status",
                                 .content_type = "application/merge-patch+json",
                                 .body = patch.dump()});
  if (answer && answer->ok()) {
    entry.current = wanted_;
    pause_.succeeded();
    write_complaint_.clear();
    return true;
  }
  ++stats_.status_failures;
  const std::string why = answer ? kube::describe(*answer) : answer.error().message;
  // Gone meanwhile, or refused for what it is: its neighbours are not to wait for it.
  if (answer && (answer->status == 404 || answer->status == 400 || answer->status == 422)) {
    entry.refused = true;
    if (answer->status != 404) log_warning("status: {}: {}", model::to_string(key), why);
    return false;
  }
  pause_.failed(now_ns);
  if (why != write_complaint_) log_warning("status: {}: {}", model::to_string(key), why);
  write_complaint_ = why;
  return false;
}

void Writer::update_events(int64_t wall_ns) {
  events_due_ = false;
  if (problems_ == nullptr) return;
  std::vector<EventWriter::Due> due;
  for (const model::Problem& problem : *problems_) {
    if (config_map_ != nullptr && problem.object == config_map_->key) {
      const auto& object = std::get<kubernetes::ConfigMap>(config_map_->body);
      due.push_back({&problem, object.metadata().uid()});
    }
    if (problem.object.kind != model::Kind::kIngress) continue;
    const auto entry = entries_.find(problem.object);
    if (entry != entries_.end()) due.push_back({&problem, entry->second.uid});
  }
  events_.update(due, wall_ns);
}

void Writer::finish(uint64_t now_ns, const std::function<bool()>& last) {
  if (!options_.update_status || !options_.on_shutdown || !reader_.options().any()) return;
  (void)read_anew(now_ns);
  const bool fixed = !reader_.options().fixed.empty();
  if (!wanted_ || !(gone_ || (fixed && last()))) return;
  (void)empty_all(now_ns, monotonic_ns() + kFinishNs);
}

bool Writer::take_out(uint64_t now_ns, uint64_t deadline_ns) {
  if (!options_.update_status || !reader_.options().any()) return true;
  if (!read_anew(now_ns)) return false;
  return !wanted_ || empty_all(now_ns, deadline_ns);
}

// What is somebody else's by now is not ours to take out.
bool Writer::read_anew(uint64_t now_ns) {
  absorb();
  const bool known = look(now_ns);
  list_at_ns_ = 0;
  list(now_ns);
  return known;
}

bool Writer::empty_all(uint64_t now_ns, uint64_t deadline_ns) {
  const Addresses ours = std::exchange(*wanted_, {});
  log_info("status: taking {} out of {} Ingresses", to_text(ours), entries_.size());
  for (auto& [key, entry] : entries_) {
    if (entry.current != ours) continue;
    if (!write(key, entry, now_ns) && !entry.refused) return false;
    if (monotonic_ns() > deadline_ns) {
      log_warning("status: no time for all of them");
      return false;
    }
  }
  return unlisted_.empty();
}

}  // namespace ringway::status
