// What every ring promises, on all three: receives.
#include <algorithm>
#include <array>
#include <deque>
#include <vector>

#include "dataplane/io/ring_suite.h"

namespace ringway::io {
namespace {

class RingReceive : public RingSuite {};
INSTANTIATE_TEST_SUITE_P(All, RingReceive,
                         ::testing::Values(Backend::kUring, Backend::kEpoll, Backend::kSim),
                         [](const auto& info) { return std::string(backend_name(info.param)); });

TEST_P(RingReceive, NothingCompletesInLine) {
  make();
  auto [far, socket] = accepted();
  Logged<Op> receive, shut, closed;
  Logged<SendOp> send;
  iovec vector{const_cast<char*>("x"), 1};
  ring().recv(receive.op, socket, RecvMode::kOnce);
  ring().send(send.op, socket, {&vector, 1});
  ring().cancel(receive.op);
  EXPECT_TRUE(receive.results.empty());
  EXPECT_TRUE(send.results.empty());
  EXPECT_EQ(ring().in_flight(), 2u);
  EXPECT_TRUE(world_->run_until([&] { return receive.done() && send.done(); }));
  ring().shutdown(shut.op, socket, ShutdownHow::kBoth);
  EXPECT_TRUE(shut.results.empty());
  EXPECT_TRUE(world_->run_until([&] { return shut.done(); }));
  ring().close(closed.op, socket);
  EXPECT_TRUE(closed.results.empty());
  EXPECT_TRUE(world_->run_until([&] { return closed.done(); }));
  close_listener();
}

TEST_P(RingReceive, MultishotReceivesUntilTheEnd) {
  make();
  auto [far, socket] = accepted();
  Logged<Op> receive;
  ring().recv(receive.op, socket, RecvMode::kMultishot);
  std::string sent;
  for (int i = 0; i < 5; ++i) {
    const std::string part = pattern(100 + 1000 * i);
    sent += part;
    far->write(part);
    ASSERT_TRUE(world_->run_until([&] { return receive.text.size() == sent.size(); }));
    EXPECT_TRUE(receive.op.in_flight);
  }
  EXPECT_EQ(receive.text, sent);
  far->half_close();
  ASSERT_TRUE(world_->run_until([&] { return receive.done(); }));
  EXPECT_EQ(receive.last(), 0);
  EXPECT_EQ(ring().small_pool().in_use(), 0u);
  EXPECT_EQ(send(socket, "still open this way"), 19);
  EXPECT_TRUE(
      world_->run_until([&, far = far] { return far->received() == "still open this way"; }));
  close(socket);
  EXPECT_TRUE(world_->run_until([&, far = far] { return far->ended(); }));
  close_listener();
}

TEST_P(RingReceive, BytesAndEndBeforeTheReceive) {
  make();
  auto [far, socket] = accepted();
  far->write("bye");
  far->half_close();
  world_->run_for(20 * kNsPerMs);
  Logged<Op> receive;
  ring().recv(receive.op, socket, RecvMode::kMultishot);
  ASSERT_TRUE(world_->run_until([&] { return receive.done(); }));
  EXPECT_EQ(receive.text, "bye");
  EXPECT_EQ(receive.last(), 0);
  close(socket);
  close_listener();
}

TEST_P(RingReceive, OnceAndBulkTakeOneBuffer) {
  make();
  auto [far, socket] = accepted();
  const std::string sent = pattern(60'000);
  far->write(sent);
  world_->run_for(20 * kNsPerMs);
  std::string got;
  for (RecvMode mode :
       {RecvMode::kOnce, RecvMode::kBulk, RecvMode::kOnce, RecvMode::kBulk, RecvMode::kBulk}) {
    Logged<Op> receive;
    ring().recv(receive.op, socket, mode);
    ASSERT_TRUE(world_->run_until([&] { return receive.done(); }));
    ASSERT_GT(receive.last(), 0);
    EXPECT_LE(receive.last(), mode == RecvMode::kBulk ? 16384 : 1024);
    EXPECT_EQ(receive.results.size(), 1u);
    got += receive.text;
  }
  EXPECT_EQ(got, sent.substr(0, got.size()));
  EXPECT_GT(got.size(), 16384u);
  close(socket);  // With bytes unread: a reset.
  EXPECT_TRUE(world_->run_until([&, far = far] { return far->was_reset(); }));
  close_listener();
}

TEST_P(RingReceive, AResetReachesTheReceive) {
  make();
  auto [far, socket] = accepted();
  Logged<Op> receive;
  ring().recv(receive.op, socket, RecvMode::kMultishot);
  world_->run_for(5 * kNsPerMs);
  far->reset();
  ASSERT_TRUE(world_->run_until([&] { return receive.done(); }));
  EXPECT_EQ(receive.last(), -ECONNRESET);
  const int32_t result = send(socket, "into the void");
  EXPECT_TRUE(result == -EPIPE || result == -ECONNRESET) << result;
  close(socket);
  close_listener();
}

TEST_P(RingReceive, ReceivesAreCancelledInEveryState) {
  for (RecvMode mode : {RecvMode::kMultishot, RecvMode::kOnce, RecvMode::kBulk}) {
    SCOPED_TRACE(static_cast<int>(mode));
    listener_ = Socket{};
    make();
    auto [far, socket] = accepted();
    {  // Before the kernel has seen it.
      Logged<Op> receive;
      ring().recv(receive.op, socket, mode);
      ring().cancel(receive.op);
      ASSERT_TRUE(world_->run_until([&] { return receive.done(); }));
      EXPECT_EQ(receive.results, std::vector<int32_t>{-ECANCELED});
    }
    {  // While it waits.
      Logged<Op> receive;
      ring().recv(receive.op, socket, mode);
      world_->run_for(5 * kNsPerMs);
      ring().cancel(receive.op);
      ring().cancel(receive.op);
      ASSERT_TRUE(world_->run_until([&] { return receive.done(); }));
      EXPECT_EQ(receive.results, std::vector<int32_t>{-ECANCELED});
    }
    {  // With bytes there: either may win, none is lost.
      far->write("0123456789");
      world_->run_for(10 * kNsPerMs);
      Logged<Op> first, second;
      ring().recv(first.op, socket, mode);
      ring().cancel(first.op);
      ASSERT_TRUE(world_->run_until([&] { return first.done(); }));
      ring().recv(second.op, socket, mode);
      far->half_close();
      if (mode == RecvMode::kMultishot || first.text.empty()) {
        ASSERT_TRUE(
            world_->run_until([&] { return first.text.size() + second.text.size() == 10; }));
      }
      ASSERT_TRUE(world_->run_until([&] { return second.done(); }));
      EXPECT_EQ(first.text + second.text, "0123456789");
    }
    {  // From its own completion, when it is over.
      Logged<Op> receive;
      receive.then = [&] { ring().cancel(receive.op); };
      ring().recv(receive.op, socket, mode);
      ASSERT_TRUE(world_->run_until([&] { return receive.done(); }));
      EXPECT_EQ(receive.results, std::vector<int32_t>{0});
    }
    close(socket);
    close_listener();
    EXPECT_EQ(ring().in_flight(), 0u);
  }
}

TEST_P(RingReceive, ReceivesParkWhenThePoolIsDryAndRecover) {
  RingOptions options = small_options();
  options.small = {512, 8, 8};
  make(options);
  struct Line {
    Far* far;
    Socket socket;
    Logged<Op> receive;
  };
  std::deque<Line> lines;
  const std::string text = pattern(4000);
  for (int i = 0; i < 6; ++i) {
    auto [far, socket] = accepted();
    lines.emplace_back().far = far;
    lines.back().socket = socket;
    lines.back().receive.keep = true;
  }
  for (Line& line : lines) {
    ring().recv(line.receive.op, line.socket, RecvMode::kMultishot);
    line.far->write(text);
  }
  ASSERT_TRUE(world_->run_until([&] { return ring().stats().buffers_exhausted > 0; }));
  world_->run_for(20 * kNsPerMs);
  EXPECT_EQ(ring().small_pool().in_use(), 8u);
  for (Line& line : lines) EXPECT_TRUE(line.receive.op.in_flight) << "the owner never sees ENOBUFS";

  const auto all_there = [&] {
    size_t bytes = 0;
    for (Line& line : lines) {
      line.receive.slices.clear();  // Gives the buffers back.
      bytes += line.receive.text.size();
    }
    return bytes == text.size() * lines.size();
  };
  ASSERT_TRUE(world_->run_until(all_there));
  for (Line& line : lines) {
    EXPECT_EQ(line.receive.text, text);
    ring().cancel(line.receive.op);
    ASSERT_TRUE(world_->run_until([&] { return line.receive.done(); }));
    close(line.socket);
  }
  close_listener();
}

// Senders with much to say, one after the other, to an owner that stops each at its first bytes:
// the pool grows by what they were asked for, not by what their sockets hold.
TEST_P(RingReceive, APoolGrowsByWhatOwnersWantNotByWhatSendersHave) {
  RingOptions options = small_options();
  options.small = {512, 16, 4096};
  make(options);
  struct Line {
    Far* far;
    Socket socket;
    Logged<Op> receive;
  };
  std::deque<Line> lines;
  const std::string text = pattern(40'000);
  for (int i = 0; i < 40; ++i) {
    auto [far, socket] = accepted();
    Line& line = lines.emplace_back();
    line.far = far;
    line.socket = socket;
    line.receive.keep = true;
    line.receive.then = [&] {
      if (line.receive.more) ring().cancel(line.receive.op);
    };
    ring().recv(line.receive.op, line.socket, RecvMode::kMultishot);
  }
  for (Line& line : lines) {
    line.far->write(text);
    ASSERT_TRUE(world_->run_until([&] { return line.receive.done(); }));
    EXPECT_EQ(line.receive.last(), -ECANCELED);
    EXPECT_FALSE(line.receive.text.empty());
  }
  // The first take what there is at the start; from then on each takes its own, and growing
  // doubles.
  EXPECT_LE(ring().small_pool().total(), 256u);

  for (Line& line : lines) {  // Nothing is lost, and a pool with room is used as before.
    line.receive.slices.clear();
    line.receive.keep = false;
    line.receive.more = true;
    line.receive.then = nullptr;
    ring().recv(line.receive.op, line.socket, RecvMode::kMultishot);
    ASSERT_TRUE(world_->run_until([&] { return line.receive.text.size() == text.size(); }));
    EXPECT_EQ(line.receive.text, text);
    EXPECT_TRUE(line.receive.op.in_flight);
    ring().cancel(line.receive.op);
    ASSERT_TRUE(world_->run_until([&] { return line.receive.done(); }));
    EXPECT_EQ(line.receive.last(), -ECANCELED);
    close(line.socket);
  }
  close_listener();
}

// A pool at its limit calls multishot receives back (UringRing): whatever their owners and peers do
// in the turns around it, each ends once, and none that nobody ended is lost.
TEST_P(RingReceive, ReceivesEndWhileThePoolIsScarce) {
  for (int turns = 0; turns < 4; ++turns) {
    SCOPED_TRACE(turns);
    listener_ = Socket{};
    RingOptions options = small_options();
    options.small = {512, 8, 8};
    make(options);
    struct Line {
      Far* far;
      Socket socket;
      Logged<Op> receive;
    };
    std::deque<Line> lines;
    for (int i = 0; i < 4; ++i) {
      auto [far, socket] = accepted();
      lines.emplace_back().far = far;
      lines.back().socket = socket;
      ring().recv(lines.back().receive.op, socket, RecvMode::kMultishot);
    }
    Line &full = lines[0], &cancelled = lines[1], &ended = lines[2], &stays = lines[3];
    full.receive.keep = true;
    full.far->write(pattern(8000));
    ASSERT_TRUE(world_->run_until([&] { return ring().stats().buffers_exhausted > 0; }));
    for (int i = 0; i < turns; ++i) ring().turn(0);
    ring().cancel(cancelled.receive.op);
    ended.far->half_close();
    ring().cancel(full.receive.op);
    ASSERT_TRUE(world_->run_until([&] { return full.receive.done() && cancelled.receive.done(); }));
    EXPECT_EQ(cancelled.receive.results, std::vector<int32_t>{-ECANCELED});
    EXPECT_EQ(full.receive.last(), -ECANCELED);
    full.receive.slices.clear();
    ASSERT_TRUE(world_->run_until([&] { return ended.receive.done(); }));
    EXPECT_EQ(ended.receive.results, std::vector<int32_t>{0});
    stays.far->write("still here");
    ASSERT_TRUE(world_->run_until([&] { return stays.receive.text == "still here"; }));
    EXPECT_TRUE(stays.receive.op.in_flight);
    ring().cancel(stays.receive.op);
    ASSERT_TRUE(world_->run_until([&] { return stays.receive.done(); }));
    EXPECT_EQ(stays.receive.last(), -ECANCELED);
    for (Line& line : lines) close(line.socket);
    close_listener();
  }
}

TEST_P(RingReceive, AParkedReceiveIsCancelledFromTheLoop) {
  RingOptions options = small_options();
  options.small = {256, 2, 2};
  make(options);
  auto [far, socket] = accepted();
  Logged<Op> receive;
  receive.keep = true;
  ring().recv(receive.op, socket, RecvMode::kMultishot);
  far->write(pattern(1024));
  ASSERT_TRUE(world_->run_until([&] { return ring().stats().buffers_exhausted > 0; }));
  ring().cancel(receive.op);
  EXPECT_TRUE(receive.op.in_flight);
  ASSERT_TRUE(world_->run_until([&] { return receive.done(); }));
  EXPECT_EQ(receive.last(), -ECANCELED);
  EXPECT_EQ(receive.text, pattern(512));
  receive.slices.clear();
  close(socket);
  close_listener();
}

TEST_P(RingReceive, ShutdownEndsAWaitingReceive) {
  make();
  auto [far, socket] = accepted();
  Logged<Op> receive, shut;
  ring().recv(receive.op, socket, RecvMode::kMultishot);
  world_->run_for(2 * kNsPerMs);
  ring().shutdown(shut.op, socket, ShutdownHow::kBoth);
  ASSERT_TRUE(world_->run_until([&] { return shut.done() && receive.done(); }));
  EXPECT_EQ(shut.last(), 0);
  EXPECT_EQ(receive.last(), 0);
  ASSERT_TRUE(world_->run_until([&, far = far] { return far->ended(); }));
  close(socket);
  close_listener();
}

// Echo over many sockets with slots closed and reused: every byte comes back to the one who sent
// it.
TEST_P(RingReceive, ManySocketsEcho) {
  make();
  listener_ = world_->listen();
  struct Echo {
    Echo(Ring& r, Socket s) : ring(r), socket(s) {
      bind<&Echo::on_recv>(receive, *this);
      bind<&Echo::on_send>(sending, *this);
      bind<&Echo::on_close>(closing, *this);
      ring.recv(receive, socket, RecvMode::kMultishot);
    }
    void on_recv(Completion&& completion) {
      if (completion.result > 0) queue.push(std::move(completion.data));
      if (!completion.more) ended = true;
      go_on();
    }
    void on_send(Completion&& completion) {
      ASSERT_GT(completion.result, 0);
      queue.consume(static_cast<size_t>(completion.result));
      go_on();
    }
    void on_close(Completion&&) { closed = true; }
    void go_on() {
      if (sending.in_flight) return;
      if (!queue.empty()) {
        size_t count = 0;
        queue.for_each([&](const Slice& slice) {
          vectors[count++] = {const_cast<std::byte*>(slice.data()), slice.size()};
          return count < vectors.size();
        });
        ring.send(sending, socket, {vectors.data(), count});
      } else if (ended && !receive.in_flight) {
        ring.close(closing, socket);
      }
    }
    Ring& ring;
    Socket socket;
    Op receive, closing;
    SendOp sending;
    SliceQueue queue;
    std::array<iovec, 8> vectors;
    bool ended = false, closed = false;
  };
  std::deque<Echo> echoes;
  Logged<AcceptOp> accept;
  accept.then = [&] {
    if (accept.last() >= 0) echoes.emplace_back(ring(), Socket{accept.last()});
  };
  ring().accept(accept.op, listener_);
  for (int round = 0; round < 3; ++round) {
    std::vector<std::pair<Far*, std::string>> clients;
    for (int i = 0; i < 60; ++i) {
      clients.emplace_back(&world_->dial(), std::to_string(round) + pattern(100 + 97 * i));
      clients.back().first->write(clients.back().second);
    }
    for (auto& [far, text] : clients) {
      ASSERT_TRUE(world_->run_until(
          [&, far = far, &text = text] { return far->received().size() == text.size(); }));
      EXPECT_EQ(far->received(), text);
      far->half_close();
    }
    for (auto& [far, text] : clients) {
      ASSERT_TRUE(world_->run_until([&, far = far] { return far->ended(); }));
    }
  }
  ASSERT_TRUE(world_->run_until(
      [&] { return std::ranges::all_of(echoes, [](const Echo& echo) { return echo.closed; }); }));
  EXPECT_EQ(echoes.size(), 180u);
  ring().cancel(accept.op);
  ASSERT_TRUE(world_->run_until([&] { return accept.done(); }));
  close_listener();
}

}  // namespace
}  // namespace ringway::io
