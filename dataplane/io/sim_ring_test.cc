// SimRing's own promises: replay by seed, faults that bite, mistakes that are caught, and its
// speed.
#include "dataplane/io/sim_ring.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <deque>

#include "base/clock.h"
#include "dataplane/io/ring_world.h"

namespace ringway::io {
namespace {

SocketAddress address(uint16_t port) {
  SocketAddress address;
  address.v4.sin_family = AF_INET;
  address.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.v4.sin_port = htons(port);
  address.length = sizeof address.v4;
  return address;
}

RingOptions small_options() {
  RingOptions options;
  options.sockets_max = 64;
  options.small = {512, 16, 16};
  options.bulk = {4096, 4, 4};
  options.output = {512, 16, 256};
  return options;
}

constexpr SimFaults kStorm{.short_send = 30,
                           .split_receive = 30,
                           .late = 20,
                           .cancel_race = 50,
                           .reset_per_10000 = 20,
                           .connect_refused = 10,
                           .connect_lost = 5,
                           .accept_exhausted = 10,
                           .open_exhausted = 5,
                           .buffers_exhausted = 10};

// One half of a relay: bytes from one socket to the other. What a mistake would look like can be
// planted.
enum class Mistake { kNone, kFreesBeforeCompletion, kTakesShortForFull };

class Relay {
 public:
  Relay(SimRing& ring, Socket client, const SocketAddress& server, Mistake mistake)
      : ring_(ring), mistake_(mistake) {
    sides_[0].socket = client;
    for (int i = 0; i < 2; ++i) {
      Side& side = sides_[i];
      side.relay = this;
      side.index = i;
      bind<&Side::on_recv>(side.receive, side);
      bind<&Side::on_send>(side.sending, side);
      bind<&Side::on_shutdown>(side.shut, side);
      bind<&Side::on_close>(side.closing, side);
    }
    bind<&Relay::on_connect>(connect_, *this);
    const auto socket = ring.open_stream(AF_INET, {});
    if (!socket) {
      drain();
      return;
    }
    sides_[1].socket = *socket;
    ring.connect(connect_, *socket, server);
  }
  bool over() const { return sides_[0].closed && sides_[1].closed; }

 private:
  struct Side {
    void on_recv(Completion&& completion) { relay->on_recv(*this, std::move(completion)); }
    void on_send(Completion&& completion) { relay->on_send(*this, std::move(completion)); }
    void on_shutdown(Completion&&) { relay->go_on(); }
    void on_close(Completion&&) { closed = true; }
    Relay* relay;
    int index;
    Socket socket;
    Op receive, shut, closing;
    SendOp sending;    // Of what the other side received.
    SliceQueue queue;  // To be sent here.
    std::array<iovec, 4> vectors;
    bool ended = false, finished = false, closed = false;
  };
  Side& other(Side& side) { return sides_[1 - side.index]; }

  void on_connect(Completion&& completion) {
    if (completion.result != 0) return drain();
    for (Side& side : sides_) ring_.recv(side.receive, side.socket, RecvMode::kMultishot);
  }
  void on_recv(Side& side, Completion&& completion) {
    if (completion.result > 0) {
      other(side).queue.push(std::move(completion.data));
    } else if (completion.result == 0) {
      side.ended = true;
    } else {
      return drain();
    }
    go_on();
  }
  void on_send(Side& side, Completion&& completion) {
    if (completion.result < 0) return drain();
    if (mistake_ == Mistake::kTakesShortForFull) {
      side.queue.clear();
    } else if (mistake_ != Mistake::kFreesBeforeCompletion) {
      side.queue.consume(static_cast<size_t>(completion.result));
    }
    go_on();
  }
  void drain() {
    draining_ = true;
    go_on();
  }
  void go_on() {
    if (draining_) {
      for (Side& side : sides_) {
        ring_.cancel(side.receive);
        ring_.cancel(side.sending);
      }
      close_idle();
      return;
    }
    for (Side& side : sides_) {
      if (side.sending.in_flight || side.shut.in_flight) continue;
      if (!side.queue.empty()) {
        size_t count = 0;
        side.queue.for_each([&](const Slice& slice) {
          side.vectors[count++] = {const_cast<std::byte*>(slice.data()), slice.size()};
          return count < side.vectors.size();
        });
        ring_.send(side.sending, side.socket, {side.vectors.data(), count});
        if (mistake_ == Mistake::kFreesBeforeCompletion) side.queue.clear();
      } else if (other(side).ended && !side.finished) {
        side.finished = true;
        ring_.shutdown(side.shut, side.socket, ShutdownHow::kWrite);
      }
    }
    if (sides_[0].finished && sides_[1].finished) close_idle();
  }
  void close_idle() {
    for (Side& side : sides_) {
      if (side.receive.in_flight || side.sending.in_flight || side.shut.in_flight ||
          connect_.in_flight)
        return;
    }
    for (Side& side : sides_) {
      if (side.closing.in_flight || side.closed) continue;
      side.queue.clear();
      if (side.socket.valid()) {
        ring_.close(side.closing, side.socket);
      } else {
        side.closed = true;
      }
    }
  }

