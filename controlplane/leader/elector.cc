#include "controlplane/leader/elector.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <utility>

#include "base/check.h"
#include "base/log.h"

namespace ringway::leader {
namespace {

using nlohmann::json;

// metav1.MicroTime: RFC 3339 with microseconds, UTC.
std::string micro_time(int64_t wall_ns) {
  const std::time_t seconds = wall_ns / static_cast<int64_t>(kNsPerSecond);
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  char text[64];
  const size_t size = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
  char out[96];
  std::snprintf(out, sizeof out, "%.*s.%06dZ", static_cast<int>(size), text,
                static_cast<int>(wall_ns % static_cast<int64_t>(kNsPerSecond) / 1000));
  return out;
}

// What somebody else wrote may be anything.
std::string text_of(const json& lease, const char* name) {
  const auto spec = lease.find("spec");
  if (spec == lease.end() || !spec->is_object()) return "";
  const auto at = spec->find(name);
  return at != spec->end() && at->is_string() ? at->get<std::string>() : "";
}

int64_t number_of(const json& lease, const char* name) {
  const auto spec = lease.find("spec");
  if (spec == lease.end() || !spec->is_object()) return 0;
  const auto at = spec->find(name);
  return at != spec->end() && at->is_number_integer() ? at->get<int64_t>() : 0;
}

}  // namespace

Elector::Elector(kube::Caller& api, ElectorOptions options, uint64_t seed)
    : api_(api), options_(std::move(options)), random_(seed) {
  CHECK(options_.retry_ns < options_.renew_deadline_ns);
  CHECK(options_.renew_deadline_ns < options_.lease_duration_ns);
}

std::string Elector::path() const {
  return "/apis/coordination.k8s.io/v1/namespaces/" + options_.ns + "/leases/" + options_.name;
}

std::string Elector::holder() const { return text_of(observed_, "holderIdentity"); }

bool Elector::is_leader(uint64_t now_ns) const {
  return now_ns < leading_until_ns_.load(std::memory_order_acquire);
}

kube::Result Elector::ask(kube::Request request) {
  auto answer = api_.call(std::move(request));
  if (answer) answered_ = true;
  return answer;
}

uint64_t Elector::step(uint64_t now_ns, int64_t wall_ns) {
  const bool before = is_leader(now_ns);
  const std::string holder_before = holder();
  switch (try_once(now_ns, wall_ns)) {
    case Outcome::kHeld:
      if (!before) {
        ++transitions_;
        log_info("leader: {} holds Lease {}/{}", options_.identity, options_.ns, options_.name);
      }
      held_ = true;
      leading_until_ns_.store(now_ns + options_.renew_deadline_ns, std::memory_order_release);
      complaint_.clear();
      break;
    case Outcome::kNotOurs:
      if (held_) log_warning("leader: Lease {}/{} is lost", options_.ns, options_.name);
      held_ = false;
      leading_until_ns_.store(0, std::memory_order_release);
      if (holder() != holder_before && !holder().empty())
        log_info("leader: {} holds Lease {}/{}", holder(), options_.ns, options_.name);
      complaint_.clear();
      break;
    case Outcome::kFailed:  // is_leader() ends by itself when renewing fails for too long.
      if (held_ && !before) {
        held_ = false;
        log_warning("leader: Lease {}/{} could not be renewed in time", options_.ns, options_.name);
      }
      break;
  }
  if (std::exchange(answered_, false)) heard_ns_ = now_ns;
  // Those who wait spread over 1 to 1.5 periods (client-go: 2.2, which would let 20 s pass), the
  // holder keeps its beat.
  const uint64_t jitter = held_ ? 0 : options_.retry_ns / 100 * random_.below(51);
  return now_ns + options_.retry_ns + jitter;
}

Elector::Outcome Elector::try_once(uint64_t now_ns, int64_t wall_ns) {
  // The holder writes without looking: a stale write is refused.
  if (held_ && !observed_.is_null()) {
    const Outcome written = update(observed_, wall_ns);
    if (written == Outcome::kHeld) return written;
  }
  const auto answer = ask({.path = path(), .timeout = std::chrono::seconds(5)});
  if (!answer) {
    complain(answer.error().message);
    return Outcome::kFailed;
  }
  if (answer->status == 404) return create(wall_ns);
  json lease = json::parse(answer->body, nullptr, false);
  if (!answer->ok() || !lease.is_object()) {
    complain(kube::describe(*answer));
    return Outcome::kFailed;
  }
  observe(std::move(lease), now_ns);
  const std::string holder = this->holder();
  if (holder != options_.identity && !holder.empty()) {
    const auto valid_ns =
        static_cast<uint64_t>(std::max<int64_t>(number_of(observed_, "leaseDurationSeconds"), 0)) *
        kNsPerSecond;
    if (now_ns < observed_ns_ + valid_ns) return Outcome::kNotOurs;
  }
  return update(observed_, wall_ns);
}

void Elector::observe(json lease, uint64_t now_ns) {
  if (lease == observed_) return;
  observed_ = std::move(lease);
  observed_ns_ = now_ns;
}

Elector::Outcome Elector::create(int64_t wall_ns) {
  const std::string now = micro_time(wall_ns);
  const json lease = {{"apiVersion", "coordination.k8s.io/v1"},
                      {"kind", "Lease"},
                      {"metadata", {{"name", options_.name}, {"namespace", options_.ns}}},
                      {"spec",
                       {{"holderIdentity", options_.identity},
                        {"leaseDurationSeconds", options_.lease_duration_ns / kNsPerSecond},
                        {"acquireTime", now},
                        {"renewTime", now},
                        {"leaseTransitions", 0}}}};
  const std::string all = path();
  ++writes_;
  const auto answer = ask({.method = "POST",
                           .path = all.substr(0, all.rfind('/')),
                           .content_type = "application/json",
                           .body = lease.dump(),
                           .timeout = std::chrono::seconds(5)});
  if (!answer || !answer->ok()) {
    if (answer && answer->status == 409) return Outcome::kNotOurs;  // Another was first.
    complain(answer ? kube::describe(*answer) : answer.error().message);
    return Outcome::kFailed;
  }
  observed_ = json::parse(answer->body, nullptr, false);
  if (!observed_.is_object()) observed_ = nullptr;
  return Outcome::kHeld;
}

Elector::Outcome Elector::update(json lease, int64_t wall_ns) {
  const bool renewal = text_of(lease, "holderIdentity") == options_.identity;
  const std::string now = micro_time(wall_ns);
  json& spec = lease["spec"];
  if (!spec.is_object()) spec = json::object();
  const int64_t transitions = number_of(lease, "leaseTransitions");
  spec["holderIdentity"] = options_.identity;
  spec["leaseDurationSeconds"] = options_.lease_duration_ns / kNsPerSecond;
  spec["renewTime"] = now;
  if (!renewal) {
    spec["acquireTime"] = now;
    spec["leaseTransitions"] = transitions + 1;
  }
  ++writes_;
  const auto answer = ask({.method = "PUT",
                           .path = path(),
                           .content_type = "application/json",
                           .body = lease.dump(),
                           .timeout = std::chrono::seconds(5)});
  if (!answer || !answer->ok()) {
    // Changed or gone since it was read: the next look says by whom.
    if (answer && (answer->status == 409 || answer->status == 404)) return Outcome::kNotOurs;
    complain(answer ? kube::describe(*answer) : answer.error().message);
    return Outcome::kFailed;
  }
  json written = json::parse(answer->body, nullptr, false);
  observed_ = written.is_object() ? std::move(written) : json(nullptr);
  return Outcome::kHeld;
}

void Elector::release(uint64_t now_ns, int64_t wall_ns) {
  if (!is_leader(now_ns) || observed_.is_null()) return;
  leading_until_ns_.store(0, std::memory_order_release);
  held_ = false;
  json lease = observed_;
  const std::string now = micro_time(wall_ns);
  json& spec = lease["spec"];
  spec["holderIdentity"] = "";
  spec["leaseDurationSeconds"] = 1;  // 0 is refused by the API.
  spec["acquireTime"] = now;
  spec["renewTime"] = now;
  ++writes_;
  const auto answer = ask({.method = "PUT",
                           .path = path(),
                           .content_type = "application/json",
                           .body = lease.dump(),
                           .timeout = std::chrono::seconds(5)});
  if (answer && answer->ok()) {
    log_info("leader: Lease {}/{} is given back", options_.ns, options_.name);
    observed_ = nullptr;
  } else {
    complain(answer ? kube::describe(*answer) : answer.error().message);
  }
}

void Elector::complain(const std::string& what) {
  if (what == complaint_) return;
  complaint_ = what;
  log_warning("leader: Lease {}/{}: {}", options_.ns, options_.name, what);
}

}  // namespace ringway::leader
