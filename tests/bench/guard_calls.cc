// bench_guard_calls: system calls of a worker per request at a fixed batch. 16 clients each send
// one request, then the worker, and the origin behind it, take turns in this one thread until all
// have their answers; the least of many such rounds is printed, for each ring, as JSON. Calls are
// counted where the program calls the C library and liburing (ld's --wrap, see CMakeLists.txt), so
// that no privilege is needed. A ring that the system forbids is null.
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/worker/worker.h"
#include "tests/bench/guard_world.h"

struct io_uring;
struct io_uring_cqe;
struct __kernel_timespec;

namespace {
bool counting = false;
uint64_t calls = 0;
}  // namespace

#define COUNTED(type, name, parameters, arguments) \
  extern "C" type __real_##name parameters;        \
  extern "C" type __wrap_##name parameters {       \
    if (counting) ++calls;                         \
    return __real_##name arguments;                \
  }

COUNTED(ssize_t, recv, (int fd, void* to, size_t size, int flags), (fd, to, size, flags))
COUNTED(ssize_t, send, (int fd, const void* from, size_t size, int flags), (fd, from, size, flags))
COUNTED(ssize_t, sendmsg, (int fd, const msghdr* message, int flags), (fd, message, flags))
COUNTED(ssize_t, read, (int fd, void* to, size_t size), (fd, to, size))
COUNTED(ssize_t, write, (int fd, const void* from, size_t size), (fd, from, size))
COUNTED(int, accept4, (int fd, sockaddr* from, socklen_t* size, int flags), (fd, from, size, flags))
COUNTED(int, connect, (int fd, const sockaddr* to, socklen_t size), (fd, to, size))
COUNTED(int, socket, (int family, int type, int protocol), (family, type, protocol))
COUNTED(int, setsockopt, (int fd, int level, int name, const void* value, socklen_t size),
        (fd, level, name, value, size))
COUNTED(int, shutdown, (int fd, int how), (fd, how))
COUNTED(int, close, (int fd), (fd))
COUNTED(int, epoll_ctl, (int epoll, int what, int fd, epoll_event* event), (epoll, what, fd, event))
COUNTED(int, epoll_wait, (int epoll, epoll_event* events, int most, int ms),
        (epoll, events, most, ms))
COUNTED(int, epoll_pwait2,
        (int epoll, epoll_event* events, int most, const timespec* wait, const sigset_t* mask),
        (epoll, events, most, wait, mask))
COUNTED(int, io_uring_submit, (io_uring * ring), (ring))
COUNTED(int, io_uring_submit_and_wait_timeout,
        (io_uring * ring, io_uring_cqe** cqe, unsigned count, __kernel_timespec* wait,
         sigset_t* mask),
        (ring, cqe, count, wait, mask))

namespace ringway::bench {
namespace {

constexpr int kBatch = 16;
constexpr int kRounds = 100;
constexpr std::string_view kRequest =
    "GET / HTTP/1.1\r\nHost: bench.test\r\nUser-Agent: guard\r\nAccept: */*\r\n\r\n";
constexpr std::string_view kBody = "0123456789abcdef";

int listening(io::SocketAddress& bound, int flags) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
  bound = guard_address(0);
  CHECK(fd >= 0 && ::bind(fd, &bound.generic, bound.length) == 0 && ::listen(fd, 128) == 0);
  bound.length = sizeof(sockaddr_in);
  CHECK(::getsockname(fd, &bound.generic, &bound.length) == 0);
  return fd;
}

// Accepts, and answers every request; requests here come whole.
class Origin {
 public:
  Origin() : fd_(listening(address, SOCK_NONBLOCK)) {}
  ~Origin() {
    for (const int fd : connections_) ::close(fd);
    ::close(fd_);
  }
  void step() {
    for (int fd; (fd = ::accept4(fd_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;)
      connections_.push_back(fd);
    char buffer[4096];
    for (const int fd : connections_) {
      if (::recv(fd, buffer, sizeof buffer, 0) <= 0) continue;
      const std::string answer =
          "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(kBody.size()) + "\r\n\r\n" +
          std::string(kBody);
      CHECK(::send(fd, answer.data(), answer.size(), MSG_NOSIGNAL) ==
            static_cast<ssize_t>(answer.size()));
    }
  }
  io::SocketAddress address;

 private:
  int fd_;
  std::vector<int> connections_;
};

class Run {
 public:
  explicit Run(io::Backend backend)
      : ring_(io::make_ring(backend, {.entries = 256, .sockets_max = 256})) {
    worker::WorkerOptions options;
    options.retire = [](std::shared_ptr<const config::Snapshot>) {};
    worker_ = std::make_unique<worker::Worker>(*ring_, std::move(options));
    io::SocketAddress address;
    const int listener = listening(address, SOCK_NONBLOCK);
    worker_->publish(guard_snapshot(origin_.address), {{"http", "guard", listener}});
    for (int i = 0; i < kBatch; ++i) {
      clients_.push_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
      CHECK(::connect(clients_.back(), &address.generic, address.length) == 0);
    }
  }
  ~Run() {
    for (const int fd : clients_) ::close(fd);
    worker_->drain(ring_->now_ns(), ring_->now_ns() + kNsPerSecond);
    while (!worker_->finished()) worker_->turn();
  }

  // Calls until all clients have been answered once.
  uint64_t round() {
    calls = 0;
    for (const int fd : clients_)
      CHECK(::send(fd, kRequest.data(), kRequest.size(), MSG_NOSIGNAL) ==
            static_cast<ssize_t>(kRequest.size()));
    std::vector<std::string> answers(kBatch);
    const auto whole = [](const std::string& answer) { return answer.ends_with(kBody); };
    while (!std::ranges::all_of(answers, whole)) {
      counting = true;
      worker_->turn();
      counting = false;
      origin_.step();
      for (int i = 0; i < kBatch; ++i) {
        char buffer[4096];
        const ssize_t got = ::recv(clients_[i], buffer, sizeof buffer, MSG_DONTWAIT);
        CHECK(got > 0 || (got < 0 && errno == EAGAIN));
        if (got > 0) answers[i].append(buffer, static_cast<size_t>(got));
      }
    }
    return calls;
  }

 private:
  std::unique_ptr<io::Ring> ring_;
  Origin origin_;
  std::unique_ptr<worker::Worker> worker_;
  std::vector<int> clients_;
};

void print(const char* name, io::BackendChoice choice, const char* end) {
  const auto chosen = io::choose_backend(choice);
  if (!chosen) {
    std::fprintf(stderr, "bench_guard_calls: %s\n", chosen.error().c_str());
    std::printf("\"%s\":null%s", name, end);
    return;
  }
  Run run(chosen->backend);
  uint64_t least = UINT64_MAX;
  for (int i = 0; i < kRounds; ++i) least = std::min(least, run.round());
  std::printf("\"%s\":{\"batch\":%d,\"calls\":%lu}%s", name, kBatch, least, end);
}

}  // namespace
}  // namespace ringway::bench

int main() {
  std::printf("{");
  ringway::bench::print("io_uring", ringway::io::BackendChoice::kUring, ",");
  ringway::bench::print("epoll", ringway::io::BackendChoice::kEpoll, "}\n");
}
