#include "dataplane/upstream/health_checker.h"

#include <algorithm>

namespace ringway::upstream {
namespace {

constexpr uint64_t kIntervalMinNs = 10 * kNsPerMs;  // A tick of the wheel.

// Equal text, equal policy.
std::string content_of(const HealthCheckPolicy& policy) {
  std::string out;
  const auto add = [&out](uint64_t number) { out += std::to_string(number) + ","; };
  add(static_cast<uint64_t>(policy.kind));
  add(policy.interval_ns);
  add(policy.timeout_ns);
  add(policy.unhealthy_threshold);
  add(policy.healthy_threshold);
  add(policy.jitter_percent);
  for (const std::string* text : {&policy.path, &policy.host, &policy.body_contains,
                                  &policy.grpc_service}) {
    add(text->size());
    out += *text;
  }
  for (const StatusRange& range : policy.expected) {
    add(range.first);
    add(range.last);
  }
  return out;
}

}  // namespace

struct HealthChecker::Check final : HealthProbe::Owner {
  Check(HealthChecker& c, const Key& k, std::shared_ptr<EndpointState> e, std::string policy_key,
        std::shared_ptr<const HealthCheckPolicy> p)
      : checker(c),
        key(k),
        endpoint(std::move(e)),
        policy_content(std::move(policy_key)),
        policy(std::move(p)) {
    timer.bind<&Check::on_timer>(*this);
  }

  void on_timer() {
    if (probe != nullptr) {
      probe->time_out();
    } else {
      checker.begin(*this);
    }
  }
  void on_probe_done(HealthProbe&, Verdict verdict, std::string_view reason) override {
    checker.finished(*this, verdict, reason);  // Destroys the probe, and *this when it is retired.
  }

