#include "dataplane/proxy/retry.h"

#include <algorithm>

#include "dataplane/proxy/context.h"

namespace ringway::proxy {

void Retry::begin(const route::RetryPolicy& policy, http::Method method, bool may_be_refused, uint64_t now_ns) {
  CHECK(tries_ == 0 && kept_.empty());
  policy_ = &policy;
  method_ = method;
  begin_ns_ = now_ns;
  replayable_ = policy.tries > 1;
  keeps_ = replayable_ && (http::is_idempotent(method) || policy.non_idempotent || may_be_refused);
}

void Retry::reset() {
  policy_ = nullptr;
  replayable_ = true;
  tries_ = unsent_ = 0;
  tried_count_ = 0;
  kept_.clear();
}

void Retry::note_try(const upstream::EndpointState& endpoint) {
  ++tries_;
  if (tried_count_ < kTriedMax) tried_[tried_count_++] = &endpoint;
}

void Retry::forget_last_endpoint() {
  if (tried_count_ > 0) --tried_count_;
}

bool Retry::has_tried(const upstream::EndpointState& endpoint) const { return std::ranges::find(tried(), &endpoint) != tried().end(); }

void Retry::keep(const io::Slice& data, io::BufferPool& output_pool) {
  if (data.empty() || !replayable_) return;
  const bool scarce = output_pool.pressure_percent() >= kPressureHigh;
  if (!keeps_ || scarce || kept_.size() + data.size() > policy_->replay_bytes_max) {
    replayable_ = false;   // Bytes go out that could not be sent again.
    kept_.clear();
    return;
  }
  kept_.append_copy(output_pool, data.view());
}

void Retry::stop_keeping() {
  replayable_ = false;
  kept_.clear();
}

bool Retry::allowed(upstream::Outcome outcome, bool sent, uint64_t now_ns) const {
  if (policy_ == nullptr || !replayable_ || !in_time(now_ns)) return false;
  if (tries_ - unsent_ >= std::min(policy_->tries, kTriesMax)) return false;
  switch (outcome) {
    case upstream::Outcome::kConnectFailure:
      return true;
    case upstream::Outcome::kReset:
    case upstream::Outcome::kTimeout:
      return !sent || http::is_idempotent(method_) || policy_->non_idempotent;
    case upstream::Outcome::kSuccess:
    case upstream::Outcome::kServerError:
    case upstream::Outcome::kAbandoned:
      return false;
  }
  return false;
}

bool Retry::may_go_on(uint64_t now_ns) const {
  return policy_ != nullptr && replayable_ && unsent_ < kUnsentMax && in_time(now_ns);
}

bool Retry::in_time(uint64_t now_ns) const { return policy_->timeout_ns == 0 || now_ns - begin_ns_ < policy_->timeout_ns; }

}  // namespace ringway::proxy
