// What every ring promises about datagrams.
#include <fcntl.h>
#include <netinet/udp.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <vector>

#include "dataplane/io/ring_suite.h"
#include "dataplane/io/sim_ring.h"

namespace ringway::io {
namespace {

class Datagrams : public RingSuite {
 protected:
  static constexpr size_t kFars = 2;
  struct Far {
    int fd = -1;
    SocketAddress address;
    std::vector<std::string> received;
    std::vector<SocketAddress> senders;
  };

  // A bound socket of the proxy's, and two others that it talks with.
  void open() {
    make();
    bound_fd_ = datagram_socket(bound_);
    const int on = 1;
    ASSERT_EQ(setsockopt(bound_fd_, IPPROTO_IP, IP_PKTINFO, &on, sizeof on), 0);
    socket_ = ring().adopt(bound_fd_).value();
    for (size_t i = 0; i < kFars; ++i) {
      Far& far = fars_[i];
      far.fd = datagram_socket(far.address);
      fcntl(far.fd, F_SETFL, O_NONBLOCK);
      if (sim() == nullptr) continue;
      sim()->serve_datagrams(far.address,
                             [&far](const SocketAddress& from, std::string_view bytes) {
                               far.received.emplace_back(bytes);
                               far.senders.push_back(from);
                             });
    }
    recv_.then = [this] {
      peers_.push_back(recv_.op.peer);
      locals_.push_back(recv_.op.local);
      truncated_.push_back(recv_.op.truncated);
    };
    ring().recv_datagrams(recv_.op, socket_);
  }
  void TearDown() override {
    if (world_ != nullptr && recv_.op.in_flight) finish();
    for (Far& far : fars_) {
      if (far.fd >= 0) ::close(far.fd);
    }
    RingSuite::TearDown();
  }
  void finish() {
    ring().cancel(recv_.op);
    EXPECT_TRUE(world_->run_until([&] { return recv_.done(); }));
    EXPECT_EQ(recv_.last(), -ECANCELED);
    close(socket_);
  }
  SimRing* sim() { return GetParam() == Backend::kSim ? static_cast<SimRing*>(&ring()) : nullptr; }

  static int datagram_socket(SocketAddress& address) {
    const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    address = SocketAddress();
    address.v4.sin_family = AF_INET;
    address.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.length = sizeof address.v4;
    EXPECT_EQ(::bind(fd, &address.generic, address.length), 0);
    EXPECT_EQ(getsockname(fd, &address.generic, &address.length), 0);
    return fd;
  }
  void far_sends(size_t i, const SocketAddress& to, std::string_view text) {
    if (sim() != nullptr) return sim()->datagram_to_proxy(fars_[i].address, to, text);
    EXPECT_EQ(::sendto(fars_[i].fd, text.data(), text.size(), 0, &to.generic, to.length),
              static_cast<ssize_t>(text.size()));
  }
  void pump() {
    if (sim() != nullptr) return;
    for (Far& far : fars_) {
      std::array<char, 70000> bytes;
      SocketAddress from;
      from.length = sizeof from.local;
      ssize_t size;
      while ((size = ::recvfrom(far.fd, bytes.data(), bytes.size(), 0, &from.generic,
                                &from.length)) >= 0) {
        far.received.emplace_back(bytes.data(), static_cast<size_t>(size));
        far.senders.push_back(from);
        from.length = sizeof from.local;
      }
    }
  }
  bool run_until(const std::function<bool()>& done) {
    return static_cast<bool>(world_->run_until([&] {
      pump();
      return done();
    }));
  }
  int32_t send_datagram(Socket socket, std::string_view text, const SocketAddress* to,
                        const SocketAddress* from) {
    Logged<DatagramSendOp> op;
    iovec vector{const_cast<char*>(text.data()), text.size()};
    if (to != nullptr) op.op.to = *to;
    if (from != nullptr) op.op.from = *from;
    ring().send_datagram(op.op, socket, {&vector, 1});
    EXPECT_TRUE(run_until([&] { return op.done(); }));
    return op.last();
  }

