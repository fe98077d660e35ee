// One watch request: bytes → events. Ends for one of few reasons, which decide what comes after.
// Loop's thread only.
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "controlplane/kube/api_client.h"
#include "controlplane/kube/wire.h"

namespace ringway::kube {

struct WatchEnd {
  enum class Why : uint8_t {
    kClosed,       // As watches end: timeoutSeconds passed, the server restarts.
    kGone,         // 410: the resourceVersion is too old. List again.
    kRefused,      // Another answer than 2xx, or an ERROR event with that code.
    kUnsupported,  // 400, 404, 405, 422, 500, 501: the server does not take such a request.
    kSilent,       // Nothing came for too long.
    kFailed,       // No connection, or it broke; or what came is not a watch.
    kCancelled,    // The client was stopped.
  };
  Why why = Why::kClosed;
  int status = 0;
  std::chrono::seconds retry_after{0};
  std::string message;  // For people.
};

class Watch {
 public:
  struct Handlers {
    std::function<void()> on_open;  // The server took it. May be empty.
    std::function<void(const WatchEvent&)> on_event;
    std::function<void(WatchEnd)> on_end;  // Once, last.
  };
  struct Limits {
    std::chrono::milliseconds silence_max{180'000};
    size_t line_bytes_max = 16u << 20;  // Of one event.
  };

  explicit Watch(ApiClient& client) : client_(client) {}
  ~Watch() { cancel(); }
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  // One under way is cancelled. Handlers may start() and cancel() this object.
  void start(Request request, Limits limits, Handlers handlers);
  void cancel();
  bool running() const { return call_ != 0; }

 private:
  void on_data(std::string_view part);
  bool on_line(std::string_view line);
  void end(WatchEnd end);

  ApiClient& client_;
  ApiClient::CallId call_ = 0;  // 0: none.
  uint64_t round_ = 0;          // Counts starts and cancels: a handler may do either.
  Handlers handlers_;
  Limits limits_;
  std::string rest_;  // Of a line whose end has not come.
};

}  // namespace ringway::kube
