// bench_guard [REQUESTS [TRACE]]: a whole worker on FlatRing serves fixed traces, and what it does
// per request is counted: calls of the allocator and submissions to the ring here, instructions by
// callgrind when it runs under it (--collect-atstart=no; a dump per trace, named after it).
// guard.py runs it and compares with guard.json. Prints a JSON object. The same program on the same
// machine gives the same numbers.
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/worker/worker.h"
#include "tests/bench/flat_ring.h"
#include "tests/bench/guard_world.h"

#if __has_include(<valgrind/callgrind.h>)
#include <valgrind/callgrind.h>
#else
#define CALLGRIND_ZERO_STATS
#define CALLGRIND_DUMP_STATS_AT(name) static_cast<void>(name)
#endif

namespace ringway::bench {
namespace {

constexpr uint64_t kWarmUp = 256;  // Pools and free lists have what they need.

struct Named {
  const char* name;
  Trace trace;
};

std::string response_of(size_t bytes) {
  return "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nServer: origin\r\nCache-Control: "
         "no-cache\r\nContent-Length: " +
         std::to_string(bytes) + "\r\n\r\n" + std::string(bytes, 'x');
}

std::string request_of(size_t upload, int fields) {
  std::string text = upload > 0 ? "POST" : "GET";
  text +=
      " /some/path?with=a&query=string HTTP/1.1\r\nHost: bench.test\r\nUser-Agent: Mozilla/5.0 "
      "(X11; Linux x86_64) guard\r\n"
      "Accept: text/html,application/xhtml+xml\r\nAccept-Encoding: gzip, deflate, br\r\nCookie: "
      "session=0123456789abcdef\r\n";
  for (int i = 0; i < fields; ++i)
    text += "X-Field-" + std::to_string(i) + ": value-" + std::to_string(i) + "-of-some-length\r\n";
  if (upload > 0) text += "Content-Length: " + std::to_string(upload) + "\r\n";
  return text + "\r\n" + std::string(upload, 'u');
}

class Run {
 public:
  explicit Run(const Trace& trace) : ring_(io::RingOptions{.sockets_max = 512}, trace) {
    worker::WorkerOptions options;
    options.wall_clock = [] { return int64_t{1'700'000'000'000'000'000}; };
    options.retire = [](std::shared_ptr<const config::Snapshot>) {};
    worker_ = std::make_unique<worker::Worker>(ring_, std::move(options));
    worker_->publish(guard_snapshot(guard_address(80, 0x0A000001)),
                     {{"http", "guard", socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)}});
  }
  ~Run() {
    ring_.hurry();
    worker_->drain(ring_.now_ns(), ring_.now_ns() + kNsPerSecond);
    while (!worker_->finished()) worker_->turn();
  }

  void serve(uint64_t requests) {
    ring_.ask(requests);
    for (uint64_t turns = 0; !ring_.answered(); ++turns) {
      CHECK(turns < 1000 * requests);
      count_on();
      worker_->turn();
      count_off();
    }
  }
  const io::RingStats& stats() const { return ring_.stats(); }

 private:
  FlatRing ring_;
  std::unique_ptr<worker::Worker> worker_;
};

void measure(const Named& named, uint64_t requests, bool last) {
  Run run(named.trace);
  run.serve(kWarmUp);
  const uint64_t allocations = counted_allocations();
  const io::RingStats before = run.stats();
  CALLGRIND_ZERO_STATS;
  run.serve(requests);
  CALLGRIND_DUMP_STATS_AT(named.name);
  std::printf(
      "\"%s\":{\"requests\":%lu,\"allocations\":%lu,\"submissions\":%lu,\"completions\":%lu}%s",
      named.name, requests, counted_allocations() - allocations,
      run.stats().submissions - before.submissions, run.stats().completions - before.completions,
      last ? "}\n" : ",");
}

}  // namespace
}  // namespace ringway::bench

int main(int argc, char** argv) {
  using namespace ringway::bench;
  const uint64_t requests = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 512;
  std::vector<Named> traces = {
      {"get-1", {request_of(0, 0), response_of(128), 1}},
      {"get-64", {request_of(0, 0), response_of(128), 64}},
      {"fields-90", {request_of(0, 84), response_of(128), 64}},
      {"answer-16k", {request_of(0, 0), response_of(16384), 64}},
      {"upload-16k", {request_of(16384, 0), response_of(128), 64}},
  };
  if (argc > 2)
    std::erase_if(traces,
                  [&](const Named& named) { return std::string_view(named.name) != argv[2]; });
  if (traces.empty()) {
    std::fprintf(stderr, "bench_guard: no trace %s\n", argv[2]);
    return 2;
  }
  std::printf("{");
  for (size_t i = 0; i < traces.size(); ++i) measure(traces[i], requests, i + 1 == traces.size());
}
