// Test only: the same small world around each ring, so that one suite runs on all three. A world
// has the proxy's listener and a server elsewhere; its ends are plain sockets beside the kernel's
// rings and SimPeers under SimRing.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/io/ring.h"

namespace ringway::io {

// An end of a connection that is not the proxy's.
class Far {
 public:
  virtual ~Far() = default;
  virtual void write(std::string_view bytes) = 0;
  virtual void half_close() = 0;
  virtual void close() = 0;
  virtual void reset() = 0;
  virtual void pause() = 0;  // Reads nothing: the proxy's sends fill up.
  virtual void resume() = 0;
  virtual void pump() = 0;  // Moves what can be moved.
  virtual const std::string& received() const = 0;
  virtual bool ended() const = 0;  // The proxy's direction has ended.
  virtual bool was_reset() const = 0;
  // Of the proxy's end; under SimRing only what a connection of the proxy chose (SimPeer::source).
  virtual SocketAddress proxy_address() const = 0;
};

class RingWorld {
 public:
  virtual ~RingWorld() = default;
  Ring& ring() { return *ring_; }
  virtual Socket listen() = 0;  // The proxy's listener; once.
  virtual Far& dial() = 0;      // A client of it.
  virtual const SocketAddress& server_address() = 0;
  virtual const SocketAddress& refusing_address() = 0;
  virtual Far* served() = 0;  // The next connection that the server got; nullptr so far.
  virtual void pump() = 0;

  // Turns until `done`, at most five seconds of the ring's clock.
  ::testing::AssertionResult run_until(const std::function<bool()>& done);
  void run_for(uint64_t ns);

 protected:
  std::unique_ptr<Ring> ring_;
};

std::unique_ptr<RingWorld> make_world(Backend backend, const RingOptions& options,
                                      int family = AF_INET);

// An op with a log of its completions.
template <typename OpType>
struct Logged {
  Logged() { bind<&Logged::on_complete>(op, *this); }
  void on_complete(Completion&& completion) {
    results.push_back(completion.result);
    more = completion.more;
    EXPECT_EQ(op.in_flight, completion.more);
    if (completion.result > 0 && completion.data.buffer() != nullptr) {
      EXPECT_EQ(completion.data.size(), static_cast<uint32_t>(completion.result));
    }
    text += completion.data.view();
    if (keep) slices.push_back(std::move(completion.data));
    if (then) then();
  }
  bool done() const { return !results.empty() && !more; }
  int32_t last() const { return results.empty() ? INT32_MIN : results.back(); }

  OpType op;
  std::vector<int32_t> results;
  std::string text;
  std::vector<Slice> slices;
  std::function<void()> then;
  bool more = true;
  bool keep = false;
};

}  // namespace ringway::io
