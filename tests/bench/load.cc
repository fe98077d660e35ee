// bench_load --port N [options]: an HTTP/1.1 client with many connections that counts every way a
// request can fail. Prints one JSON object at the end, or when SIGTERM asks for the end. `--help`
// names the options.
//
// Closed loop by default: a connection asks again when it has its answer. With --rate requests are
// planned at even distances, whatever the server does, and a request's latency begins when it was
// planned to go, not when a connection was free for it: a server that stalls is charged for all
// that waited (coordinated omission). What was planned and had not begun 2 s after the end is
// `unsent`.
//
// A request fails when it gets no complete answer with the wanted status. `stale` counts the one
// case a client may repeat safely: a reused connection closed before any byte of the answer (RFC
// 9112 section 9.5); it is repeated on a fresh connection and reported beside the rest.
#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
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
#include <vector>

#include "tests/bench/client_socket.h"
#include "tests/bench/load_options.h"
#include "tests/bench/response_reader.h"

namespace {

using ringway::bench::ClientSocket;
using ringway::bench::LoadOptions;
using ringway::bench::ResponseReader;
using Io = ClientSocket::Result;

struct Result {
  uint64_t ok = 0, connects = 0, stale = 0, unsent = 0;
  uint64_t refused = 0, connect_error = 0, reset = 0, eof = 0, bad_status = 0, bad_body = 0,
           bad_response = 0, timeout = 0;
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
constexpr uint64_t kBacklogNs = 2'000'000'000;

// Heads, and the body behind each, of what is asked in turn.
std::vector<std::string> make_requests(const LoadOptions& options) {
  std::vector<std::string> out;
  for (uint32_t host = 0; host < options.hosts; ++host) {
    std::string text =
        (options.upload > 0 ? "POST " : "GET ") + options.path +
        " HTTP/1.1\r\nHost: " + (options.hosts > 1 ? "h" + std::to_string(host) + "." : "") +
        options.authority + "\r\nUser-Agent: bench_load\r\nAccept: */*\r\n";
    for (const std::string& header : options.headers) text += header + "\r\n";
    for (uint32_t i = 0; i < options.fields; ++i) {
      text += "X-Bench-Field-" + std::to_string(i) + ": value-" + std::to_string(i) +
              "-of-some-length\r\n";
    }
    if (options.upload > 0)
      text += "Content-Type: application/octet-stream\r\nContent-Length: " +
              std::to_string(options.upload) + "\r\n";
    out.push_back(text + "\r\n");
  }
  return out;
}

class Load {
 public:
  explicit Load(const LoadOptions& options)
      : options_(options),
        epoll_(epoll_create1(EPOLL_CLOEXEC)),
        requests_(make_requests(options)),
        body_(std::min<uint64_t>(options.upload, 65536), 'u'),
        tls_((options.hosts > 1 ? "h0." : "") + options.authority, options.tls_resume) {
    route_.to.sin_family = AF_INET;
    route_.to.sin_port = htons(options.port);
    route_.sources = options.sources;
    inet_pton(AF_INET, options.address.c_str(), &route_.to.sin_addr);
    connections_.resize(static_cast<size_t>(options.connections));
    result_.latency_us.reserve(1 << 20);
  }

  Result run() {
    start_ns_ = last_ok_ns_ = now_ns();
    end_ns_ = start_ns_ + static_cast<uint64_t>(options_.seconds * 1e9);
    for (size_t i = 0; i < connections_.size(); ++i) ready_.push_back(i);
    while (true) {
      const uint64_t now = now_ns();
      ending_ = ending_ || end_asked != 0 || is_over(now);
      if (ending_ && in_flight_ == 0) break;
      if (!ending_) start_ready(now);
      if (now >= next_sweep_ns_) sweep(now);
      wait(now);
    }
    if (options_.rate > 0) result_.unsent = std::max(planned(now_ns()), started_) - started_;
    longest_gap_ns_ = std::max(longest_gap_ns_, now_ns() - last_ok_ns_);
    return std::move(result_);
  }

  // One request on each connection, then nothing for `hold` seconds. Returns how many are still
  // open at the end.
  int hold_idle() {
    int open = 0;
    for (Connection& c : connections_) {
      if (!c.socket.open(route_, tls(), true) || !ask_blocking(c)) {
        fprintf(stderr, "bench_load: connection %d: %s\n", open, strerror(errno));
        exit(1);
      }
      ++open;
    }
    printf("idle %d\n", open);
    fflush(stdout);
    usleep(static_cast<useconds_t>(options_.hold * 1e6));
    open = 0;
    for (const Connection& c : connections_) {
      pollfd asked{.fd = c.socket.fd(), .events = POLLRDHUP, .revents = 0};
      open += poll(&asked, 1, 0) == 0;
    }
    return open;
  }

  uint64_t elapsed_ns() const { return now_ns() - start_ns_; }
  uint64_t longest_gap_ns() const { return longest_gap_ns_; }
  const ringway::bench::Tls& tls_counts() const { return tls_; }

