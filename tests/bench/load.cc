// bench_load --port N [options]: a closed-loop HTTP/1.1 client with keep-alive connections that counts every way a request can fail.
// Prints one JSON object at the end, or when SIGTERM asks for the end. `--help` names the options.
//
// A request fails when it gets no complete answer with the wanted status. `stale` counts the one case a client may repeat safely: a reused
// connection closed before any byte of the answer (RFC 9112 section 9.5); it is repeated on a fresh connection and reported beside the rest.
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <signal.h>
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
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "tests/bench/response_reader.h"

namespace {

using ringway::bench::ResponseReader;

struct Options {
  std::string address = "127.0.0.1";
  uint16_t port = 0;
  std::string authority = "bench.test";
  std::string path = "/";
  std::vector<std::string> headers;
  int connections = 64;
  double seconds = 5;
  double rate = 0;             // Requests per second of all connections together; 0 = as fast as answers come.
  uint64_t requests = 0;       // Of all connections together; 0 = until the time is over.
  int64_t body_bytes = -1;     // What each answer's body must have; -1 = any.
  int status = 200;
  uint64_t per_connection = 0; // Requests before the client closes and connects again; 0 = never.
  double hold = 0;             // One request per connection, then idle so long; prints "idle" when all are.
};

struct Result {
  uint64_t ok = 0, connects = 0, stale = 0;
  uint64_t refused = 0, connect_error = 0, reset = 0, eof = 0, bad_status = 0, bad_body = 0, bad_response = 0, timeout = 0;
  uint64_t body_bytes = 0;
  std::map<int, uint64_t> statuses;
  std::vector<uint32_t> latency_us;
  uint64_t failed() const {
    return refused + connect_error + reset + eof + bad_status + bad_body + bad_response + timeout;
  }
};

uint64_t now_ns() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<uint64_t>(t.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(t.tv_nsec);
}

volatile sig_atomic_t end_asked = 0;
void on_sigterm(int) { end_asked = 1; }

constexpr uint64_t kAnswerTimeoutNs = 20'000'000'000;

class Load {
 public:
  explicit Load(const Options& options) : options_(options), epoll_(epoll_create1(EPOLL_CLOEXEC)) {
    request_ = "GET " + options.path + " HTTP/1.1\r\nHost: " + options.authority + "\r\nUser-Agent: bench_load\r\nAccept: */*\r\n";
    for (const std::string& header : options.headers) request_ += header + "\r\n";
    request_ += "\r\n";
    to_.sin_family = AF_INET;
    to_.sin_port = htons(options.port);
    inet_pton(AF_INET, options.address.c_str(), &to_.sin_addr);
    connections_.resize(static_cast<size_t>(options.connections));
    result_.latency_us.reserve(1 << 20);
  }

  Result run() {
    start_ns_ = last_ok_ns_ = next_send_ns_ = now_ns();
    end_ns_ = start_ns_ + static_cast<uint64_t>(options_.seconds * 1e9);
    for (size_t i = 0; i < connections_.size(); ++i) ready_.push_back(i);
    while (true) {
      const uint64_t now = now_ns();
      ending_ = ending_ || end_asked != 0 || now >= end_ns_ || (options_.requests > 0 && started_ >= options_.requests);
      if (ending_ && in_flight_ == 0) break;
      if (!ending_) start_ready(now);
      if (now >= next_sweep_ns_) sweep(now);
      wait(now);
    }
    result_.latency_us.shrink_to_fit();
    longest_gap_ns_ = std::max(longest_gap_ns_, now_ns() - last_ok_ns_);
    return std::move(result_);
  }

