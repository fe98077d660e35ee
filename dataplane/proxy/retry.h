// The one place that decides about another try, and what it needs for it: the endpoints tried and the request body sent so far.
//
// Thread rule: one worker. Rules (RFC 9110 section 9.2.2; ingress-nginx proxy-next-upstream "error timeout"):
//   what happened                         | sent nothing yet | idempotent, body replayable | otherwise
//   connect failure                       | again            | again                       | again (nothing reached the endpoint)
//   reset or close before the response    | again            | again                       | no, unless non_idempotent is on
//   no response head in time              | -                | again                       | no, unless non_idempotent is on
//   refused by an HTTP/2 endpoint         | -                | again                       | again, if the body is replayable
//   anything after the response began     | no               | no                          | no
// and always: tries left, time left, budget left, and the body kept whole.
//
// A connect failure costs neither a try nor budget while there is an endpoint that was not tried: nothing was sent, so nothing can be done
// twice, and no endpoint is asked more often than once. When most pods of a Service end at the same moment, a request goes on until it finds
// one of the others. Bounded by kUnsentMax and the time; off where retries are (tries = 1). A connect that times out costs a try as usual.
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
  static constexpr uint32_t kTriesMax = 16;     // RetryPolicy::tries above it are cut.
  static constexpr uint32_t kUnsentMax = 16;    // Failed connects that cost no try: about a millisecond of a request that finds nobody.
  static constexpr uint32_t kTriedMax = kTriesMax + kUnsentMax;

  // `may_be_refused`: the upstream speaks HTTP/2 and may say that it did not process the request (RFC 9113 section 8.7), which allows
  // another try whatever the method: the body is kept for it.
  void begin(const route::RetryPolicy& policy, http::Method method, bool may_be_refused, uint64_t now_ns);
  void reset();

  void note_try(const upstream::EndpointState& endpoint);
  // The last try failed on a kept-alive connection before its first response byte: not the endpoint's fault; it may be tried again.
  void forget_last_endpoint();
  std::span<const upstream::EndpointState* const> tried() const { return {tried_.data(), tried_count_}; }
  bool has_tried(const upstream::EndpointState& endpoint) const;
  uint32_t tries() const { return tries_; }     // Those that cost none included.

  // Keeps a copy of body bytes on their way upstream, when the method allows a replay at all; beyond the bound it gives up and lets all
  // go. A copy, into the output pool: a share would pin receive buffers, which all connections of the worker live on.
  void keep(const io::Slice& data, io::BufferPool& output_pool);
  const io::SliceQueue& kept() const { return kept_; }
  void stop_keeping();                          // The response began.

  // Whether `outcome` allows another try, budget aside. `sent`: request bytes were handed to the connection.
  bool allowed(upstream::Outcome outcome, bool sent, uint64_t now_ns) const;
  // Whether the last try, a connect failure, may cost nothing; when it is followed by one of another endpoint note_unsent() says so.
  bool may_go_on(uint64_t now_ns) const;
  void note_unsent() { ++unsent_; }

 private:
  bool in_time(uint64_t now_ns) const;

  const route::RetryPolicy* policy_ = nullptr;
  http::Method method_ = http::Method::kOther;
  bool keeps_ = false;         // The body is worth keeping: a try that sent it may be repeated.
  bool replayable_ = true;
  uint32_t tries_ = 0;
  uint32_t unsent_ = 0;        // Of them, those that cost none.
  uint32_t tried_count_ = 0;
  uint64_t begin_ns_ = 0;
  std::array<const upstream::EndpointState*, kTriedMax> tried_{};
  io::SliceQueue kept_;
};

}  // namespace ringway::proxy
