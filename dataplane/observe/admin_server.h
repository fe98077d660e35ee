// The admin endpoint: a small HTTP/1.1 server on the control thread's ring. People and kubelets ask
// it; it must answer when the proxy is in trouble, and no client of it may harm the proxy.
//
// Thread rule: the control thread's; handlers run there, from Ring::turn().
// Bounds: connections_max connections (one more closes the one that waits for a request longest, or
// is closed itself), a head within header_timeout_ns, an idle connection idle_timeout_ns, a
// response progresses within write_timeout_ns and is taken within response_timeout_ns;
// answer_bytes_max of answers not yet taken (503 above, but for a single one); request bodies are
// not read (413), one request at a time each.
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/io/ring.h"
#include "dataplane/io/timer_wheel.h"

namespace ringway::observe {

struct AdminRequest {
  std::string path;   // Canonical, without query.
  std::string query;  // Without '?'.
  // True when the query has the parameter, with any value or none: /readyz?verbose.
  bool has(std::string_view parameter) const;
};

struct AdminResponse {
  uint16_t status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
  // For a long answer, written piece by piece as the client takes it: appends the next piece to the
  // empty string; false: that was the last. Called on the control thread until then, or dropped.
  std::function<bool(std::string&)> more = nullptr;
};

// Answers once, from inside the handler or later on the control thread. A reply that is never
// called is answered with 503 after response_timeout_ns; calls after that, or after the client
// left, are ignored.
using AdminReply = std::function<void(AdminResponse)>;
using AdminHandler = std::function<void(const AdminRequest& request, AdminReply reply)>;

struct AdminServerOptions {
  uint32_t connections_max = 64;
  uint64_t header_timeout_ns = 10'000'000'000;
  uint64_t idle_timeout_ns = 30'000'000'000;
  uint64_t write_timeout_ns = 10'000'000'000;
  uint64_t response_timeout_ns = 30'000'000'000;
  size_t answer_bytes_max = 64u << 20;
};

struct AdminServerStats {
  uint64_t connections = 0;
  uint64_t connections_refused = 0;  // Closed to make room.
  uint64_t requests = 0;
  uint64_t timeouts = 0;
  uint32_t active = 0;  // Open ones and those on their way out.
};

class AdminServer {
 public:
  AdminServer(io::Ring& ring, io::TimerWheel& wheel, const AdminServerOptions& options);
  ~AdminServer();  // CHECKs stopped().
  AdminServer(const AdminServer&) = delete;
  AdminServer& operator=(const AdminServer&) = delete;

  // GET and HEAD of exactly this path. Before or after start().
  void handle(std::string path, AdminHandler handler);
  // The same for an answer that is there at once.
  void handle(std::string path, std::function<AdminResponse(const AdminRequest&)> handler);

  // Takes over a listening socket. Error: one line.
  std::expected<void, std::string> start(int listening_fd);
  // Stops accepting, lets responses in flight end, closes the rest; drive ring and wheel until
  // stopped().
  void stop(uint64_t deadline_ns);
  bool stopped() const;
  const AdminServerStats& stats() const { return stats_; }

 private:
  class Connection;
  enum class State : uint8_t { kStopped, kRunning, kStopping };

  void accept();
  void on_accept(io::Completion&& completion);
  void on_accept_timer();
  void on_stop_timer();
  void on_listener_closed(io::Completion&& completion);
  void close_listener();
  void make_room(Connection& newcomer);
  void release(Connection& connection);
  void finish_if_drained();

  io::Ring& ring_;
  io::TimerWheel& wheel_;
  AdminServerOptions options_;
  AdminServerStats stats_;
  size_t answer_bytes_ = 0;  // Of answers being written.
  State state_ = State::kStopped;
  std::map<std::string, AdminHandler, std::less<>> handlers_;
  io::Socket listener_;
  io::AcceptOp accept_;
  io::Op close_;
  io::Timer accept_timer_;  // EMFILE: pause.
  io::Timer stop_timer_;
  std::vector<std::unique_ptr<Connection>> connections_;  // Slots; reused.
  std::vector<Connection*> free_;
};

}  // namespace ringway::observe
