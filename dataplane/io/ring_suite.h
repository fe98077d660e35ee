// Test only: the fixture of the suite that all rings pass; its tests are in ring_suite_test.cc and
// ring_suite_receive_test.cc.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "base/clock.h"
#include "dataplane/io/ring_world.h"

namespace ringway::io {

inline RingOptions small_options() {
  RingOptions options;
  options.entries = 64;
  options.sockets_max = 4096;
  options.small = {1024, 64, 64};
  options.bulk = {16384, 8, 8};
  options.output = {1024, 16, 1024};
  return options;
}

// Whether the kernel lets this process bind to addresses of others (bind_source.h).
inline bool may_bind_source() {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  const bool may = setsockopt(fd, IPPROTO_IP, IP_TRANSPARENT, &on, sizeof on) == 0;
  ::close(fd);
  return may;
}

inline SocketAddress ipv4(uint32_t address, uint16_t port = 0) {
  SocketAddress out;
  out.v4.sin_family = AF_INET;
  out.v4.sin_addr.s_addr = htonl(address);
  out.v4.sin_port = htons(port);
  out.length = sizeof out.v4;
  return out;
}

inline std::string pattern(size_t bytes) {
  std::string text(bytes, '\0');
  for (size_t i = 0; i < bytes; ++i) text[i] = static_cast<char>('a' + (i * 7 + i / 251) % 26);
  return text;
}

class RingSuite : public ::testing::TestWithParam<Backend> {
 protected:
  void SetUp() override {
    if (GetParam() != Backend::kUring) return;
    const auto choice = choose_backend(BackendChoice::kUring);
    if (!choice) GTEST_SKIP() << "no io_uring here: " << choice.error();
  }
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
  std::pair<Far*, Socket> connected(const StreamOptions& options = {}) {
    const Socket socket = ring().open_stream(world_->server_address().family(), options).value();
    Logged<ConnectOp> connect;
    ring().connect(connect.op, socket, world_->server_address());
    Far* far = nullptr;
    EXPECT_TRUE(world_->run_until([&] { return connect.done(); }));
    EXPECT_EQ(connect.last(), 0);
    EXPECT_TRUE(
        world_->run_until([&] { return far != nullptr || (far = world_->served()) != nullptr; }));
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

}  // namespace ringway::io