 private:
  struct Connection {
    ClientSocket socket;
    bool connecting = false;
    bool busy = false;
    uint64_t served = 0;         // Answers on this socket.
    uint64_t begin_ns = 0;       // Of the latency.
    uint64_t not_before_ns = 0;  // Pause after a failure.
    const std::string* head = nullptr;
    uint64_t sent = 0;  // Bytes of head and body.
    ResponseReader reader;
  };

  ringway::bench::Tls* tls() { return options_.tls ? &tls_ : nullptr; }

  // How many requests were to have begun by `now`.
  uint64_t planned(uint64_t now) const {
    return static_cast<uint64_t>(static_cast<double>(std::min(now, end_ns_) - start_ns_) *
                                 options_.rate / 1e9) +
           1;
  }
  uint64_t planned_at(uint64_t number) const {
    return start_ns_ + static_cast<uint64_t>(static_cast<double>(number) * 1e9 / options_.rate);
  }

  bool is_over(uint64_t now) const {
    if (options_.requests > 0 && started_ >= options_.requests) return true;
    if (now < end_ns_) return false;
    return options_.rate == 0 || started_ >= planned(now) || now >= end_ns_ + kBacklogNs;
  }

  void start_ready(uint64_t now) {
    for (size_t left = ready_.size(); left > 0; --left) {
      if (options_.requests > 0 && started_ >= options_.requests) return;
      if (options_.rate > 0 && started_ >= planned(now)) return;
      const size_t index = ready_.front();
      ready_.pop_front();
      if (connections_[index].not_before_ns > now) {
        ready_.push_back(index);
        continue;
      }
      const uint64_t begins = options_.rate > 0 ? planned_at(started_) : now;
      connections_[index].head = &requests_[started_ % requests_.size()];
      ++started_;
      ++in_flight_;
      begin(index, begins);
    }
  }

  void begin(size_t index, uint64_t begins) {
    Connection& c = connections_[index];
    c.busy = true;
    c.begin_ns = begins;
    c.sent = 0;
    c.reader = ResponseReader();
    if (!c.socket.is_open()) return open_socket(index);
    send_request(index);
  }

  void open_socket(size_t index) {
    Connection& c = connections_[index];
    c.served = 0;
    c.connecting = true;
    ++result_.connects;
    if (!c.socket.open(route_, tls()))
      return fail(index, errno == ECONNREFUSED ? result_.refused : result_.connect_error);
    epoll_event event{};
    event.events = EPOLLIN | EPOLLOUT | EPOLLET;
    event.data.u64 = index;
    epoll_ctl(epoll_, EPOLL_CTL_ADD, c.socket.fd(), &event);
  }

  // False: the connection is over.
  bool send_request(size_t index) {
    Connection& c = connections_[index];
    const uint64_t total = c.head->size() + options_.upload;
    while (c.sent < total) {
      const bool in_head = c.sent < c.head->size();
      const char* from = in_head ? c.head->data() + c.sent : body_.data();
      const uint64_t length =
          in_head ? c.head->size() - c.sent : std::min<uint64_t>(body_.size(), total - c.sent);
      size_t moved = 0;
      const Io io = c.socket.send({from, length}, moved);
      if (io == Io::kAgain) return true;
      if (io != Io::kDone) return broken(index, result_.reset), false;
      c.sent += moved;
    }
    return true;
  }

  bool ask_blocking(Connection& c) {
    size_t moved = 0;
    char buffer[16384];
    for (std::string_view left = requests_[0]; !left.empty(); left.remove_prefix(moved)) {
      if (c.socket.send(left, moved) != Io::kDone) return false;
    }
    while (!c.reader.complete()) {
      if (c.socket.receive(buffer, moved) != Io::kDone || !c.reader.feed({buffer, moved}))
        return false;
    }
    c.reader = ResponseReader();
    return true;
  }

