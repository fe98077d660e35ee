#include "dataplane/io/ring_world.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <deque>

#include "base/clock.h"
#include "dataplane/io/sim_ring.h"

namespace ringway::io {
namespace {

SocketAddress loopback(int family, uint16_t port) {
  SocketAddress address;
  if (family == AF_INET6) {
    address.v6.sin6_family = AF_INET6;
    address.v6.sin6_addr = in6addr_loopback;
    address.v6.sin6_port = htons(port);
    address.length = sizeof address.v6;
  } else if (family == AF_UNIX) {
    static int number = 0;
    address.local.sun_family = AF_UNIX;
    // Abstract: the name begins with a zero byte.
    const int size = snprintf(address.local.sun_path + 1, sizeof address.local.sun_path - 1,
                              "ringway-io-%d-%d", getpid(), ++number);
    address.length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + size);
  } else {
    address.v4.sin_family = AF_INET;
    address.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.v4.sin_port = htons(port);
    address.length = sizeof address.v4;
  }
  return address;
}

int listener_at(SocketAddress& address, int backlog) {
  const int fd = ::socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  CHECK(fd >= 0);
  CHECK(::bind(fd, &address.generic, address.length) == 0);
  CHECK(::listen(fd, backlog) == 0);
  address.length = sizeof address.local;
  CHECK(getsockname(fd, &address.generic, &address.length) == 0);
  return fd;
}

class KernelFar : public Far {
 public:
  explicit KernelFar(int fd) : fd_(fd) {}
  ~KernelFar() override { close(); }
  void write(std::string_view bytes) override {
    unsent_ += bytes;
    pump();
  }
  void half_close() override {
    finishing_ = true;
    pump();
  }
  void close() override {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }
  void reset() override {
    const linger at_once{.l_onoff = 1, .l_linger = 0};
    setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close();
  }
  void pause() override { paused_ = true; }
  void resume() override { paused_ = false; }
  void pump() override {
    if (fd_ < 0) return;
    while (!unsent_.empty()) {
      const ssize_t sent = ::send(fd_, unsent_.data(), unsent_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent <= 0) break;
      unsent_.erase(0, static_cast<size_t>(sent));
    }
    if (unsent_.empty() && finishing_) {
      ::shutdown(fd_, SHUT_WR);
      finishing_ = false;
    }
    char bytes[65536];
    while (!paused_ && !ended_ && !reset_) {
      const ssize_t size = ::recv(fd_, bytes, sizeof bytes, MSG_DONTWAIT);
      if (size > 0) {
        received_.append(bytes, static_cast<size_t>(size));
        continue;
      }
      if (size == 0) ended_ = true;
      if (size < 0 && errno == ECONNRESET) reset_ = true;
      break;
    }
  }
  const std::string& received() const override { return received_; }
  bool ended() const override { return ended_; }
  bool was_reset() const override { return reset_; }
  SocketAddress proxy_address() const override {
    SocketAddress address;
    address.length = sizeof address.local;
    CHECK(getpeername(fd_, &address.generic, &address.length) == 0);
    return address;
  }

 private:
  int fd_;
  std::string unsent_, received_;
  bool paused_ = false, ended_ = false, reset_ = false, finishing_ = false;
};

class KernelWorld : public RingWorld {
 public:
  KernelWorld(Backend backend, const RingOptions& options, int family)
      : proxy_(loopback(family, 0)), server_(loopback(family, 0)), refusing_(loopback(family, 0)) {
    ring_ = make_ring(backend, options);
    listener_ = listener_at(proxy_, 1024);
    server_fd_ = listener_at(server_, 1024);
    ::close(listener_at(refusing_, 1));
  }
  ~KernelWorld() override {
    if (listener_ >= 0) ::close(listener_);
    ::close(server_fd_);
  }
  Socket listen() override { return ring_->adopt(std::exchange(listener_, -1)).value(); }
  Far& dial() override {
    const int fd = ::socket(proxy_.family(), SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0 && ::connect(fd, &proxy_.generic, proxy_.length) == 0);
    fars_.push_back(std::make_unique<KernelFar>(fd));
    return *fars_.back();
  }
  const SocketAddress& server_address() override { return server_; }
  const SocketAddress& refusing_address() override { return refusing_; }
  Far* served() override {
    const int fd = accept4(server_fd_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) return nullptr;
    fars_.push_back(std::make_unique<KernelFar>(fd));
    return fars_.back().get();
  }
  void pump() override {
    for (auto& far : fars_) far->pump();
  }

 private:
  SocketAddress proxy_, server_, refusing_;
  int listener_ = -1;
  int server_fd_ = -1;
  std::vector<std::unique_ptr<KernelFar>> fars_;
};

class SimFar : public Far {
 public:
  explicit SimFar(SimPeer& peer) : peer_(peer) {}
  void write(std::string_view bytes) override { peer_.write(bytes); }
  void half_close() override { peer_.half_close(); }
  void close() override { peer_.close(); }
  void reset() override { peer_.reset(); }
  void pause() override { peer_.pause(); }
  void resume() override { peer_.resume(); }
  void pump() override {}
  const std::string& received() const override { return peer_.received(); }
  bool ended() const override { return peer_.ended(); }
  bool was_reset() const override { return peer_.was_reset(); }
  SocketAddress proxy_address() const override { return peer_.source(); }

 private:
  SimPeer& peer_;
};

class SimWorld : public RingWorld {
 public:
  SimWorld(const RingOptions& options, int family) {
    auto ring = std::make_unique<SimRing>(options, SimOptions{.seed = 7});
    sim_ = ring.get();
    ring_ = std::move(ring);
    proxy_ = loopback(family, 8080);
    server_ = loopback(family, 9090);
    refusing_ = loopback(family, 9091);
    sim_->serve(server_, [this](SimPeer& peer) { got_.push_back(&peer); });
  }
  Socket listen() override { return sim_->listen(proxy_); }
  Far& dial() override { return add(sim_->dial(proxy_, loopback(proxy_.family(), 40000))); }
  const SocketAddress& server_address() override { return server_; }
  const SocketAddress& refusing_address() override { return refusing_; }
  Far* served() override {
    if (got_.empty()) return nullptr;
    SimPeer& peer = *got_.front();
    got_.pop_front();
    return &add(peer);
  }
  void pump() override {}

 private:
  Far& add(SimPeer& peer) {
    fars_.push_back(std::make_unique<SimFar>(peer));
    return *fars_.back();
  }
  SimRing* sim_;
  SocketAddress proxy_, server_, refusing_;
  std::deque<SimPeer*> got_;
  std::vector<std::unique_ptr<SimFar>> fars_;
};

}  // namespace

::testing::AssertionResult RingWorld::run_until(const std::function<bool()>& done) {
  const uint64_t end = ring_->now_ns() + 5 * kNsPerSecond;
  while (true) {
    pump();
    if (done()) return ::testing::AssertionSuccess();
    if (ring_->now_ns() > end) return ::testing::AssertionFailure() << "not within five seconds";
    ring_->turn(ring_->now_ns() + kNsPerMs);
  }
}

void RingWorld::run_for(uint64_t ns) {
  const uint64_t end = ring_->now_ns() + ns;
  while (ring_->now_ns() < end) {
    pump();
    ring_->turn(std::min(end, ring_->now_ns() + kNsPerMs));
  }
}

std::unique_ptr<RingWorld> make_world(Backend backend, const RingOptions& options, int family) {
  if (backend == Backend::kSim) return std::make_unique<SimWorld>(options, family);
  return std::make_unique<KernelWorld>(backend, options, family);
}

}  // namespace ringway::io
