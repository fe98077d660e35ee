// bench_origin --port N [--body BYTES] [--address A]: answers every HTTP/1.1 request with 200 and a fixed body, as cheaply as a server
// with one thread and level-triggered epoll can, so that it is never what a measurement waits for. GET /__stats gives its counts as JSON.
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <unordered_map>

namespace {

struct Counts {
  uint64_t accepted = 0;
  uint64_t open = 0;
  uint64_t requests = 0;
};

struct Connection {
  std::string unread;          // Bytes of a head that is not complete.
  std::string unsent;          // What the socket did not take.
  uint64_t body_left = 0;      // Of a request body that is being skipped.
};

Counts counts;
std::string answer;

std::string make_answer(std::string_view body, std::string_view type) {
  return "HTTP/1.1 200 OK\r\nContent-Type: " + std::string(type) + "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
         std::string(body);
}

std::string stats_answer() {
  char text[160];
  snprintf(text, sizeof text, "{\"accepted\":%llu,\"open\":%llu,\"requests\":%llu}\n", static_cast<unsigned long long>(counts.accepted),
           static_cast<unsigned long long>(counts.open), static_cast<unsigned long long>(counts.requests));
  return make_answer(text, "application/json");
}

// Value of Content-Length in a head, 0 when there is none. Clients here are proxies: the spelling is theirs, the value is a number.
uint64_t content_length(const std::string& head) {
  static constexpr std::string_view kName = "\ncontent-length:";
  for (size_t i = 0; i + kName.size() < head.size(); ++i) {
    if (strncasecmp(head.data() + i, kName.data(), kName.size()) != 0) continue;
    return strtoull(head.data() + i + kName.size(), nullptr, 10);
  }
  return 0;
}

// Appends the answers to all complete requests in `c.unread`.
void answer_requests(Connection& c) {
  while (!c.unread.empty()) {
    if (c.body_left > 0) {
      const uint64_t skipped = std::min<uint64_t>(c.body_left, c.unread.size());
      c.unread.erase(0, skipped);
      c.body_left -= skipped;
      continue;
    }
    const size_t end = c.unread.find("\r\n\r\n");
    if (end == std::string::npos) return;
    const bool wants_stats = c.unread.starts_with("GET /__stats ");
    // A GET of a proxy has no body; looking for one in each would be most of the work.
    if (!c.unread.starts_with("GET ")) c.body_left = content_length(c.unread.substr(0, end + 2));
    if (end + 4 == c.unread.size()) {
      c.unread.clear();
    } else {
      c.unread.erase(0, end + 4);
    }
    if (!wants_stats) ++counts.requests;
    c.unsent += wants_stats ? stats_answer() : answer;
  }
}

int listen_on(const char* address, uint16_t port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  inet_pton(AF_INET, address, &to.sin_addr);
  if (bind(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0 || listen(fd, 4096) != 0) {
    fprintf(stderr, "bench_origin: %s:%u: %s\n", address, port, strerror(errno));
    exit(1);
  }
  return fd;
}

class Server {
 public:
  Server(const char* address, uint16_t port) : listener_(listen_on(address, port)), epoll_(epoll_create1(EPOLL_CLOEXEC)) {
    watch(listener_, EPOLL_CTL_ADD, EPOLLIN);
  }

  [[noreturn]] void run() {
    epoll_event events[256];
    for (;;) {
      const int count = epoll_wait(epoll_, events, 256, -1);
      for (int i = 0; i < count; ++i) {
        const int fd = events[i].data.fd;
        if (fd == listener_) {
          accept_all();
        } else if (!serve(fd)) {
          close(fd);
          connections_.erase(fd);
          --counts.open;
        }
      }
    }
  }

 private:
  void watch(int fd, int operation, uint32_t what) {
    epoll_event event{};
    event.events = what;
    event.data.fd = fd;
    epoll_ctl(epoll_, operation, fd, &event);
  }

  void accept_all() {
    for (;;) {
      const int fd = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) return;
      const int on = 1;
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      watch(fd, EPOLL_CTL_ADD, EPOLLIN);
      connections_[fd];
      ++counts.accepted;
      ++counts.open;
    }
  }

  // False: the connection is over.
  bool serve(int fd) {
    Connection& c = connections_[fd];
    char buffer[16384];
    const ssize_t got = recv(fd, buffer, sizeof buffer, 0);
    if (got == 0 || (got < 0 && errno != EAGAIN)) return false;
    if (got > 0) c.unread.append(buffer, static_cast<size_t>(got));
    const bool was_waiting = !c.unsent.empty();
    answer_requests(c);
    if (c.unsent.empty()) return true;
    const ssize_t sent = send(fd, c.unsent.data(), c.unsent.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) return false;
    if (sent > 0) c.unsent.erase(0, static_cast<size_t>(sent));
    if (was_waiting != !c.unsent.empty()) watch(fd, EPOLL_CTL_MOD, c.unsent.empty() ? EPOLLIN : EPOLLIN | EPOLLOUT);
    return true;
  }

  int listener_;
  int epoll_;
  std::unordered_map<int, Connection> connections_;
};

}  // namespace

int main(int argc, char** argv) {
  const char* address = "127.0.0.1";
  uint16_t port = 0;
  size_t body = 128;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view name = argv[i];
    if (name == "--port") port = static_cast<uint16_t>(atoi(argv[i + 1]));
    if (name == "--body") body = strtoull(argv[i + 1], nullptr, 10);
    if (name == "--address") address = argv[i + 1];
  }
  if (port == 0) {
    fprintf(stderr, "usage: bench_origin --port N [--body BYTES] [--address A]\n");
    return 2;
  }
  signal(SIGPIPE, SIG_IGN);
  answer = make_answer(std::string(body, 'x'), "text/plain");
  Server(address, port).run();
}
