// What every ring promises, on all three.
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <deque>
#include <thread>

#include "base/clock.h"
#include "base/random.h"
#include "dataplane/io/ring_world.h"
#include "dataplane/io/sim_ring.h"

namespace ringway::io {
namespace {

RingOptions small_options() {
  RingOptions options;
  options.entries = 64;
  options.sockets_max = 4096;
  options.small = {1024, 64, 64};
  options.bulk = {16384, 8, 8};
  options.output = {1024, 16, 1024};
  return options;
}

std::string pattern(size_t bytes) {
  std::string text(bytes, '\0');
  for (size_t i = 0; i < bytes; ++i) text[i] = static_cast<char>('a' + (i * 7 + i / 251) % 26);
  return text;
}

class RingSuite : public ::testing::TestWithParam<Backend> {
 protected:
  void make(const RingOptions& options = small_options(), int family = AF_INET) {
    world_ = make_world(GetParam(), options, family);
  }
  void TearDown() override {
    if (world_ == nullptr) return;
    EXPECT_EQ(ring().in_flight(), 0u);
    EXPECT_EQ(ring().small_pool().in_use(), 0u);
    EXPECT_EQ(ring().bulk_pool().in_use(), 0u);
  }
  Ring& ring() { return world_->ring(); }

  // A connection from the far end through the proxy's listener.
  std::pair<Far*, Socket> accepted() {
    if (!listener_.valid()) listener_ = world_->listen();
    Far& far = world_->dial();
    Logged<AcceptOp> accept;
    ring().accept(accept.op, listener_);
    EXPECT_TRUE(world_->run_until([&] { return !accept.results.empty(); }));
    ring().cancel(accept.op);
    EXPECT_TRUE(world_->run_until([&] { return accept.done(); }));
    EXPECT_GE(accept.results.front(), 0);
    return {&far, Socket{accept.results.front()}};
  }
  // A connection that the proxy opened.
  std::pair<Far*, Socket> connected() {
    const Socket socket = ring().open_stream(world_->server_address().family(), {}).value();
    Logged<ConnectOp> connect;
    ring().connect(connect.op, socket, world_->server_address());
    Far* far = nullptr;
    EXPECT_TRUE(world_->run_until([&] { return connect.done(); }));
    EXPECT_EQ(connect.last(), 0);
    EXPECT_TRUE(world_->run_until([&] { return far != nullptr || (far = world_->served()) != nullptr; }));
    return {far, socket};
  }
  void close(Socket socket) {
    Logged<Op> op;
    ring().close(op.op, socket);
    EXPECT_TRUE(world_->run_until([&] { return op.done(); }));
    EXPECT_EQ(op.last(), 0);
  }
  void close_listener() {
    if (listener_.valid()) close(std::exchange(listener_, Socket{}));
  }
  int32_t send(Socket socket, std::string_view text) {
    Logged<SendOp> op;
    iovec vector{const_cast<char*>(text.data()), text.size()};
    ring().send(op.op, socket, {&vector, 1});
    EXPECT_TRUE(world_->run_until([&] { return op.done(); }));
    return op.last();
  }