  int bound_fd_ = -1;
  SocketAddress bound_;
  Socket socket_;
  std::array<Far, kFars> fars_;
  Logged<DatagramOp> recv_;
  std::vector<SocketAddress> peers_, locals_;
  std::vector<bool> truncated_;
};

INSTANTIATE_TEST_SUITE_P(All, Datagrams,
                         ::testing::Values(Backend::kUring, Backend::kEpoll, Backend::kSim),
                         [](const auto& info) { return std::string(backend_name(info.param)); });

TEST_P(Datagrams, ArriveOneByOneWithWhoSentThemWhere) {
  open();
  recv_.keep = true;
  far_sends(0, bound_, "first");
  ASSERT_TRUE(run_until([&] { return recv_.results.size() == 1; }));
  far_sends(1, bound_, "second one");
  ASSERT_TRUE(run_until([&] { return recv_.results.size() == 2; }));
  EXPECT_EQ(recv_.slices[0].view(), "first");
  EXPECT_EQ(recv_.slices[1].view(), "second one");
  EXPECT_EQ(peers_[0], fars_[0].address);
  EXPECT_EQ(peers_[1], fars_[1].address);
  ASSERT_EQ(locals_[0].family(), AF_INET);
  EXPECT_EQ(locals_[0].v4.sin_addr.s_addr, bound_.v4.sin_addr.s_addr);
  recv_.slices.clear();
  finish();
}

TEST_P(Datagrams, AnEmptyOneIsNoEnd) {
  open();
  far_sends(0, bound_, "");
  ASSERT_TRUE(run_until([&] { return recv_.results.size() == 1; }));
  EXPECT_EQ(recv_.results[0], 0);
  EXPECT_TRUE(recv_.more);
  far_sends(0, bound_, "x");
  ASSERT_TRUE(run_until([&] { return recv_.results.size() == 2; }));
  EXPECT_EQ(recv_.text, "x");
  EXPECT_EQ(send_datagram(socket_, "", &fars_[0].address, nullptr), 0);
  ASSERT_TRUE(run_until([&] { return fars_[0].received.size() == 1; }));
  finish();
}

TEST_P(Datagrams, AreSentFromTheAddressTheyCameTo) {
  open();
  far_sends(1, bound_, "ask");
  ASSERT_TRUE(run_until([&] { return peers_.size() == 1; }));
  const SocketAddress local = locals_[0];
  EXPECT_EQ(send_datagram(socket_, "answer", &peers_[0], &local), 6);
  ASSERT_TRUE(run_until([&] { return !fars_[1].received.empty(); }));
  EXPECT_EQ(fars_[1].received[0], "answer");
  EXPECT_EQ(fars_[1].senders[0], bound_);
  EXPECT_TRUE(fars_[0].received.empty());
  finish();
}

TEST_P(Datagrams, ALongOneSaysThatItIsCut) {
  open();
  far_sends(0, bound_, pattern(20'000));  // Buffers have 16384 bytes.
  ASSERT_TRUE(run_until([&] { return truncated_.size() == 1; }));
  EXPECT_TRUE(truncated_[0]);
  far_sends(0, bound_, pattern(15'000));
  ASSERT_TRUE(run_until([&] { return truncated_.size() == 2; }));
  EXPECT_FALSE(truncated_[1]);
  EXPECT_TRUE(recv_.text.ends_with(pattern(15'000)));
  finish();
}

TEST_P(Datagrams, WaitForBuffersWhenThePoolIsDry) {
  open();
  recv_.keep = true;
  for (int i = 0; i < 60; ++i) far_sends(0, bound_, "datagram");
  ASSERT_TRUE(run_until([&] { return ring().stats().buffers_exhausted > 0; }));
  EXPECT_EQ(recv_.slices.size(), 8u);
  while (recv_.text.size() < 60 * 8) {
    const size_t before = recv_.text.size();
    recv_.slices.clear();
    ASSERT_TRUE(run_until([&] { return recv_.text.size() > before; }));
  }
  recv_.slices.clear();
  finish();
}

TEST_P(Datagrams, TrainsAreSentWhole) {
  open();
  Logged<DatagramSendOp> op;
  const std::string text = pattern(3500);
  iovec vector{const_cast<char*>(text.data()), text.size()};
  op.op.to = fars_[0].address;
  op.op.segment_bytes = 1000;
  ring().send_datagram(op.op, socket_, {&vector, 1});
  ASSERT_TRUE(run_until([&] { return op.done() && fars_[0].received.size() == 4; }));
  EXPECT_EQ(op.last(), 3500);
  std::vector<size_t> sizes;
  for (const std::string& one : fars_[0].received) sizes.push_back(one.size());
  std::ranges::sort(sizes);  // On a simulated network they overtake each other.
  EXPECT_EQ(sizes, (std::vector<size_t>{500, 1000, 1000, 1000}));
  finish();
}

TEST_P(Datagrams, TrainsComeWhole) {
  if (GetParam() == Backend::kSim) GTEST_SKIP() << "no sockets of the kernel's";
  open();
  const Socket own = ring().open_datagram(fars_[0].address, nullptr).value();
  Logged<DatagramOp> recv;
  uint32_t segment = 0;
  recv.then = [&] { segment = recv.op.segment_bytes; };
  ring().recv_datagrams(recv.op, own);
  send_datagram(own, "here", nullptr, nullptr);
  ASSERT_TRUE(run_until([&] { return !fars_[0].received.empty(); }));
  const int bytes = 1000;
  ASSERT_EQ(setsockopt(fars_[0].fd, IPPROTO_UDP, UDP_SEGMENT, &bytes, sizeof bytes), 0);
  far_sends(0, fars_[0].senders[0], pattern(3500));
  ASSERT_TRUE(run_until([&] { return recv.text.size() == 3500; }));
  EXPECT_EQ(recv.text, pattern(3500));
  EXPECT_TRUE(recv.results.size() > 1 || segment == 1000u);
  ring().cancel(recv.op);
  ASSERT_TRUE(run_until([&] { return recv.done(); }));
  close(own);
  finish();
}

TEST_P(Datagrams, AConnectedSocketTalksWithItsPeerAlone) {
  open();
  const Socket own = ring().open_datagram(fars_[0].address, nullptr).value();
  Logged<DatagramOp> recv;
  ring().recv_datagrams(recv.op, own);
  EXPECT_EQ(send_datagram(own, "ping", nullptr, nullptr), 4);
  ASSERT_TRUE(run_until([&] { return !fars_[0].received.empty(); }));
  const SocketAddress from = fars_[0].senders[0];
  far_sends(1, from, "stranger");
  far_sends(0, from, "pong");
  ASSERT_TRUE(run_until([&] { return !recv.results.empty(); }));
  EXPECT_EQ(recv.text, "pong");
  ring().cancel(recv.op);
  ring().cancel(recv.op);
  ASSERT_TRUE(run_until([&] { return recv.done(); }));
  EXPECT_EQ(recv.last(), -ECANCELED);
  close(own);
  finish();
}

TEST_P(Datagrams, AConnectedSocketSendsFromTheAddressAsked) {
  if (GetParam() != Backend::kSim && !may_bind_source())
    GTEST_SKIP() << "needs CAP_NET_RAW or CAP_NET_ADMIN";
  open();
  const SocketAddress source = ipv4(0x7F000009);
  const Socket own = ring().open_datagram(fars_[0].address, &source).value();
  Logged<DatagramOp> recv;
  ring().recv_datagrams(recv.op, own);
  EXPECT_EQ(send_datagram(own, "ping", nullptr, nullptr), 4);
  ASSERT_TRUE(run_until([&] { return !fars_[0].received.empty(); }));
  const SocketAddress from = fars_[0].senders[0];
  EXPECT_EQ(from.v4.sin_addr.s_addr, source.v4.sin_addr.s_addr);
  EXPECT_NE(from.v4.sin_port, 0);
  far_sends(0, from, "pong");
  ASSERT_TRUE(run_until([&] { return !recv.results.empty(); }));
  EXPECT_EQ(recv.text, "pong");
  ring().cancel(recv.op);
  ASSERT_TRUE(run_until([&] { return recv.done(); }));
  close(own);
  finish();
}

TEST_P(Datagrams, ARefusalEndsTheReceive) {
  open();
  SocketAddress nobody;
  ::close(datagram_socket(nobody));
  const Socket own = ring().open_datagram(nobody, nullptr).value();
  Logged<DatagramOp> recv;
  ring().recv_datagrams(recv.op, own);
  send_datagram(own, "hello?", nullptr, nullptr);
  ASSERT_TRUE(run_until([&] { return recv.done(); }));
  EXPECT_EQ(recv.last(), -ECONNREFUSED);
  close(own);
  finish();
}

TEST_P(Datagrams, ManyMayBeUnderWay) {
  open();
  std::array<Logged<DatagramSendOp>, 16> ops;
  const std::string text = "one of many";
  iovec vector{const_cast<char*>(text.data()), text.size()};
  for (auto& op : ops) {
    op.op.to = fars_[0].address;
    ring().send_datagram(op.op, socket_, {&vector, 1});
  }
  ASSERT_TRUE(run_until([&] { return fars_[0].received.size() == ops.size(); }));
  for (auto& op : ops) EXPECT_EQ(op.last(), 11);
  finish();
}

}  // namespace
}  // namespace ringway::io
