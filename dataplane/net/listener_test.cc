#include "dataplane/net/listener.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/tcp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "dataplane/net/address.h"

namespace ringway::net {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

// Descriptors of a test, closed at its end.
class ListenerTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/ringway-listener-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    folder_ = name;
  }
  void TearDown() override {
    for (int fd : fds_) ::close(fd);
    fs::remove_all(folder_);
  }
  std::expected<std::vector<int>, std::string> listen(const std::string& text,
                                                      const ListenOptions& options = {}) {
    auto fds = listen_on(*parse_address(text), options);
    if (fds) fds_.insert(fds_.end(), fds->begin(), fds->end());
    return fds;
  }
  int connect(const io::SocketAddress& address) {
    const int fd = ::socket(address.family(), SOCK_STREAM, 0);
    fds_.push_back(fd);
    return ::connect(fd, &address.generic, address.length) == 0 ? fd : -1;
  }
  std::string unix_text() const { return "unix:" + (folder_ / "a.sock").string(); }

  fs::path folder_;
  std::vector<int> fds_;
};

int option(int fd, int level, int name) {
  int value = -1;
  socklen_t length = sizeof value;
  EXPECT_EQ(::getsockopt(fd, level, name, &value, &length), 0);
  return value;
}

TEST_F(ListenerTest, SharesOneChosenPortBetweenSockets) {
  const auto fds = listen("127.0.0.1:0", {.sockets = 3});
  ASSERT_TRUE(fds.has_value()) << fds.error();
  ASSERT_EQ(fds->size(), 3u);
  const io::SocketAddress address = local_address((*fds)[0]);
  EXPECT_NE(port_of(address), 0);
  for (int fd : *fds) {
    EXPECT_EQ(local_address(fd), address);
    EXPECT_EQ(option(fd, SOL_SOCKET, SO_REUSEPORT), 1);
    EXPECT_EQ(option(fd, SOL_SOCKET, SO_REUSEADDR), 1);
    EXPECT_EQ(option(fd, SOL_SOCKET, SO_ACCEPTCONN), 1);
    EXPECT_EQ(option(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT), 0);
    EXPECT_EQ(::fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
  }
  EXPECT_GE(connect(address), 0);
}

TEST_F(ListenerTest, AcceptedSocketsInheritNoDelay) {
  const auto fds = listen("127.0.0.1:0");
  ASSERT_TRUE(fds.has_value()) << fds.error();
  ASSERT_GE(connect(local_address((*fds)[0])), 0);
  const int accepted = ::accept((*fds)[0], nullptr, nullptr);
  ASSERT_GE(accepted, 0);
  fds_.push_back(accepted);
  EXPECT_EQ(option(accepted, IPPROTO_TCP, TCP_NODELAY), 1);
}

TEST_F(ListenerTest, Ipv6LeavesIpv4Alone) {
  const auto v6 = listen("[::]:0");
  ASSERT_TRUE(v6.has_value()) << v6.error();
  EXPECT_EQ(option((*v6)[0], IPPROTO_IPV6, IPV6_V6ONLY), 1);
  const auto v4 = listen(":" + std::to_string(port_of(local_address((*v6)[0]))));
  EXPECT_TRUE(v4.has_value()) << v4.error();
}

TEST_F(ListenerTest, RefusesAnAddressInUseThatReusePortWouldShare) {
  const auto first = listen("127.0.0.1:0");
  ASSERT_TRUE(first.has_value());
  const std::string text = to_string(local_address((*first)[0]));
  const auto second = listen(text);
  ASSERT_FALSE(second.has_value());
  EXPECT_EQ(second.error(), "cannot listen on " + text +
                                ": Address already in use: another process listens there: stop it "
                                "or choose another address");
  EXPECT_TRUE(listen(text, {.exclusive = false}).has_value());
}

TEST_F(ListenerTest, AChosenPortIsFreeAgainAfterClose) {
  const auto first = listen("127.0.0.1:0", {.sockets = 2});
  ASSERT_TRUE(first.has_value());
  const io::SocketAddress address = local_address((*first)[0]);
  ASSERT_GE(connect(address), 0);  // Leaves a connection in TIME_WAIT or in the queue.
  for (int fd : fds_) ::close(fd);
  fds_.clear();
  const auto second = listen(to_string(address));
  EXPECT_TRUE(second.has_value()) << second.error();
}

TEST_F(ListenerTest, NamesWhatToDo) {
  EXPECT_EQ(listen("203.0.113.7:80").error(),
            "cannot listen on 203.0.113.7:80: Cannot assign requested address: no interface of "
            "this machine has that address");
  EXPECT_THAT(listen("unix:/no/such/folder/a.sock").error(),
              HasSubstr("the folder of the socket does not exist"));
}

TEST_F(ListenerTest, AFailureLeavesNoDescriptorOpen) {
  const int before = ::open("/dev/null", O_RDONLY);
  ::close(before);
  ASSERT_FALSE(listen("203.0.113.7:80", {.sockets = 4}).has_value());
  ASSERT_FALSE(listen("unix:/no/such/folder/a.sock").has_value());
  const int after = ::open("/dev/null", O_RDONLY);
  ::close(after);
  EXPECT_EQ(after, before);
}

TEST_F(ListenerTest, UnixSocketHasItsModeWhateverTheUmask) {
  const mode_t umask_before = ::umask(0077);
  const auto fds = listen(unix_text(), {.sockets = 2, .unix_mode = 0666});
  ::umask(umask_before);
  ASSERT_TRUE(fds.has_value()) << fds.error();
  EXPECT_EQ(fds->size(), 2u);
  struct stat status{};
  ASSERT_EQ(::stat((folder_ / "a.sock").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0666u);
  ASSERT_GE(connect(*parse_address(unix_text())), 0);
  fds_.push_back(::accept((*fds)[1], nullptr, nullptr));
  EXPECT_GE(fds_.back(), 0);
}

TEST_F(ListenerTest, UnixStaleFileIsReplacedALiveOneIsNot) {
  ASSERT_TRUE(listen(unix_text()).has_value());
  const auto second = listen(unix_text());
  ASSERT_FALSE(second.has_value());
  EXPECT_THAT(second.error(), HasSubstr("another process listens there"));
  for (int fd : fds_) ::close(fd);
  fds_.clear();
  ASSERT_TRUE(fs::exists(folder_ / "a.sock"));
  const auto third = listen(unix_text());
  EXPECT_TRUE(third.has_value()) << third.error();
}

TEST_F(ListenerTest, UnixPathOfAnotherKindIsLeftAlone) {
  std::ofstream(folder_ / "a.sock") << "precious";
  const auto fds = listen(unix_text());
  ASSERT_FALSE(fds.has_value());
  EXPECT_THAT(fds.error(), HasSubstr("not a socket"));
  EXPECT_EQ(fs::file_size(folder_ / "a.sock"), 8u);
}

TEST_F(ListenerTest, AbstractUnixSocketNeedsNoFile) {
  const std::string text = "unix:@ringway-listener-test-" + std::to_string(::getpid());
  const auto fds = listen(text);
  ASSERT_TRUE(fds.has_value()) << fds.error();
  EXPECT_GE(connect(*parse_address(text)), 0);
  EXPECT_THAT(listen(text).error(), HasSubstr("Address already in use"));
}

TEST_F(ListenerTest, DatagramSocketsShareAnAddressAndTellWhereItWas) {
  const auto fds = bind_datagrams(*parse_address("127.0.0.1:0"), {.sockets = 2});
  ASSERT_TRUE(fds.has_value()) << fds.error();
  fds_.insert(fds_.end(), fds->begin(), fds->end());
  EXPECT_EQ(to_string(local_address(fds->at(0))), to_string(local_address(fds->at(1))));
  for (const int fd : *fds) {
    EXPECT_EQ(option(fd, SOL_SOCKET, SO_TYPE), SOCK_DGRAM);
    EXPECT_EQ(option(fd, IPPROTO_IP, IP_PKTINFO), 1);
  }
}

TEST_F(ListenerTest, DatagramsOfIpv6AreOfThatFamilyAlone) {
  const auto fds = bind_datagrams(*parse_address("[::1]:0"), {});
  ASSERT_TRUE(fds.has_value()) << fds.error();
  fds_.insert(fds_.end(), fds->begin(), fds->end());
  EXPECT_EQ(option(fds->at(0), IPPROTO_IPV6, IPV6_RECVPKTINFO), 1);
  EXPECT_EQ(option(fds->at(0), IPPROTO_IPV6, IPV6_V6ONLY), 1);
}

TEST_F(ListenerTest, DatagramsNeedAFreeIpAddress) {
  const auto fds = bind_datagrams(*parse_address("127.0.0.1:0"), {});
  ASSERT_TRUE(fds.has_value()) << fds.error();
  fds_.insert(fds_.end(), fds->begin(), fds->end());
  const io::SocketAddress taken = local_address(fds->at(0));
  const auto again = bind_datagrams(taken, {.exclusive = true});
  ASSERT_FALSE(again.has_value());
  EXPECT_THAT(again.error(), HasSubstr(to_string(taken)));
  const auto on_unix = bind_datagrams(*parse_address(unix_text()), {});
  ASSERT_FALSE(on_unix.has_value());
  EXPECT_THAT(on_unix.error(), HasSubstr("IP addresses only"));
}

}  // namespace
}  // namespace ringway::net