  SimRing& ring_;
  Mistake mistake_;
  std::array<Side, 2> sides_;
  ConnectOp connect_;
  bool draining_ = false;
};

struct Outcome {
  uint64_t hash = 0;
  uint64_t completions = 0;
  int whole = 0;            // Exchanges that came through.
  bool bytes_right = true;  // All that arrived is a prefix of what was sent.
  bool calm = true;         // No one hung.
};

// Ten clients through a relay to an echoing server.
Outcome run_relays(uint64_t seed, const SimFaults& faults, Mistake mistake = Mistake::kNone,
                   int rounds = 10) {
  Outcome run;
  SimRing ring(small_options(), {.seed = seed, .faults = faults});
  const Socket listener = ring.listen(address(80));
  ring.serve(address(81), [](SimPeer& peer) {
    peer.on_data = [](SimPeer& me, std::string_view bytes) { me.write(bytes); };
    peer.on_end = [](SimPeer& me) { me.half_close(); };
  });
  std::deque<Relay> relays;
  struct Acceptor {
    void on_accept(Completion&& completion) {
      if (completion.result >= 0) {
        relays.emplace_back(ring, Socket{completion.result}, address(81), mistake);
      } else if (completion.result == -EMFILE || completion.result == -ENFILE) {
        ring.after(kNsPerMs, [this] {
          if (!stopping) ring.accept(op, listener);
        });
      }
    }
    SimRing& ring;
    Socket listener;
    std::deque<Relay>& relays;
    Mistake mistake;
    AcceptOp op{};
    bool stopping = false;
  } acceptor{ring, listener, relays, mistake};
  bind<&Acceptor::on_accept>(acceptor.op, acceptor);
  ring.accept(acceptor.op, listener);

  std::vector<SimPeer*> clients;
  std::vector<std::string> texts;
  for (int i = 0; i < rounds; ++i) {
    std::string text(1 + ring.random().below(5000), '\0');
    for (char& c : text) c = static_cast<char>('a' + ring.random().below(26));
    SimPeer& client = ring.dial(address(80), address(static_cast<uint16_t>(1000 + i)));
    client.set_window(200);
    client.write(text);
    client.half_close();
    clients.push_back(&client);
    texts.push_back(std::move(text));
  }
  while (ring.now_ns() < 400 * kNsPerSecond && !ring.stuck()) ring.turn(kNever);
  acceptor.stopping = true;
  ring.cancel(acceptor.op);
  while (ring.in_flight() > 0 && ring.turn(kNever) > 0) {
  }
  for (size_t i = 0; i < clients.size(); ++i) {
    run.bytes_right &= texts[i].starts_with(clients[i]->received());
    run.whole += clients[i]->received() == texts[i] && clients[i]->ended();
    run.calm &= clients[i]->ended() || clients[i]->was_reset();
  }
  run.calm &= ring.in_flight() == 0 && ring.sockets_open() == 1 &&
              std::ranges::all_of(relays, [](const Relay& relay) { return relay.over(); });
  run.hash = ring.trace_hash();
  run.completions = ring.stats().completions;
  return run;
}

TEST(SimRing, ACalmNetworkDeliversEverything) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const Outcome run = run_relays(seed, SimFaults{});
    EXPECT_EQ(run.whole, 10) << "seed " << seed;
    EXPECT_TRUE(run.calm) << "seed " << seed;
  }
}

TEST(SimRing, AStormDeliversPrefixesAndHangsNobody) {
  int whole = 0;
  for (uint64_t seed = 0; seed < 200; ++seed) {
    const Outcome run = run_relays(seed, kStorm);
    ASSERT_TRUE(run.bytes_right) << "seed " << seed;
    ASSERT_TRUE(run.calm) << "seed " << seed;
    whole += run.whole;
  }
  EXPECT_GT(whole, 200) << "some come through even so";
  EXPECT_LT(whole, 1950) << "the faults must bite";
}