  std::unique_ptr<RingWorld> world_;
  Socket listener_;
};

INSTANTIATE_TEST_SUITE_P(All, RingSuite, ::testing::Values(Backend::kUring, Backend::kEpoll, Backend::kSim),
                         [](const auto& info) { return std::string(backend_name(info.param)); });

TEST_P(RingSuite, NamesItself) {
  make();
  EXPECT_EQ(ring().backend(), GetParam());
}

TEST_P(RingSuite, NothingCompletesInLine) {
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

TEST_P(RingSuite, AcceptTellsThePeerOfEachConnection) {
  make();
  listener_ = world_->listen();
  Logged<AcceptOp> accept;
  std::vector<int> families;
  accept.then = [&] {
    if (accept.last() < 0) return;
    families.push_back(accept.op.peer.family());
    EXPECT_NE(accept.op.peer.v4.sin_port, 0);
  };
  ring().accept(accept.op, listener_);
  for (int i = 0; i < 10; ++i) world_->dial();
  ASSERT_TRUE(world_->run_until([&] { return accept.results.size() == 10; }));
  EXPECT_EQ(families, std::vector<int>(10, AF_INET));
  EXPECT_TRUE(accept.more);
  const std::vector<int32_t> sockets = accept.results;
  ring().cancel(accept.op);
  ring().cancel(accept.op);
  ASSERT_TRUE(world_->run_until([&] { return accept.done(); }));
  EXPECT_EQ(accept.last(), -ECANCELED);
  for (int32_t socket : sockets) close(Socket{socket});
  close_listener();
}

TEST_P(RingSuite, AcceptMayBeCancelledByItsOwnCompletion) {
  make();
  listener_ = world_->listen();
  Logged<AcceptOp> accept;
  accept.then = [&] { ring().cancel(accept.op); };
  ring().accept(accept.op, listener_);
  world_->dial();
  ASSERT_TRUE(world_->run_until([&] { return accept.done(); }));
  EXPECT_EQ(accept.last(), -ECANCELED);
  accept.results.pop_back();
  for (int32_t socket : accept.results) close(Socket{socket});
  close_listener();
}

TEST_P(RingSuite, ConnectIsRefused) {
  make();
  const Socket socket = ring().open_stream(AF_INET, {}).value();
  Logged<ConnectOp> connect;
  ring().connect(connect.op, socket, world_->refusing_address());
  ASSERT_TRUE(world_->run_until([&] { return connect.done(); }));
  EXPECT_EQ(connect.last(), -ECONNREFUSED);
  close(socket);
}

TEST_P(RingSuite, BothFamilies) {
  for (int family : {AF_INET6, AF_UNIX}) {
    SCOPED_TRACE(family);
    listener_ = Socket{};
    make(small_options(), family);
    auto [far, socket] = connected();
    EXPECT_EQ(send(socket, "over here"), 9);
    EXPECT_TRUE(world_->run_until([&, far = far] { return far->received() == "over here"; }));
    close(socket);
    auto [client, server] = accepted();
    EXPECT_EQ(send(server, "and back"), 8);
    EXPECT_TRUE(world_->run_until([&, client = client] { return client->received() == "and back"; }));
    close(server);
    close_listener();
  }
}

TEST_P(RingSuite, MultishotReceivesUntilTheEnd) {
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
  EXPECT_TRUE(world_->run_until([&, far = far] { return far->received() == "still open this way"; }));
  close(socket);
  EXPECT_TRUE(world_->run_until([&, far = far] { return far->ended(); }));
  close_listener();
}

TEST_P(RingSuite, BytesAndEndBeforeTheReceive) {
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

TEST_P(RingSuite, OnceAndBulkTakeOneBuffer) {
  make();
  auto [far, socket] = accepted();
  const std::string sent = pattern(60'000);
  far->write(sent);
  world_->run_for(20 * kNsPerMs);
  std::string got;
  for (RecvMode mode : {RecvMode::kOnce, RecvMode::kBulk, RecvMode::kOnce, RecvMode::kBulk, RecvMode::kBulk}) {
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

TEST_P(RingSuite, AResetReachesTheReceive) {
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

TEST_P(RingSuite, SendingToAClosedSocketRaisesNoSignal) {
  make();
  auto [far, socket] = connected();
  far->close();
  int32_t result = 0;
  for (int i = 0; i < 50 && result >= 0; ++i) {
    result = send(socket, "anyone?");
    world_->run_for(kNsPerMs);
  }
  EXPECT_TRUE(result == -EPIPE || result == -ECONNRESET) << result;
  close(socket);
}

TEST_P(RingSuite, LargeVectorsArriveInOrderThroughShortSends) {
  make();
  auto [far, socket] = connected();
  const std::string text = pattern(5'000'000);
  far->pause();
  size_t sent = 0;
  Logged<SendOp> op;
  std::vector<iovec> vectors;
  const auto send_rest = [&, socket = socket] {
    vectors.clear();
    for (size_t at = sent; at < text.size() && vectors.size() < 100; at += 8191) {
      vectors.push_back({const_cast<char*>(text.data()) + at, std::min<size_t>(8191, text.size() - at)});
    }
    ring().send(op.op, socket, vectors);
  };
  op.then = [&] {
    ASSERT_GT(op.last(), 0);
    sent += static_cast<size_t>(op.last());
    if (sent < text.size()) send_rest();
  };
  send_rest();
  world_->run_for(50 * kNsPerMs);
  EXPECT_LT(sent, text.size()) << "nobody reads: the sender must have stopped";
  EXPECT_TRUE(op.op.in_flight);
  far->resume();
  ASSERT_TRUE(world_->run_until([&, far = far] { return far->received().size() == text.size(); }));
  EXPECT_TRUE(far->received() == text);
  EXPECT_EQ(sent, text.size());
  close(socket);
}

TEST_P(RingSuite, ASendThatWaitsCanBeCancelled) {
  make();
  auto [far, socket] = connected();
  far->pause();
  const std::string text = pattern(8'000'000);
  Logged<SendOp> op;
  iovec vector{const_cast<char*>(text.data()), text.size()};
  std::function<void()> again = [&] {};
  size_t sent = 0;
  op.then = [&, socket = socket] {
    if (op.last() <= 0) return;
    sent += static_cast<size_t>(op.last());
    if (op.op.cancelling) return;
    vector = {const_cast<char*>(text.data()) + sent, text.size() - sent};
    ring().send(op.op, socket, {&vector, 1});
  };
  ring().send(op.op, socket, {&vector, 1});
  world_->run_for(20 * kNsPerMs);
  ASSERT_TRUE(op.op.in_flight);
  ring().cancel(op.op);
  ASSERT_TRUE(world_->run_until([&] { return !op.op.in_flight; }));
  EXPECT_TRUE(op.last() == -ECANCELED || op.last() > 0) << op.last();
  close(socket);
}

TEST_P(RingSuite, ReceivesAreCancelledInEveryState) {
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
        ASSERT_TRUE(world_->run_until([&] { return first.text.size() + second.text.size() == 10; }));
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

TEST_P(RingSuite, AConnectCanBeCancelled) {
  make();
  const Socket socket = ring().open_stream(AF_INET, {}).value();
  Logged<ConnectOp> connect;
  SocketAddress target = world_->refusing_address();
  if (GetParam() == Backend::kSim) {
    static_cast<SimRing&>(ring()).lose_connects(target);
  } else {
    target.v4.sin_addr.s_addr = htonl(0x0A'FF'FF'01);  // 10.255.255.1: unanswered or unreachable.
  }
  ring().connect(connect.op, socket, target);
  world_->run_for(5 * kNsPerMs);
  ring().cancel(connect.op);
  ASSERT_TRUE(world_->run_until([&] { return connect.done(); }));
  EXPECT_LT(connect.last(), 0);
  close(socket);
}

TEST_P(RingSuite, ReceivesParkWhenThePoolIsDryAndRecover) {
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

TEST_P(RingSuite, AParkedReceiveIsCancelledFromTheLoop) {
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

TEST_P(RingSuite, WritesToAFile) {
  make();
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  const Socket file = ring().adopt(ends[1]).value();
  const std::string text = pattern(300'000);
  size_t written = 0;
  std::string got;
  Logged<WriteOp> op;
  const auto write_rest = [&] {
    ring().write(op.op, file, text.data() + written, static_cast<uint32_t>(text.size() - written));
  };
  op.then = [&] {
    ASSERT_GT(op.last(), 0);
    written += static_cast<size_t>(op.last());
    if (written < text.size()) write_rest();
  };
  write_rest();
  fcntl(ends[0], F_SETFL, O_NONBLOCK);
  ASSERT_TRUE(world_->run_until([&] {
    char bytes[4096];
    ssize_t size;
    while ((size = ::read(ends[0], bytes, sizeof bytes)) > 0) got.append(bytes, static_cast<size_t>(size));
    return written == text.size() && (GetParam() == Backend::kSim || got.size() == text.size());
  }));
  if (GetParam() == Backend::kSim) got = static_cast<SimRing&>(ring()).written(file);
  EXPECT_TRUE(got == text);
  close(file);
  ::close(ends[0]);
}

TEST_P(RingSuite, WritesToARegularFileGoToItsPosition) {
  make();
  char path[] = "/tmp/ringway-io-XXXXXX";
  const int fd = mkstemp(path);
  ASSERT_GE(fd, 0);
  const int reader = ::open(path, O_RDONLY | O_CLOEXEC);
  unlink(path);
  const Socket file = ring().adopt(fd).value();
  for (std::string_view line : {"one\n", "two\n"}) {
    Logged<WriteOp> op;
    ring().write(op.op, file, line.data(), static_cast<uint32_t>(line.size()));
    ASSERT_TRUE(world_->run_until([&] { return op.done(); }));
    EXPECT_EQ(op.last(), 4);
  }
  if (GetParam() != Backend::kSim) {
    char bytes[16];
    EXPECT_EQ(::read(reader, bytes, sizeof bytes), 8);
    EXPECT_EQ(std::string_view(bytes, 8), "one\ntwo\n");
  }
  close(file);
  ::close(reader);
}

TEST_P(RingSuite, ClosingASocketInUseIsCaught) {
  make();
  auto [far, socket] = accepted();
  Logged<Op> receive, closing;
  ring().recv(receive.op, socket, RecvMode::kOnce);
  EXPECT_DEATH(ring().close(closing.op, socket), "CHECK failed");
  ring().cancel(receive.op);
  ASSERT_TRUE(world_->run_until([&] { return receive.done(); }));
  close(socket);
  close_listener();
}

TEST_P(RingSuite, ShutdownEndsAWaitingReceive) {
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

TEST_P(RingSuite, TurnEndsAtItsDeadline) {
  make();
  for (uint64_t wait : {3 * kNsPerMs, 12'345'678ul}) {
    const uint64_t deadline = ring().now_ns() + wait;
    while (ring().now_ns() < deadline) ring().turn(deadline);
    EXPECT_LT(ring().now_ns(), deadline + 100 * kNsPerMs);  // A loaded machine.
  }
  const uint64_t before = ring().now_ns();
  ring().turn(0);
  ring().turn(before);
  EXPECT_LT(ring().now_ns(), before + 100 * kNsPerMs);
}

TEST_P(RingSuite, AWakeEndsTheWait) {
  make();
  ring().wake();
  ring().wake();
  ring().turn(kNever);  // Woken before the wait.
  if (GetParam() == Backend::kSim) return;
  ring().turn(ring().now_ns() + kNsPerMs);
  for (int i = 0; i < 3; ++i) {
    std::thread other([this] {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
      ring().wake();
    });
    ring().turn(kNever);
    other.join();
  }
}

TEST_P(RingSuite, WakesFromManyThreads) {
  if (GetParam() == Backend::kSim) GTEST_SKIP();
  make();
  std::atomic<int> sent{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < 200; ++n) {
        ++sent;
        ring().wake();
        if (n % 50 == 0) std::this_thread::yield();
      }
    });
  }
  while (sent < 600) ring().turn(ring().now_ns() + 50 * kNsPerMs);
  for (std::thread& thread : threads) thread.join();
  ring().turn(kNever);  // At least the last one still counts.
}

TEST_P(RingSuite, MoreSubmissionsThanEntries) {
  RingOptions options = small_options();
  options.entries = 8;
  make(options);
  std::deque<Logged<Op>> receives;
  std::vector<Socket> sockets;
  for (int i = 0; i < 100; ++i) {
    sockets.push_back(connected().second);
  }
  for (Socket socket : sockets) {
    receives.emplace_back();
    ring().recv(receives.back().op, socket, RecvMode::kMultishot);
  }
  EXPECT_EQ(ring().in_flight(), 100u);
  for (auto& receive : receives) ring().cancel(receive.op);
  ASSERT_TRUE(world_->run_until([&] { return ring().in_flight() == 0; }));
  for (auto& receive : receives) EXPECT_EQ(receive.last(), -ECANCELED);
  for (Socket socket : sockets) close(socket);
}

// Echo over many sockets with slots closed and reused: every byte comes back to the one who sent it.
TEST_P(RingSuite, ManySocketsEcho) {
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
      ASSERT_TRUE(world_->run_until([&, far = far, &text = text] { return far->received().size() == text.size(); }));
      EXPECT_EQ(far->received(), text);
      far->half_close();
    }
    for (auto& [far, text] : clients) {
      ASSERT_TRUE(world_->run_until([&, far = far] { return far->ended(); }));
    }
  }
  ASSERT_TRUE(world_->run_until([&] {
    return std::ranges::all_of(echoes, [](const Echo& echo) { return echo.closed; });
  }));
  EXPECT_EQ(echoes.size(), 180u);
  ring().cancel(accept.op);
  ASSERT_TRUE(world_->run_until([&] { return accept.done(); }));
  close_listener();
}

}  // namespace
}  // namespace ringway::io