  HealthChecker& checker;
  Key key;
  std::shared_ptr<EndpointState> endpoint;
  std::string policy_content;
  std::shared_ptr<const HealthCheckPolicy> policy;
  std::unique_ptr<HealthProbe> probe;  // While one is under way.
  io::Timer timer;                     // The next check, or the deadline of the one under way.
  uint64_t started_ns = 0;
  uint32_t users = 0;   // Clusters.
  uint32_t passes = 0;  // In a row.
  uint32_t fails = 0;   // In a row.
  bool failing = false;
  bool waiting = false;  // In waiting_.
};

HealthChecker::HealthChecker(io::Ring& ring, io::TimerWheel& wheel, uint64_t seed)
    : ring_(ring), wheel_(wheel), random_(seed) {}

HealthChecker::~HealthChecker() { CHECK(probes_ == 0); }

const std::string& HealthChecker::policy_of(
    const std::shared_ptr<const HealthCheckPolicy>& policy) {
  const auto [at, added] = policies_.try_emplace(content_of(*policy));
  if (added) at->second = {++last_policy_, policy, 0};
  return at->first;
}

void HealthChecker::set_cluster(const Cluster& cluster) {
  if (draining_) return;
  std::vector<Key> keys;
  if (cluster.health_check != nullptr && !cluster.endpoints.empty()) {
    const std::string& policy = policy_of(cluster.health_check);
    keys.reserve(cluster.endpoints.size());
    for (const EndpointRef& endpoint : cluster.endpoints) add_user(endpoint, policy, keys);
  }
  // Added before the old ones are dropped: what stays is not interrupted, and a new policy begins
  // with what the old one knew.
  std::vector<Key> old;
  if (keys.empty()) {
    const auto found = clusters_.find(cluster.uid);
    if (found == clusters_.end()) return;
    old = std::move(found->second);
    clusters_.erase(found);
  } else {
    old = std::exchange(clusters_[cluster.uid], std::move(keys));
  }
  for (const Key& key : old) drop_user(key);
}

void HealthChecker::remove_cluster(uint64_t uid) {
  const auto found = clusters_.find(uid);
  if (found == clusters_.end()) return;
  const std::vector<Key> old = std::move(found->second);
  clusters_.erase(found);
  for (const Key& key : old) drop_user(key);
}

void HealthChecker::add_user(const EndpointRef& endpoint, const std::string& policy,
                             std::vector<Key>& keys) {
  Policy& shared = policies_.at(policy);
  const Key key{endpoint.state->uid, shared.id};
  auto& check = checks_[key];
  if (check == nullptr) {
    check = std::make_unique<Check>(*this, key, endpoint.state, policy, shared.policy);
    ++shared.checks;
    ++stats_.checks;
    if (endpoint.state->check_failed.load(std::memory_order_relaxed)) {
      check->failing = true;
      ++failing_[key.endpoint];
      ++stats_.unhealthy;
    }
  }
  if (check->users++ == 0 && check->probe == nullptr && !check->timer.armed()) {
    const uint64_t spread_ms = std::max<uint64_t>(1, check->policy->interval_ns / kNsPerMs);
    wheel_.arm(check->timer, ring_.now_ns() + random_.below(static_cast<uint32_t>(
                                                  std::min<uint64_t>(spread_ms, 1u << 31))) *
                                                  kNsPerMs);
  }
  keys.push_back(key);
}

void HealthChecker::drop_user(const Key& key) {
  Check& check = *checks_.at(key);
  if (--check.users != 0) return;
  if (check.probe != nullptr) {
    check.probe->drain();  // Ends in finished().
  } else {
    destroy(check);
  }
}

void HealthChecker::destroy(Check& check) {
  set_failing(check, false, {});
  const auto policy = policies_.find(check.policy_content);
  if (--policy->second.checks == 0) policies_.erase(policy);
  --stats_.checks;
  checks_.erase(check.key);
}

void HealthChecker::begin(Check& check) {
  if (probes_ >= kProbesMax) {
    if (!check.waiting) waiting_.push_back(check.key);
    check.waiting = true;
    return;
  }
  ++probes_;
  check.started_ns = ring_.now_ns();
  check.probe = std::make_unique<HealthProbe>(ring_, *check.policy, *check.endpoint, check);
  wheel_.arm(check.timer, check.started_ns + check.policy->timeout_ns);
  check.probe->start();
}

void HealthChecker::finished(Check& check, Verdict verdict, std::string_view reason) {
  const auto probe = std::move(check.probe);  // Its last call; it goes at the end of this function.
  --probes_;
  check.timer.cancel();
  if (check.users == 0) {
    destroy(check);
  } else if (!draining_) {
    note_result(check, verdict, reason);
    schedule_next(check);
  }
  if (!draining_) start_waiting();
}

void HealthChecker::note_result(Check& check, Verdict verdict, std::string_view reason) {
  switch (verdict) {
    case Verdict::kUnknown:
      ++stats_.skipped;
      break;
    case Verdict::kPass:
      ++stats_.passed;
      check.fails = 0;
      if (check.failing && ++check.passes >= check.policy->healthy_threshold)
        set_failing(check, false, {});
      break;
    case Verdict::kFail:
      ++stats_.failed;
      check.passes = 0;
      if (!check.failing && ++check.fails >= check.policy->unhealthy_threshold)
        set_failing(check, true, reason);
      break;
  }
}

void HealthChecker::set_failing(Check& check, bool failing, std::string_view reason) {
  if (check.failing == failing) return;
  check.failing = failing;
  check.passes = 0;
  check.fails = 0;
  uint32_t& failing_checks = failing_[check.key.endpoint];
  failing ? ++failing_checks : --failing_checks;
  failing ? ++stats_.unhealthy : --stats_.unhealthy;
  const bool unhealthy = failing_checks != 0;
  if (!unhealthy) failing_.erase(check.key.endpoint);
  if (check.endpoint->check_failed.exchange(unhealthy, std::memory_order_relaxed) != unhealthy &&
      on_change_) {
    on_change_(*check.endpoint, !unhealthy, reason);
  }
}

void HealthChecker::schedule_next(Check& check) {
  const uint64_t interval_ms = std::max(check.policy->interval_ns, kIntervalMinNs) / kNsPerMs;
  const auto jitter_ms = static_cast<uint32_t>(
      std::min<uint64_t>(interval_ms * check.policy->jitter_percent / 100, 1u << 30));
  const uint64_t next_ms = interval_ms - jitter_ms + random_.below(2 * jitter_ms + 1);
  wheel_.arm(check.timer,
             std::max(ring_.now_ns() + kIntervalMinNs, check.started_ns + next_ms * kNsPerMs));
}

void HealthChecker::start_waiting() {
  if (starting_)
    return;  // A probe that got no socket is finished inside begin(): the loop below goes on.
  starting_ = true;
  while (probes_ < kProbesMax && !waiting_.empty()) {
    const auto found = checks_.find(waiting_.front());
    waiting_.pop_front();
    if (found == checks_.end() || !found->second->waiting) continue;  // Retired meanwhile.
    found->second->waiting = false;
    begin(*found->second);
  }
  starting_ = false;
}

void HealthChecker::drain() {
  draining_ = true;
  waiting_.clear();
  for (auto& [key, check] : checks_) {
    check->timer.cancel();
    if (check->probe != nullptr) check->probe->drain();
  }
}

}  // namespace ringway::upstream