TEST(SimRing, TheSameSeedIsTheSameRun) {
  for (uint64_t seed : {1, 2, 3}) {
    const Outcome first = run_relays(seed, kStorm);
    const Outcome second = run_relays(seed, kStorm);
    EXPECT_EQ(first.hash, second.hash);
    EXPECT_EQ(first.completions, second.completions);
    EXPECT_NE(first.hash, run_relays(seed + 100, kStorm).hash);
  }
}

TEST(SimRing, FreeingBeforeTheCompletionIsCaught) {
  EXPECT_DEATH(run_relays(1, SimFaults{}, Mistake::kFreesBeforeCompletion),
               "CHECK failed|use-after-poison");
}

TEST(SimRing, TakingAShortSendForAFullOneIsCaught) {
  int caught = 0;
  for (uint64_t seed = 0; seed < 10; ++seed) {
    const Outcome run = run_relays(seed, SimFaults{.short_send = 30}, Mistake::kTakesShortForFull);
    caught += !run.bytes_right || run.whole < 10;
  }
  EXPECT_EQ(caught, 10);
}

TEST(SimRing, AnOpFreedInFlightIsCaught) {
  EXPECT_DEATH(
      {
        SimRing ring(small_options(), {});
        const Socket socket = ring.open_stream(AF_INET, {}).value();
        auto connect = std::make_unique<Logged<ConnectOp>>();
        ring.connect(connect->op, socket, address(5));
        connect.reset();
      },
      "CHECK failed");
}

TEST(SimRing, SaysWhenNothingCanHappen) {
  SimRing ring(small_options(), {});
  const Socket listener = ring.listen(address(80));
  Logged<AcceptOp> accept;
  ring.accept(accept.op, listener);
  EXPECT_FALSE(ring.quiescent());
  EXPECT_EQ(ring.turn(kNever), 0u);
  EXPECT_TRUE(ring.quiescent());
  EXPECT_TRUE(ring.stuck());
  const uint64_t deadline = ring.now_ns() + kNsPerSecond;
  ring.turn(deadline);
  EXPECT_EQ(ring.now_ns(), deadline) << "a deadline is something that happens";
  EXPECT_FALSE(ring.stuck());
  EXPECT_DEATH(while (true) ring.turn(kNever), "CHECK failed");
  ring.cancel(accept.op);
  EXPECT_EQ(ring.turn(kNever), 1u);
}

TEST(SimRing, ALostConnectTimesOut) {
  SimRing ring(small_options(), {});
  ring.lose_connects(address(81));
  const Socket socket = ring.open_stream(AF_INET, {}).value();
  Logged<ConnectOp> connect;
  Logged<Op> closing;
  ring.connect(connect.op, socket, address(81));
  while (!connect.done()) ring.turn(kNever);
  EXPECT_EQ(connect.last(), -ETIMEDOUT);
  EXPECT_GE(ring.now_ns(), 127 * kNsPerSecond);
  ring.close(closing.op, socket);
  while (!closing.done()) ring.turn(kNever);
}

TEST(SimRing, ACancelCanBeOvertaken) {
  int overtaken = 0, cancelled = 0;
  for (uint64_t seed = 0; seed < 40; ++seed) {
    SimRing ring(small_options(), {.seed = seed});
    ring.serve(address(81), [](SimPeer& peer) { peer.write("0123456789"); });
    const Socket socket = ring.open_stream(AF_INET, {}).value();
    Logged<ConnectOp> connect;
    Logged<Op> receive, closing;
    ring.connect(connect.op, socket, address(81));
    while (!connect.done()) ring.turn(kNever);
    ring.turn(ring.now_ns() + 10 * kNsPerMs);
    ring.recv(receive.op, socket, RecvMode::kOnce);
    ring.cancel(receive.op);
    while (!receive.done()) ring.turn(kNever);
    (receive.last() == 10 ? overtaken : cancelled) += 1;
    ring.close(closing.op, socket);
    while (!closing.done()) ring.turn(kNever);
  }
  EXPECT_GT(overtaken, 5);
  EXPECT_GT(cancelled, 5);
}

TEST(SimRing, IsQuick) {
  const uint64_t start = monotonic_ns();
  uint64_t completions = 0;
  for (uint64_t seed = 0; completions < 100'000; ++seed) {
    completions +=
        run_relays(seed, SimFaults{.short_send = 50, .split_receive = 50}, Mistake::kNone, 40)
            .completions;
  }
  const double seconds = static_cast<double>(monotonic_ns() - start) / 1e9;
  RecordProperty("completions_per_second",
                 std::to_string(static_cast<double>(completions) / seconds));
  EXPECT_GT(static_cast<double>(completions) / seconds, 10'000) << "ten times slower than needed";
}

}  // namespace
}  // namespace ringway::io