  // One request on each connection, then nothing for `hold` seconds. Returns how many are still open at the end.
  int hold_idle() {
    Result result;
    int open = 0;
    for (Connection& c : connections_) {
      c.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      if (connect(c.fd, reinterpret_cast<const sockaddr*>(&to_), sizeof to_) != 0 ||
          send(c.fd, request_.data(), request_.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(request_.size())) {
        fprintf(stderr, "bench_load: connection %d: %s\n", open, strerror(errno));
        exit(1);
      }
      ResponseReader reader;
      char buffer[16384];
      while (!reader.complete()) {
        const ssize_t got = recv(c.fd, buffer, sizeof buffer, 0);
        if (got <= 0 || !reader.feed({buffer, static_cast<size_t>(got)})) exit(1);
      }
      ++open;
    }
    printf("idle %d\n", open);
    fflush(stdout);
    usleep(static_cast<useconds_t>(options_.hold * 1e6));
    open = 0;
    for (const Connection& c : connections_) {
      char byte;
      open += recv(c.fd, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN;
    }
    return open;
  }

  uint64_t elapsed_ns() const { return now_ns() - start_ns_; }
  uint64_t longest_gap_ns() const { return longest_gap_ns_; }

 private:
  struct Connection {
    int fd = -1;
    bool connecting = false;
    bool busy = false;
    uint64_t served = 0;          // Answers on this socket.
    uint64_t sent_ns = 0;
    uint64_t not_before_ns = 0;   // Pause after a failure.
    ResponseReader reader;
  };

  void start_ready(uint64_t now) {
    for (size_t left = ready_.size(); left > 0; --left) {
      if (options_.requests > 0 && started_ >= options_.requests) return;
      if (options_.rate > 0) {
        if (now < next_send_ns_) return;
        next_send_ns_ = std::max(next_send_ns_ + static_cast<uint64_t>(1e9 / options_.rate), now - 50'000'000);
      }
      const size_t index = ready_.front();
      ready_.pop_front();
      if (connections_[index].not_before_ns > now) {
        ready_.push_back(index);
        continue;
      }
      ++started_;
      ++in_flight_;
      begin(index, now);
    }
  }

  void begin(size_t index, uint64_t now) {
    Connection& c = connections_[index];
    c.busy = true;
    c.sent_ns = now;
    c.reader = ResponseReader();
    c.fd < 0 ? open_socket(index) : send_request(index);
  }

  void open_socket(size_t index) {
    Connection& c = connections_[index];
    c.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const int on = 1;
    setsockopt(c.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    c.served = 0;
    c.connecting = true;
    ++result_.connects;
    if (connect(c.fd, reinterpret_cast<const sockaddr*>(&to_), sizeof to_) != 0 && errno != EINPROGRESS) {
      return fail(index, errno == ECONNREFUSED ? result_.refused : result_.connect_error);
    }
    epoll_event event{};
    event.events = EPOLLIN | EPOLLOUT | EPOLLET;
    event.data.u64 = index;
    epoll_ctl(epoll_, EPOLL_CTL_ADD, c.fd, &event);
  }

  void send_request(size_t index) {
    Connection& c = connections_[index];
    // A request is far smaller than an empty socket buffer: it goes out whole or the connection is dead.
    if (send(c.fd, request_.data(), request_.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(request_.size())) {
      broken(index, result_.reset);
    }
  }

  void wait(uint64_t now) {
    epoll_event events[256];
    const bool paced = !ending_ && !ready_.empty();
    int timeout_ms = 20;
    if (paced) timeout_ms = next_send_ns_ > now && options_.rate > 0 ? static_cast<int>((next_send_ns_ - now) / 1'000'000) : 1;
    const int count = epoll_wait(epoll_, events, 256, timeout_ms);
    for (int i = 0; i < count; ++i) on_event(events[i].data.u64, events[i].events);
  }

  void on_event(size_t index, uint32_t what) {
    Connection& c = connections_[index];
    if (c.fd < 0) return;
    if (c.connecting) {
      int error = 0;
      socklen_t size = sizeof error;
      getsockopt(c.fd, SOL_SOCKET, SO_ERROR, &error, &size);
      if (error != 0) return fail(index, error == ECONNREFUSED ? result_.refused : result_.connect_error);
      if ((what & EPOLLOUT) == 0) return;
      c.connecting = false;
      send_request(index);
      return;
    }
    if ((what & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) read_answer(index);
  }

  void read_answer(size_t index) {
    Connection& c = connections_[index];
    char buffer[65536];
    for (;;) {
      const ssize_t got = recv(c.fd, buffer, sizeof buffer, 0);
      if (got < 0 && errno == EAGAIN) return;
      if (got <= 0) {
        if (!c.busy) return drop(c);  // The server closed an idle connection: its right.
        return broken(index, got == 0 ? result_.eof : result_.reset);
      }
      if (!c.busy || !c.reader.feed({buffer, static_cast<size_t>(got)})) return fail(index, result_.bad_response);
      if (c.reader.complete()) return finish(index);
    }
  }

  void finish(size_t index) {
    Connection& c = connections_[index];
    const uint64_t now = now_ns();
    ++result_.statuses[c.reader.status()];
    if (c.reader.status() != options_.status) {
      ++result_.bad_status;
    } else if (options_.body_bytes >= 0 && c.reader.body_bytes() != static_cast<uint64_t>(options_.body_bytes)) {
      ++result_.bad_body;
    } else {
      ++result_.ok;
      result_.body_bytes += c.reader.body_bytes();
      result_.latency_us.push_back(static_cast<uint32_t>((now - c.sent_ns) / 1000));
      longest_gap_ns_ = std::max(longest_gap_ns_, now - last_ok_ns_);
      last_ok_ns_ = now;
    }
    ++c.served;
    if (c.reader.wants_close() || (options_.per_connection > 0 && c.served >= options_.per_connection)) drop(c);
    idle(index);
  }

  // The connection ended under a request.
  void broken(size_t index, uint64_t& kind) {
    Connection& c = connections_[index];
    if (c.served > 0 && !c.reader.started()) {
      ++result_.stale;
      drop(c);
      begin(index, c.sent_ns);
      return;
    }
    fail(index, kind);
  }

  void fail(size_t index, uint64_t& kind) {
    ++kind;
    drop(connections_[index]);
    connections_[index].not_before_ns = now_ns() + 2'000'000;
    idle(index);
  }

  void drop(Connection& c) {
    if (c.fd >= 0) close(c.fd);
    c.fd = -1;
    c.connecting = false;
  }

  void idle(size_t index) {
    connections_[index].busy = false;
    --in_flight_;
    ready_.push_back(index);
  }

  void sweep(uint64_t now) {
    next_sweep_ns_ = now + 500'000'000;
    for (size_t i = 0; i < connections_.size(); ++i) {
      if (connections_[i].busy && now - connections_[i].sent_ns > kAnswerTimeoutNs) fail(i, result_.timeout);
    }
  }

  const Options options_;
  int epoll_;
  sockaddr_in to_{};
  std::string request_;
  std::vector<Connection> connections_;
  std::deque<size_t> ready_;
  Result result_;
  uint64_t start_ns_ = 0, end_ns_ = 0, next_send_ns_ = 0, next_sweep_ns_ = 0, last_ok_ns_ = 0, longest_gap_ns_ = 0;
  uint64_t started_ = 0, in_flight_ = 0;
  bool ending_ = false;
};

void usage(FILE* to) {
  fprintf(to,
          "usage: bench_load --port N [--address A] [--authority HOST] [--path P] [--header 'K: V']... [--connections N]\n"
          "                  [--seconds S] [--requests N] [--rate R] [--per-connection N] [--status CODE] [--body-bytes N] [--hold S]\n");
}

Options parse(int argc, char** argv) {
  Options o;
  for (int i = 1; i < argc; i += 2) {
    const std::string_view name = argv[i];
    if (name == "--help") usage(stdout), exit(0);
    if (i + 1 >= argc) usage(stderr), exit(2);
    const char* value = argv[i + 1];
    if (name == "--port") o.port = static_cast<uint16_t>(atoi(value));
    else if (name == "--address") o.address = value;
    else if (name == "--authority") o.authority = value;
    else if (name == "--path") o.path = value;
    else if (name == "--header") o.headers.emplace_back(value);
    else if (name == "--connections") o.connections = atoi(value);
    else if (name == "--seconds") o.seconds = atof(value);
    else if (name == "--requests") o.requests = strtoull(value, nullptr, 10);
    else if (name == "--rate") o.rate = atof(value);
    else if (name == "--per-connection") o.per_connection = strtoull(value, nullptr, 10);
    else if (name == "--status") o.status = atoi(value);
    else if (name == "--body-bytes") o.body_bytes = atoll(value);
    else if (name == "--hold") o.hold = atof(value);
    else usage(stderr), exit(2);
  }
  if (o.port == 0 || o.connections <= 0) usage(stderr), exit(2);
  return o;
}

void print(Result& r, const Load& load) {
  std::sort(r.latency_us.begin(), r.latency_us.end());
  const auto at = [&](double share) -> unsigned {
    return r.latency_us.empty() ? 0 : r.latency_us[static_cast<size_t>(share * static_cast<double>(r.latency_us.size() - 1))];
  };
  std::string statuses;
  for (const auto& [status, count] : r.statuses) {
    statuses += (statuses.empty() ? "\"" : ",\"") + std::to_string(status) + "\":" + std::to_string(count);
  }
  const auto number = [](uint64_t n) { return static_cast<unsigned long long>(n); };
  printf("{\"ok\":%llu,\"failed\":%llu,\"stale\":%llu,\"connects\":%llu,\"refused\":%llu,\"connect_error\":%llu,\"reset\":%llu,\"eof\":%llu,"
         "\"bad_status\":%llu,\"bad_body\":%llu,\"bad_response\":%llu,\"timeout\":%llu,\"statuses\":{%s},\"body_bytes\":%llu,"
         "\"seconds\":%.3f,\"longest_gap_ms\":%.1f,\"p50_us\":%u,\"p99_us\":%u,\"max_us\":%u}\n",
         number(r.ok), number(r.failed()), number(r.stale), number(r.connects), number(r.refused), number(r.connect_error),
         number(r.reset), number(r.eof), number(r.bad_status), number(r.bad_body), number(r.bad_response), number(r.timeout),
         statuses.c_str(), number(r.body_bytes), static_cast<double>(load.elapsed_ns()) / 1e9,
         static_cast<double>(load.longest_gap_ns()) / 1e6, at(0.5), at(0.99), at(1));
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  signal(SIGPIPE, SIG_IGN);
  signal(SIGTERM, on_sigterm);
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  Load load(options);
  if (options.hold > 0) {
    printf("open %d\n", load.hold_idle());
    return 0;
  }
  Result result = load.run();
  print(result, load);
}
