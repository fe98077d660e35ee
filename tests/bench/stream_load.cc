// bench_stream: both ends of what is not HTTP requests, for l4_cases.py.
//   bench_stream serve --port N          echoes TCP and UDP on 127.0.0.1:N. A connection that
//   begins with 'S' gets bytes
//                                        without end; one that begins with "GET " gets a 101 and
//                                        then its own frames.
//   bench_stream tcp|bulk|udp|ws --port N [--connections C] [--bytes B] [--seconds S]
//                                        one message under way on each connection (bulk: as much as
//                                        comes); prints JSON.
// A message fails when it does not come back whole; for UDP when nothing came for a second.
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

constexpr size_t kRoom = 1 << 20;
constexpr std::string_view kUpgrade =
    "GET / HTTP/1.1\r\nHost: bench.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
constexpr std::string_view kSwitched =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";  // The example of RFC 6455,
                                                                   // section 1.3.

constexpr std::string_view kPlain =
    "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

std::array<char, kRoom> room;
volatile sig_atomic_t end_asked = 0;

uint64_t now_ns() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<uint64_t>(t.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(t.tv_nsec);
}

[[noreturn]] void fail(const char* what) {
  std::perror(what);
  std::exit(1);
}

sockaddr_in loopback(uint16_t port) {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return to;
}

void watch(int epoll, int fd, uint32_t events, void* owner) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = owner;
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0) fail("epoll_ctl");
}

// ---- the server ----

struct Served {
  int fd = -1;
  bool begun = false;
  bool source = false;
  std::string unsent;  // Echoes only.
};

bool asks_for_upgrade(std::string_view head) {
  std::string lower(head);
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return lower.find("upgrade: websocket") != std::string::npos;
}

// False: over.
bool serve_readable(int epoll, Served& served) {
  if (!served.unsent.empty()) return true;  // One thing after the other.
  const ssize_t size = ::recv(served.fd, room.data(), room.size(), MSG_DONTWAIT);
  if (size < 0) return errno == EAGAIN;
  if (size == 0) return false;
  std::string_view bytes(room.data(), static_cast<size_t>(size));
  if (!std::exchange(served.begun, true)) {
    if (bytes[0] == 'S') {
      served.source = true;
      epoll_event event{};
      event.events = EPOLLOUT;
      event.data.ptr = &served;
      epoll_ctl(epoll, EPOLL_CTL_MOD, served.fd, &event);
      return true;
    }
    if (bytes.starts_with("GET ")) bytes = asks_for_upgrade(bytes) ? kSwitched : kPlain;
  }
  const ssize_t sent = ::send(served.fd, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent < 0 && errno != EAGAIN) return false;
  bytes.remove_prefix(static_cast<size_t>(std::max<ssize_t>(sent, 0)));
  served.unsent = bytes;
  return true;
}

bool serve_writable(Served& served) {
  if (served.source) {
    return ::send(served.fd, room.data(), 256 << 10, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0 ||
           errno == EAGAIN;
  }
  if (served.unsent.empty()) return true;
  const ssize_t sent =
      ::send(served.fd, served.unsent.data(), served.unsent.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent < 0) return errno == EAGAIN;
  served.unsent.erase(0, static_cast<size_t>(sent));
  return true;
}

void echo_datagrams(int fd) {
  while (true) {
    sockaddr_in from{};
    socklen_t length = sizeof from;
    const ssize_t size = ::recvfrom(fd, room.data(), room.size(), MSG_DONTWAIT,
                                    reinterpret_cast<sockaddr*>(&from), &length);
    if (size < 0) return;
    ::sendto(fd, room.data(), static_cast<size_t>(size), MSG_DONTWAIT,
             reinterpret_cast<sockaddr*>(&from), length);
  }
}

int serve(uint16_t port) {
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  const sockaddr_in at = loopback(port);
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const int datagrams = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  for (const int fd : {listener, datagrams}) {
    if (::bind(fd, reinterpret_cast<const sockaddr*>(&at), sizeof at) != 0) fail("bind");
  }
  if (::listen(listener, 1024) != 0) fail("listen");
  int marks[2];  // Addresses that are neither a connection's.
  watch(epoll, listener, EPOLLIN, &marks[0]);
  watch(epoll, datagrams, EPOLLIN, &marks[1]);
  std::array<epoll_event, 256> events;
  while (end_asked == 0) {
    const int count = epoll_wait(epoll, events.data(), events.size(), 1000);
    for (int i = 0; i < count; ++i) {
      void* owner = events[static_cast<size_t>(i)].data.ptr;
      if (owner == &marks[1]) {
        echo_datagrams(datagrams);
      } else if (owner == &marks[0]) {
        const int fd = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0) continue;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        auto* served = new Served;  // Freed below.
        served->fd = fd;
        watch(epoll, fd, EPOLLIN | EPOLLOUT | EPOLLET, served);
      } else {
        auto* served = static_cast<Served*>(owner);
        if (serve_writable(*served) && serve_readable(epoll, *served)) continue;
        ::close(served->fd);
        delete served;
      }
    }
  }
  return 0;
}

// ---- the client ----

struct Options {
  std::string mode;
  uint16_t port = 0;
  size_t connections = 64;
  size_t bytes = 128;
  double seconds = 4;
};

