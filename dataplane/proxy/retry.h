// The one place that decides about another try, and what it needs for it: the endpoints tried and the request body sent so far.
//
// Thread rule: one worker. Rules (RFC 9110 section 9.2.2; ingress-nginx proxy-next-upstream "error timeout"):
//   what happened                         | sent nothing yet | idempotent, body replayable | otherwise
//   connect failure                       | again            | again                       | again (nothing reached the endpoint)
//   reset or close before the response    | again            | again                       | no, unless non_idempotent is on
//   no response head in time              | -                | again                       | no, unless non_idempotent is on
//   anything after the response began     | no               | no                          | no
// and always: tries left, time left, budget left, and the body kept whole.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "dataplane/http/message.h"
#include "dataplane/io/slice.h"
#include "dataplane/route/route.h"
#include "dataplane/upstream/load.h"

namespace ringway::proxy {

class Retry {
 public:
  static constexpr uint32_t kTriedMax = 8;      // RetryPolicy::tries above it are cut.

  void begin(const route::RetryPolicy& policy, http::Method method, uint64_t now_ns);
  void reset();

  void note_try(const upstream::EndpointState& endpoint);
  // The last try failed on a kept-alive connection before its first response byte: not the endpoint's fault; it may be tried again.
  void forget_last_endpoint();
  std::span<const upstream::EndpointState* const> tried() const { return {tried_.data(), tried_count_}; }
  uint32_t tries() const { return tries_; }

  // Keeps a copy of body bytes on their way upstream, when the method allows a replay at all; beyond the bound it gives up and lets all
  // go. A copy, into the output pool: a share would pin receive buffers, which all connections of the worker live on.
  void keep(const io::Slice& data, io::BufferPool& output_pool);
  const io::SliceQueue& kept() const { return kept_; }
  void stop_keeping();                          // The response began.

  // Whether `outcome` allows another try, budget aside. `sent`: request bytes were handed to the connection.
  bool allowed(upstream::Outcome outcome, bool sent, uint64_t now_ns) const;

 private:
  const route::RetryPolicy* policy_ = nullptr;
  http::Method method_ = http::Method::kOther;
  bool keeps_ = false;         // The body is worth keeping: a try that sent it may be repeated.
  bool replayable_ = true;
  uint32_t tries_ = 0;
  uint32_t tried_count_ = 0;
  uint64_t begin_ns_ = 0;
  std::array<const upstream::EndpointState*, kTriedMax> tried_{};
  io::SliceQueue kept_;
};

}  // namespace ringway::proxy
