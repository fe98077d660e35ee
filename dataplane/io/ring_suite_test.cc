// What every ring promises, on all three: connections, sends, files, the loop itself.
#include "dataplane/io/ring_suite.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <deque>
#include <thread>
#include <vector>

#include "dataplane/io/sim_ring.h"

namespace ringway::io {
namespace {

INSTANTIATE_TEST_SUITE_P(All, RingSuite,
                         ::testing::Values(Backend::kUring, Backend::kEpoll, Backend::kSim),
                         [](const auto& info) { return std::string(backend_name(info.param)); });

TEST_P(RingSuite, NamesItself) {
  make();
  EXPECT_EQ(ring().backend(), GetParam());
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
    EXPECT_TRUE(
        world_->run_until([&, client = client] { return client->received() == "and back"; }));
    close(server);
    close_listener();
  }
}

TEST_P(RingSuite, ConnectsFromTheAddressAsked) {
  if (GetParam() != Backend::kSim && !may_bind_source())
    GTEST_SKIP() << "needs CAP_NET_RAW or CAP_NET_ADMIN";
  make();
  const SocketAddress source = ipv4(0x7F000009);
  auto [far, socket] = connected({.source = &source});
  EXPECT_EQ(far->proxy_address().v4.sin_addr.s_addr, source.v4.sin_addr.s_addr);
  EXPECT_EQ(send(socket, "from there"), 10);
  EXPECT_TRUE(world_->run_until([&, far = far] { return far->received() == "from there"; }));
  far->write("and back");
  Logged<Op> recv;
  ring().recv(recv.op, socket, RecvMode::kOnce);
  EXPECT_TRUE(world_->run_until([&] { return recv.done(); }));
  EXPECT_EQ(recv.text, "and back");
  close(socket);

  make(small_options(), AF_INET6);
  SocketAddress six = world_->server_address();
  six.v6.sin6_port = 0;
  auto [other, socket6] = connected({.source = &six});
  const SocketAddress seen = other->proxy_address();
  EXPECT_TRUE(IN6_IS_ADDR_LOOPBACK(&seen.v6.sin6_addr));
  close(socket6);
}

// An address without a way back: the connect waits as any other, and can be given up.
TEST_P(RingSuite, ASourceOfAnotherHostIsTaken) {
  if (GetParam() == Backend::kSim) GTEST_SKIP() << "no routes on a simulated network";
  if (!may_bind_source()) GTEST_SKIP() << "needs CAP_NET_RAW or CAP_NET_ADMIN";
  make();
  const SocketAddress source = ipv4(0xCB007109);  // 203.0.113.9, RFC 5737.
  const Socket socket = ring().open_stream(AF_INET, {.source = &source}).value();
  Logged<ConnectOp> connect;
  ring().connect(connect.op, socket, world_->server_address());
  world_->run_for(10 * kNsPerMs);
  ring().cancel(connect.op);
  ASSERT_TRUE(world_->run_until([&] { return connect.done(); }));
  EXPECT_EQ(connect.last(), -ECANCELED);
  close(socket);
}

TEST_P(RingSuite, SourcesThatAreRefusedLeaveNoSocket) {
  if (GetParam() == Backend::kSim) GTEST_SKIP() << "a simulated network refuses none";
  if (!may_bind_source()) GTEST_SKIP() << "needs CAP_NET_RAW or CAP_NET_ADMIN";
  make();
  SocketAddress link_local;  // Without the link that it belongs to (EINVAL).
  link_local.v6.sin6_family = AF_INET6;
  link_local.v6.sin6_addr.s6_addr[0] = 0xfe;
  link_local.v6.sin6_addr.s6_addr[1] = 0x80;
  link_local.v6.sin6_addr.s6_addr[15] = 1;
  link_local.length = sizeof link_local.v6;
  for (int i = 0; i < 5000; ++i) {  // More than there are sockets.
    const auto socket = ring().open_stream(AF_INET6, {.source = &link_local});
    ASSERT_FALSE(socket);
    ASSERT_EQ(socket.error(), EINVAL);
  }
  close(ring().open_stream(AF_INET, {}).value());
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
      vectors.push_back(
          {const_cast<char*>(text.data()) + at, std::min<size_t>(8191, text.size() - at)});
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
    while ((size = ::read(ends[0], bytes, sizeof bytes)) > 0)
      got.append(bytes, static_cast<size_t>(size));
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
  ring().wake();
  ring().turn(kNever);
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
  if (GetParam() == Backend::kUring) {
    // 200 completions met a queue of 64: none was lost, and it was noticed.
    EXPECT_GT(ring().stats().completion_overflows, 0u);
  }
  for (Socket socket : sockets) close(socket);
}

}  // namespace
}  // namespace ringway::io