struct Connection {
  int fd = -1;
  size_t awaited = 0;
};

class Client {
 public:
  explicit Client(const Options& options)
      : options_(options), epoll_(epoll_create1(EPOLL_CLOEXEC)) {
    message_.assign(options.bytes, 'm');
    if (options.mode == "ws") message_ = frame(options.bytes);
    if (options.mode == "bulk") message_ = "S";
    connections_.resize(options.connections);
    for (Connection& connection : connections_) open(connection);
  }

  int run() {
    for (Connection& connection : connections_) ask(connection);
    const uint64_t begin_ns = now_ns();
    const uint64_t end_ns = begin_ns + static_cast<uint64_t>(options_.seconds * 1e9);
    uint64_t heard_ns = begin_ns;
    std::array<epoll_event, 256> events;
    while (now_ns() < end_ns) {
      const int count = epoll_wait(epoll_, events.data(), events.size(), 100);
      for (int i = 0; i < count; ++i)
        hear(*static_cast<Connection*>(events[static_cast<size_t>(i)].data.ptr));
      if (count > 0) heard_ns = now_ns();
      if (options_.mode == "udp" &&
          now_ns() - heard_ns > 1'000'000'000) {  // All were lost: begin again.
        failed_ += connections_.size();
        for (Connection& connection : connections_) ask(connection);
        heard_ns = now_ns();
      }
    }
    const double seconds = static_cast<double>(now_ns() - begin_ns) / 1e9;
    std::printf("{\"messages\": %lu, \"bytes\": %lu, \"failed\": %lu, \"seconds\": %.3f}\n",
                messages_, bytes_, failed_, seconds);
    return 0;
  }

 private:
  // A masked binary frame of a client (RFC 6455 section 5.2); its mask is zero.
  static std::string frame(size_t bytes) {
    std::string out{'\x82'};
    if (bytes < 126) {
      out += static_cast<char>(0x80 | bytes);
    } else {
      out += static_cast<char>(0x80 | 126);
      out += static_cast<char>(bytes >> 8);
      out += static_cast<char>(bytes & 0xff);
    }
    return out + std::string(4 + bytes, '\0');
  }

  void open(Connection& connection) {
    const bool udp = options_.mode == "udp";
    connection.fd = ::socket(AF_INET, (udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);
    const sockaddr_in to = loopback(options_.port);
    if (::connect(connection.fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0)
      fail("connect");
    const int on = 1;
    if (!udp) setsockopt(connection.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (options_.mode == "ws") upgrade(connection.fd);
    watch(epoll_, connection.fd, EPOLLIN, &connection);
  }

  static void upgrade(int fd) {
    if (::send(fd, kUpgrade.data(), kUpgrade.size(), MSG_NOSIGNAL) < 0) fail("send");
    std::string head;
    while (!head.ends_with("\r\n\r\n")) {
      char c;
      if (::recv(fd, &c, 1, 0) != 1) fail("no answer to the upgrade");
      head += c;
    }
    if (!head.starts_with("HTTP/1.1 101 ")) {
      std::fprintf(stderr, "not a 101: %s\n", head.c_str());
      std::exit(1);
    }
  }

  void ask(Connection& connection) {
    connection.awaited = message_.size();
    if (::send(connection.fd, message_.data(), message_.size(), MSG_NOSIGNAL) !=
        static_cast<ssize_t>(message_.size()))
      ++failed_;
  }

  void hear(Connection& connection) {
    const ssize_t size = ::recv(connection.fd, room.data(), room.size(), MSG_DONTWAIT);
    if (size < 0 && (errno == EAGAIN || options_.mode == "udp")) return;
    if (size <= 0) {
      ++failed_;
      epoll_ctl(epoll_, EPOLL_CTL_DEL, connection.fd, nullptr);
      return;
    }
    bytes_ += static_cast<uint64_t>(size);
    if (options_.mode == "bulk") return;
    connection.awaited -= std::min(connection.awaited, static_cast<size_t>(size));
    if (connection.awaited > 0) return;
    ++messages_;
    ask(connection);
  }

  Options options_;
  int epoll_;
  std::string message_;
  std::vector<Connection> connections_;
  uint64_t messages_ = 0, bytes_ = 0, failed_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  signal(SIGPIPE, SIG_IGN);
  signal(SIGTERM, [](int) { end_asked = 1; });
  Options options;
  options.mode = argc > 1 ? argv[1] : "";
  for (int i = 2; i + 1 < argc; i += 2) {
    const std::string_view name = argv[i];
    if (name == "--port") options.port = static_cast<uint16_t>(std::atoi(argv[i + 1]));
    if (name == "--connections") options.connections = static_cast<size_t>(std::atol(argv[i + 1]));
    if (name == "--bytes") options.bytes = static_cast<size_t>(std::atol(argv[i + 1]));
    if (name == "--seconds") options.seconds = std::atof(argv[i + 1]);
  }
  if (options.mode == "serve") return serve(options.port);
  for (const std::string_view mode : {"tcp", "bulk", "udp", "ws"}) {
    if (options.mode == mode) return Client(options).run();
  }
  std::fprintf(stderr,
               "usage: bench_stream serve|tcp|bulk|udp|ws --port N [--connections C] [--bytes B] "
               "[--seconds S]\n");
  return 2;
}
