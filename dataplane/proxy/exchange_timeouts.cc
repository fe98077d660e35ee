// Deadlines of an exchange. The timer is armed for the nearest deadline of today's state, but never later than the shortest timeout from
// now, so that a wait which begins meanwhile is looked at in time; when it fires early it is armed again. Activity only stores a time.
#include <algorithm>

#include "dataplane/proxy/downstream.h"
#include "dataplane/proxy/exchange.h"
#include "dataplane/proxy/upstream_pool.h"

namespace ringway::proxy {
namespace {

constexpr uint64_t kRateGraceNs = 5 * kNsPerSecond;   // A slow start of a body is not yet a slow body.

}  // namespace

void Exchange::arm_timer() { context_.timers.arm(timer_, next_deadline(context_.now_ns())); }

uint64_t Exchange::next_deadline(uint64_t now_ns) {
  const route::Timeouts& timeouts = route_->timeouts;
  const config::HttpPolicy& policy = downstream_->policy();
  if (tunnel_) return next_tunnel_deadline();
  uint64_t nearest = now_ns + std::min({timeouts.connect_ns, timeouts.response_idle_ns, timeouts.request_idle_ns,
                                        policy.body_timeout_ns, policy.write_stall_timeout_ns});
  if (deadline_ns_ != 0) nearest = std::min(nearest, deadline_ns_);
  if (phase_ == Phase::kWaiting) nearest = std::min(nearest, try_begin_ns_ + timeouts.connect_ns);
  if (phase_ == Phase::kStreaming && upstream_->queued(upstream_stream_) > 0) {
    nearest = std::min(nearest, upstream_write_ns_ + timeouts.request_idle_ns);
  } else if (phase_ == Phase::kStreaming && request_ended_ && !response_paused_) {
    nearest = std::min(nearest, std::max(upstream_read_ns_, upstream_write_ns_) + timeouts.response_idle_ns);
  }
  if (policy.body_rate_bytes_per_second_min != 0 && !request_ended_) nearest = std::min(nearest, now_ns + kNsPerSecond);
  return nearest;
}

void Exchange::on_timer() {
  const uint64_t now_ns = context_.now_ns();
  if (expire(now_ns)) return;
  context_.timers.arm(timer_, next_deadline(now_ns));
}

bool Exchange::expire(uint64_t now_ns) {
  const route::Timeouts& timeouts = route_->timeouts;
  const config::HttpPolicy& policy = downstream_->policy();
  const auto due = [now_ns](uint64_t since_ns, uint64_t timeout_ns) { return now_ns - since_ns >= timeout_ns; };
  if (tunnel_) return expire_tunnel(now_ns);
  if (deadline_ns_ != 0 && now_ns >= deadline_ns_) {
    ++context_.stats.timeouts_total;
    respond(504);
    return true;
  }
  if (!downstream_->is_http2() && downstream_->queued(stream_) > 0 && due(downstream_write_ns_, policy.write_stall_timeout_ns)) {
    ++context_.stats.timeouts_write;
    downstream_->drain();   // Who does not read gets no second wait for the rest.
    return true;
  }
  // A client that waits for 100 (Continue), or is not read, is not slow.
  const bool awaits_continue = request_.expect_continue && !continue_sent_;
  if (!request_ended_ && !request_paused_ && !awaits_continue) {
    const uint64_t elapsed_ns = now_ns - body_begin_ns_;
    const uint64_t rate = policy.body_rate_bytes_per_second_min;
    const bool too_slow = rate != 0 && elapsed_ns > kRateGraceNs && request_bytes_ < rate * (elapsed_ns / kNsPerSecond);
    if (too_slow || due(downstream_read_ns_, policy.body_timeout_ns)) {
      ++context_.stats.timeouts_body;
      respond(408);
      return true;
    }
  }
  if (phase_ == Phase::kWaiting && due(try_begin_ns_, timeouts.connect_ns)) {
    ++context_.stats.timeouts_connect;
    // Busy is not broken: no verdict on the endpoint.
    if (pending_entry != nullptr && UpstreamPool::busy(*pending_entry)) end_try(upstream::Outcome::kAbandoned);
    let_go_of_upstream(false);
    on_upstream_failed(upstream::Outcome::kTimeout, http::Error::kNone);
    return phase_ == Phase::kDone;
  }
  if (phase_ != Phase::kStreaming) return false;
  const bool writing = upstream_ != nullptr && upstream_->queued(upstream_stream_) > 0;
  const bool write_stalled = writing && due(upstream_write_ns_, timeouts.request_idle_ns);
  // While the request is still on its way up, silence from the upstream is no offence.
  const bool awaiting = request_ended_ && !writing && !response_paused_;
  if (write_stalled || (awaiting && due(std::max(upstream_read_ns_, upstream_write_ns_), timeouts.response_idle_ns))) {
    ++context_.stats.timeouts_response;
    let_go_of_upstream(false);
    on_upstream_failed(upstream::Outcome::kTimeout, http::Error::kNone);
    return phase_ == Phase::kDone;
  }
  return false;
}

}  // namespace ringway::proxy
