// bench_origin --port N [--body BYTES] [--delay-ms N] [--address A]: answers every HTTP/1.1
// request, once its body is there, with 200 and a fixed body, as cheaply as a server with one
// thread and level-triggered epoll can, so that it is never what a measurement waits for.
// --delay-ms: each answer that much later, as of a backend that thinks. GET /__stats gives its
// counts as JSON.
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <string>
#include <string_view>
#include <unordered_map>

namespace {

struct Counts {
  uint64_t accepted = 0;
  uint64_t open = 0;
  uint64_t requests = 0;
  uint64_t body_bytes = 0;  // Of requests.
};

struct Connection {
  uint64_t serial =
      0;  // Descriptors come back; an answer that waits must not go to the next client.
  std::string unread;      // Bytes of a head that is not complete.
  uint64_t body_left = 0;  // Of a request body that is being skipped.
  bool in_body = false;
  uint64_t answers = 0;  // Still to be sent, or in part.
  uint64_t sent = 0;     // Bytes of the first of them.
  std::string stats;     // A stats answer to be sent behind them.
  bool waits_for_space = false;
};

struct Due {
  uint64_t at_ns;
  int fd;
  uint64_t serial;
};

Counts counts;
std::string answer;

uint64_t now_ns() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<uint64_t>(t.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(t.tv_nsec);
}

std::string make_answer(std::string_view body, std::string_view type) {
  return "HTTP/1.1 200 OK\r\nContent-Type: " + std::string(type) +
         "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + std::string(body);
}

std::string stats_answer() {
  char text[200];
  const auto number = [](uint64_t n) { return static_cast<unsigned long long>(n); };
  snprintf(text, sizeof text,
           "{\"accepted\":%llu,\"open\":%llu,\"requests\":%llu,\"body_bytes\":%llu}\n",
           number(counts.accepted), number(counts.open), number(counts.requests),
           number(counts.body_bytes));
  return make_answer(text, "application/json");
}

// Value of Content-Length in a head, 0 when there is none. Clients here are proxies: the spelling
// is theirs, the value is a number.
uint64_t content_length(std::string_view head) {
  static constexpr std::string_view kName = "\ncontent-length:";
  for (size_t i = 0; i + kName.size() < head.size(); ++i) {
    if (strncasecmp(head.data() + i, kName.data(), kName.size()) != 0) continue;
    return strtoull(head.data() + i + kName.size(), nullptr, 10);
  }
  return 0;
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
  Server(const char* address, uint16_t port, uint64_t delay_ns)
      : listener_(listen_on(address, port)),
        epoll_(epoll_create1(EPOLL_CLOEXEC)),
        delay_ns_(delay_ns) {
    watch(listener_, EPOLL_CTL_ADD, EPOLLIN);
  }

  [[noreturn]] void run() {
    epoll_event events[256];
    for (;;) {
      const int count = epoll_wait(epoll_, events, 256, due_.empty() ? -1 : wait_ms());
      for (int i = 0; i < count; ++i) {
        const int fd = events[i].data.fd;
        if (fd == listener_) {
          accept_all();
        } else if (!serve(fd)) {
          end(fd);
        }
      }
      if (!due_.empty()) answer_due();
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
      connections_[fd].serial = ++counts.accepted;
      ++counts.open;
    }
  }

  void end(int fd) {
    close(fd);
    connections_.erase(fd);
    --counts.open;
  }

  // False: the connection is over.
  bool serve(int fd) {
    static char buffer[262144];
    Connection& c = connections_[fd];
    const ssize_t got = recv(fd, buffer, sizeof buffer, 0);
    if (got == 0 || (got < 0 && errno != EAGAIN)) return false;
    if (got > 0) read_requests(fd, c, {buffer, static_cast<size_t>(got)});
    return flush(fd, c);
  }

  void read_requests(int fd, Connection& c, std::string_view bytes) {
    if (c.in_body) skip_body(fd, c, bytes);
    if (bytes.empty()) return;
    c.unread.append(bytes);
    std::string_view rest = c.unread;
    while (!rest.empty()) {
      if (c.in_body) {
        skip_body(fd, c, rest);
        continue;
      }
      const size_t end = rest.find("\r\n\r\n");
      if (end == std::string_view::npos) break;
      const std::string_view head = rest.substr(0, end + 2);
      rest.remove_prefix(end + 4);
      if (head.starts_with("GET /__stats ")) {
        c.stats += stats_answer();
        continue;
      }
      ++counts.requests;
      // A GET of a proxy has no body; looking for one in each would be most of the work.
      c.body_left = head.starts_with("GET ") ? 0 : content_length(head);
      c.in_body = c.body_left > 0;
      if (!c.in_body) on_request(fd, c);
    }
    c.unread.erase(0, c.unread.size() - rest.size());
  }

  void skip_body(int fd, Connection& c, std::string_view& bytes) {
    const uint64_t skipped = std::min<uint64_t>(c.body_left, bytes.size());
    bytes.remove_prefix(skipped);
    c.body_left -= skipped;
    counts.body_bytes += skipped;
    if (c.body_left > 0) return;
    c.in_body = false;
    on_request(fd, c);
  }

  void on_request(int fd, Connection& c) {
    if (delay_ns_ == 0) {
      ++c.answers;
    } else {
      due_.push_back({now_ns() + delay_ns_, fd, c.serial});
    }
  }

  int wait_ms() const {
    const uint64_t now = now_ns();
    return due_.front().at_ns <= now ? 0
                                     : static_cast<int>((due_.front().at_ns - now) / 1'000'000) + 1;
  }

  void answer_due() {
    for (const uint64_t now = now_ns(); !due_.empty() && due_.front().at_ns <= now;
         due_.pop_front()) {
      const auto found = connections_.find(due_.front().fd);
      if (found == connections_.end() || found->second.serial != due_.front().serial) continue;
      ++found->second.answers;
      if (!flush(found->first, found->second)) end(found->first);
    }
  }

  // False: the connection is over.
  bool flush(int fd, Connection& c) {
    while (c.answers > 0 || !c.stats.empty()) {
      const std::string& text = c.answers > 0 ? answer : c.stats;
      const ssize_t sent = send(fd, text.data() + c.sent, text.size() - c.sent, MSG_NOSIGNAL);
      if (sent < 0 && errno != EAGAIN) return false;
      if (sent < 0) break;
      c.sent += static_cast<uint64_t>(sent);
      if (c.sent < text.size()) continue;
      c.sent = 0;
      c.answers > 0 ? static_cast<void>(--c.answers) : c.stats.clear();
    }
    const bool waits = c.answers > 0 || !c.stats.empty();
    if (waits != c.waits_for_space) watch(fd, EPOLL_CTL_MOD, waits ? EPOLLIN | EPOLLOUT : EPOLLIN);
    c.waits_for_space = waits;
    return true;
  }

  int listener_;
  int epoll_;
  uint64_t delay_ns_;
  std::unordered_map<int, Connection> connections_;
  std::deque<Due> due_;
};

}  // namespace

int main(int argc, char** argv) {
  const char* address = "127.0.0.1";
  uint16_t port = 0;
  size_t body = 128;
  uint64_t delay_ms = 0;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view name = argv[i];
    if (name == "--port") port = static_cast<uint16_t>(atoi(argv[i + 1]));
    if (name == "--body") body = strtoull(argv[i + 1], nullptr, 10);
    if (name == "--delay-ms") delay_ms = strtoull(argv[i + 1], nullptr, 10);
    if (name == "--address") address = argv[i + 1];
  }
  if (port == 0) {
    fprintf(stderr, "usage: bench_origin --port N [--body BYTES] [--delay-ms N] [--address A]\n");
    return 2;
  }
  signal(SIGPIPE, SIG_IGN);
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  answer = make_answer(std::string(body, 'x'), "text/plain");
  Server(address, port, delay_ms * 1'000'000).run();
}
