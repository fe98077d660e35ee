// The table of retry.h.
#include "dataplane/proxy/retry.h"

#include <gtest/gtest.h>

#include "dataplane/io/buffer_pool.h"

namespace ringway::proxy {
namespace {

using http::Method;
using upstream::Outcome;

TEST(Retry, FollowsItsTable) {
  struct Case {
    Outcome outcome;
    bool sent;
    Method method;
    bool non_idempotent;
    bool allowed;
  };
  const Case cases[] = {
      {Outcome::kConnectFailure, false, Method::kGet, false, true},
      {Outcome::kConnectFailure, false, Method::kPost, false, true},
      {Outcome::kReset, false, Method::kPost, false, true},
      {Outcome::kReset, true, Method::kGet, false, true},
      {Outcome::kReset, true, Method::kPut, false, true},
      {Outcome::kReset, true, Method::kPost, false, false},
      {Outcome::kReset, true, Method::kPatch, false, false},
      {Outcome::kReset, true, Method::kPost, true, true},
      {Outcome::kTimeout, false, Method::kPost, false, true},
      {Outcome::kTimeout, true, Method::kGet, false, true},
      {Outcome::kTimeout, true, Method::kPost, false, false},
      {Outcome::kSuccess, true, Method::kGet, false, false},
      {Outcome::kServerError, true, Method::kGet, true, false},
      {Outcome::kAbandoned, false, Method::kGet, true, false},
  };
  upstream::EndpointState endpoint;
  for (const Case& c : cases) {
    const route::RetryPolicy policy{.non_idempotent = c.non_idempotent};
    Retry retry;
    retry.begin(policy, c.method, false, 0);
    retry.note_try(endpoint);
    EXPECT_EQ(retry.allowed(c.outcome, c.sent, 0), c.allowed)
        << static_cast<int>(c.outcome) << c.sent << static_cast<int>(c.method) << c.non_idempotent;
    retry.reset();
  }
}

TEST(Retry, EndsWithItsTriesAndItsTime) {
  upstream::EndpointState endpoints[20];
  const route::RetryPolicy two{.tries = 2, .timeout_ns = 100};
  Retry retry;
  retry.begin(two, Method::kGet, false, 1000);
  retry.note_try(endpoints[0]);
  EXPECT_TRUE(retry.allowed(Outcome::kReset, true, 1099));
  EXPECT_FALSE(retry.allowed(Outcome::kReset, true, 1100));
  retry.note_try(endpoints[1]);
  EXPECT_FALSE(retry.allowed(Outcome::kReset, true, 1001));
  EXPECT_EQ(retry.tried().size(), 2u);
  retry.reset();
  const route::RetryPolicy many{.tries = 100};
  retry.begin(many, Method::kGet, false, 0);
  for (auto& endpoint : endpoints) {
    if (retry.tries() == 0 || retry.allowed(Outcome::kReset, true, 0)) retry.note_try(endpoint);
  }
  EXPECT_EQ(retry.tries(), Retry::kTriesMax);
  retry.reset();
}

TEST(Retry, AConnectFailureThatIsFollowedByAnotherEndpointCostsNoTry) {
  upstream::EndpointState endpoints[40];
  const route::RetryPolicy two{.tries = 2, .timeout_ns = 100};
  Retry retry;
  retry.begin(two, Method::kPost, false, 1000);
  uint32_t unsent = 0;
  for (; unsent < 40 && retry.may_go_on(1001); ++unsent) {
    retry.note_try(endpoints[unsent]);
    retry.note_unsent();
    EXPECT_TRUE(retry.has_tried(endpoints[unsent]));
    EXPECT_FALSE(retry.has_tried(endpoints[unsent + 1]));
  }
  EXPECT_EQ(unsent, Retry::kUnsentMax);
  // Those that sent something are as many as without.
  retry.note_try(endpoints[unsent]);
  EXPECT_TRUE(retry.allowed(Outcome::kReset, false, 1001));
  EXPECT_FALSE(retry.allowed(Outcome::kReset, true, 1001)) << "POST";
  retry.note_try(endpoints[unsent + 1]);
  EXPECT_FALSE(retry.allowed(Outcome::kReset, false, 1001));
  EXPECT_EQ(retry.tries(), Retry::kUnsentMax + 2);
  retry.reset();
  // The time is a bound of its own, and who wants no retries gets none.
  retry.begin(two, Method::kGet, false, 1000);
  EXPECT_TRUE(retry.may_go_on(1099));
  EXPECT_FALSE(retry.may_go_on(1100));
  retry.reset();
  const route::RetryPolicy one{.tries = 1};
  retry.begin(one, Method::kGet, false, 1000);
  EXPECT_FALSE(retry.may_go_on(1000));
  retry.reset();
}

TEST(Retry, AStaleConnectionsEndpointMayBeTriedAgain) {
  upstream::EndpointState endpoint;
  const route::RetryPolicy policy;
  Retry retry;
  retry.begin(policy, Method::kGet, false, 0);
  retry.note_try(endpoint);
  retry.forget_last_endpoint();
  EXPECT_TRUE(retry.tried().empty());
  EXPECT_EQ(retry.tries(), 1u);   // The try itself counts.
  retry.reset();
}

io::Slice slice_of(io::BufferPool& pool, size_t bytes) {
  io::Slice slice = pool.take();
  slice.extend(static_cast<uint32_t>(bytes));
  return slice;
}

TEST(Retry, KeepsABodyUpToItsBound) {
  io::BufferPool input({.buffer_bytes = 4096, .buffers = 8, .buffers_max = 8});
  io::BufferPool output({.buffer_bytes = 1024, .buffers = 16, .buffers_max = 64});
  upstream::EndpointState endpoint;
  const route::RetryPolicy policy{.replay_bytes_max = 4000};
  Retry retry;
  retry.begin(policy, Method::kPut, false, 0);
  retry.note_try(endpoint);
  retry.keep(slice_of(input, 2000), output);
  retry.keep(slice_of(input, 2000), output);
  EXPECT_EQ(retry.kept().size(), 4000u);
  EXPECT_EQ(input.in_use(), 0u);
  EXPECT_TRUE(retry.allowed(Outcome::kReset, true, 0));
  retry.keep(slice_of(input, 1), output);
  EXPECT_TRUE(retry.kept().empty());
  EXPECT_FALSE(retry.allowed(Outcome::kReset, true, 0));
  EXPECT_FALSE(retry.allowed(Outcome::kConnectFailure, false, 0));
  retry.reset();
}

// Copies for retries are the first thing to go when the output pool, which nobody may exhaust, fills up.
TEST(Retry, KeepsNothingWhenMemoryIsScarce) {
  io::BufferPool input({.buffer_bytes = 4096, .buffers = 8, .buffers_max = 8});
  io::BufferPool output({.buffer_bytes = 1024, .buffers = 4, .buffers_max = 4});
  const route::RetryPolicy policy;
  Retry retry;
  retry.begin(policy, Method::kPut, false, 0);
  retry.keep(slice_of(input, 2000), output);
  EXPECT_EQ(retry.kept().size(), 2000u);
  retry.keep(slice_of(input, 2000), output);
  EXPECT_TRUE(retry.kept().empty());
  EXPECT_EQ(output.in_use(), 0u);
  retry.reset();
}

}  // namespace
}  // namespace ringway::proxy