  void wait(uint64_t now) {
    epoll_event events[256];
    uint64_t timeout_ns = 20'000'000;
    if (!ending_ && !ready_.empty()) {
      const uint64_t next = options_.rate > 0 ? planned_at(started_) : 0;
      timeout_ns = next > now ? next - now : options_.rate > 0 && now < end_ns_ ? 0 : 1'000'000;
    }
    const timespec timeout{.tv_sec = static_cast<time_t>(timeout_ns / 1'000'000'000),
                           .tv_nsec = static_cast<long>(timeout_ns % 1'000'000'000)};
    const int count = epoll_pwait2(epoll_, events, 256, &timeout, nullptr);
    for (int i = 0; i < count; ++i) on_event(events[i].data.u64, events[i].events);
  }

  void on_event(size_t index, uint32_t what) {
    Connection& c = connections_[index];
    if (!c.socket.is_open()) return;
    if (c.connecting) {
      int error = 0;
      socklen_t size = sizeof error;
      getsockopt(c.socket.fd(), SOL_SOCKET, SO_ERROR, &error, &size);
      if (error != 0)
        return fail(index, error == ECONNREFUSED ? result_.refused : result_.connect_error);
      if ((what & EPOLLOUT) == 0) return;
      c.connecting = false;
    }
    // A TLS handshake goes on inside of a send that waits.
    if (c.busy && !send_request(index)) return;
    if ((what & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 && c.socket.is_open()) read_answer(index);
  }

  void read_answer(size_t index) {
    Connection& c = connections_[index];
    static char buffer[262144];
    for (;;) {
      size_t moved = 0;
      const Io io = c.socket.receive(buffer, moved);
      if (io == Io::kAgain) return;
      if (io != Io::kDone) {
        if (!c.busy) return drop(c);  // The server closed an idle connection: its right.
        return broken(index, io == Io::kEnded ? result_.eof : result_.reset);
      }
      if (!c.busy) return ++result_.bad_response, drop(c);
      if (!c.reader.feed({buffer, moved})) return fail(index, result_.bad_response);
      if (c.reader.complete()) return finish(index);
    }
  }

  void finish(size_t index) {
    Connection& c = connections_[index];
    const uint64_t now = now_ns();
    ++result_.statuses[c.reader.status()];
    if (c.reader.status() != options_.status) {
      ++result_.bad_status;
    } else if (options_.body_bytes >= 0 &&
               c.reader.body_bytes() != static_cast<uint64_t>(options_.body_bytes)) {
      ++result_.bad_body;
    } else {
      ++result_.ok;
      result_.body_bytes += c.reader.body_bytes();
      result_.latency_us.push_back(static_cast<uint32_t>((now - std::min(now, c.begin_ns)) / 1000));
      longest_gap_ns_ = std::max(longest_gap_ns_, now - last_ok_ns_);
      last_ok_ns_ = now;
    }
    ++c.served;
    // An answer before the whole request was sent leaves a connection that nothing more can go on.
    const bool cut = c.sent < c.head->size() + options_.upload;
    if (cut || c.reader.wants_close() ||
        (options_.per_connection > 0 && c.served >= options_.per_connection))
      drop(c);
    idle(index);
  }

  // The connection ended under a request.
  void broken(size_t index, uint64_t& kind) {
    Connection& c = connections_[index];
    if (c.served > 0 && !c.reader.started()) {
      ++result_.stale;
      drop(c);
      begin(index, c.begin_ns);
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
    c.socket.close();
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
      if (connections_[i].busy && now > connections_[i].begin_ns + kAnswerTimeoutNs)
        fail(i, result_.timeout);
    }
  }

  const LoadOptions options_;
  int epoll_;
  ringway::bench::Route route_;
  std::vector<std::string> requests_;
  std::string body_;
  ringway::bench::Tls tls_;
  std::vector<Connection> connections_;
  std::deque<size_t> ready_;
  Result result_;
  uint64_t start_ns_ = 0, end_ns_ = 0, next_sweep_ns_ = 0, last_ok_ns_ = 0, longest_gap_ns_ = 0;
  uint64_t started_ = 0, in_flight_ = 0;
  bool ending_ = false;
};

void print(Result& r, const Load& load) {
  std::sort(r.latency_us.begin(), r.latency_us.end());
  const auto at = [&](double share) -> unsigned {
    return r.latency_us.empty() ? 0
                                : r.latency_us[static_cast<size_t>(
                                      share * static_cast<double>(r.latency_us.size() - 1))];
  };
  std::string statuses;
  for (const auto& [status, count] : r.statuses) {
    statuses +=
        (statuses.empty() ? "\"" : ",\"") + std::to_string(status) + "\":" + std::to_string(count);
  }
  const auto number = [](uint64_t n) { return static_cast<unsigned long long>(n); };
  const auto& tls = load.tls_counts();
  printf(
      "{\"ok\":%llu,\"failed\":%llu,\"stale\":%llu,\"unsent\":%llu,\"connects\":%llu,\"refused\":%"
      "llu,\"connect_error\":%llu,"
      "\"reset\":%llu,\"eof\":%llu,\"bad_status\":%llu,\"bad_body\":%llu,\"bad_response\":%llu,"
      "\"timeout\":%llu,\"statuses\":{%s},"
      "\"body_bytes\":%llu,\"handshakes\":%llu,\"resumed\":%llu,\"cipher\":\"%s\",",
      number(r.ok), number(r.failed()), number(r.stale), number(r.unsent), number(r.connects),
      number(r.refused), number(r.connect_error), number(r.reset), number(r.eof),
      number(r.bad_status), number(r.bad_body), number(r.bad_response), number(r.timeout),
      statuses.c_str(), number(r.body_bytes), number(tls.handshakes), number(tls.resumed),
      tls.cipher.c_str());
  printf(
      "\"seconds\":%.3f,\"longest_gap_ms\":%.1f,\"p50_us\":%u,\"p99_us\":%u,\"p999_us\":%u,\"max_"
      "us\":%u}\n",
      static_cast<double>(load.elapsed_ns()) / 1e9,
      static_cast<double>(load.longest_gap_ns()) / 1e6, at(0.5), at(0.99), at(0.999), at(1));
}

}  // namespace

int main(int argc, char** argv) {
  const LoadOptions options = ringway::bench::parse_load_options(argc, argv);
  signal(SIGPIPE, SIG_IGN);
  signal(SIGTERM, on_sigterm);
  prctl(PR_SET_TIMERSLACK, 1);  // Planned requests are tens of microseconds apart.
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
