#include "dataplane/process/listener_sockets.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "dataplane/net/address.h"
#include "dataplane/net/listener.h"

namespace ringway::process {
namespace {

int connect_errno(const std::string& address) {
  const auto parsed = net::parse_address(address);
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int result = connect(fd, &parsed->generic, parsed->length) == 0 ? 0 : errno;
  close(fd);
  return result;
}

void close_all(const std::vector<int>& fds) {
  for (const int fd : fds) close(fd);
}

TEST(OwnListenerSocketsTest, SameSocketsAgainAndGoneAfterUnbind) {
  OwnListenerSockets sockets;
  const auto first = sockets.bind("127.0.0.1:0", 2);
  ASSERT_TRUE(first.has_value()) << first.error();
  const std::string address = net::to_string(net::local_address(first->front()));
  EXPECT_EQ(net::to_string(net::local_address(first->back())), address);
  const auto again = sockets.bind("127.0.0.1:0", 2);
  ASSERT_TRUE(again.has_value());
  EXPECT_EQ(net::to_string(net::local_address(again->front())), address);
  close_all(*first);
  close_all(*again);
  EXPECT_EQ(connect_errno(address), 0);  // The table's own are open.
  sockets.unbind("127.0.0.1:0");
  EXPECT_EQ(connect_errno(address), ECONNREFUSED);
  sockets.unbind("127.0.0.1:0");
}

TEST(OwnListenerSocketsTest, CountGrowsAndShrinks) {
  OwnListenerSockets sockets;
  for (const uint32_t count : {1u, 4u, 2u}) {
    const auto fds = sockets.bind("127.0.0.1:0", count);
    ASSERT_TRUE(fds.has_value()) << fds.error();
    EXPECT_EQ(fds->size(), count);
    const std::string address = net::to_string(net::local_address(fds->front()));
    for (const int fd : *fds) EXPECT_EQ(net::to_string(net::local_address(fd)), address);
    close_all(*fds);
  }
}

TEST(OwnListenerSocketsTest, DatagramsHaveAnAddressOfTheirOwn) {
  OwnListenerSockets sockets;
  const auto udp = sockets.bind("udp:127.0.0.1:0", 1);
  ASSERT_TRUE(udp.has_value()) << udp.error();
  const std::string address = net::to_string(net::local_address(udp->front()));
  const auto tcp = sockets.bind("127.0.0.1:0", 1);
  ASSERT_TRUE(tcp.has_value()) << tcp.error();
  const auto more = sockets.bind("udp:127.0.0.1:0", 3);
  ASSERT_TRUE(more.has_value()) << more.error();
  for (const int fd : *more) {
    int type = 0;
    socklen_t length = sizeof type;
    EXPECT_EQ(getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length), 0);
    EXPECT_EQ(type, SOCK_DGRAM);
    EXPECT_EQ(net::to_string(net::local_address(fd)), address);
  }
  for (const auto* fds : {&*udp, &*tcp, &*more}) close_all(*fds);
}

TEST(OwnListenerSocketsTest, ErrorsAreOneLine) {
  OwnListenerSockets sockets;
  for (const char* address : {"nonsense", "192.0.2.1:80", "127.0.0.1:99999"}) {
    const auto fds = sockets.bind(address, 1);
    ASSERT_FALSE(fds.has_value()) << address;
    EXPECT_EQ(fds.error().find('\n'), std::string::npos);
    EXPECT_FALSE(fds.error().empty());
  }
}

TEST(ListenerTableTest, ARefusedGrowthLeavesWhatWasThere) {
  uint32_t calls = 0;
  ListenerTable table([&](std::string_view address, uint32_t count,
                          bool more) -> std::expected<std::vector<int>, std::string> {
    if (++calls == 2) return std::unexpected("no more");
    return make_listeners(address, count, more);
  });
  const auto first = table.bind("127.0.0.1:0", 1);
  ASSERT_TRUE(first.has_value());
  EXPECT_FALSE(table.bind("127.0.0.1:0", 3).has_value());
  EXPECT_EQ(table.bind("127.0.0.1:0", 1), *first);
}

TEST(ListenerTableTest, WhatTheNextProcessDoesNotAskForIsClosed) {
  ListenerTable table(make_listeners);
  const std::string kept =
      net::to_string(net::local_address(table.bind("127.0.0.1:0", 1)->front()));
  const std::string other =
      net::to_string(net::local_address(table.bind("127.0.0.2:0", 1)->front()));
  table.forget_claims();
  ASSERT_TRUE(table.bind("127.0.0.1:0", 1).has_value());
  EXPECT_EQ(connect_errno(other), 0);  // Until it says that it is ready.
  table.close_unclaimed();
  EXPECT_EQ(table.addresses(), 1u);
  EXPECT_EQ(connect_errno(kept), 0);
  EXPECT_EQ(connect_errno(other), ECONNREFUSED);
}

}  // namespace
}  // namespace ringway::process
