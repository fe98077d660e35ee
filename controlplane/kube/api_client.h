// Requests to a Kubernetes API server: HTTP/1.1, connections reused when they are free, TLS and
// credentials of a Config. One thread of its own drives all of them by libcurl.
//
// Thread rule: call(), stop() and loop().post() from any thread but the loop's own; start() and
// cancel() on the loop's thread, where all handlers run.
#pragma once

#include <chrono>
#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "controlplane/kube/config.h"
#include "controlplane/kube/loop.h"

namespace ringway::kube {

struct Request {
  std::string method = "GET";
  std::string path;          // "/api/v1/namespaces/shop/services"
  std::string query;         // "limit=500&continue=…" without the '?', values by query_escape().
  std::string content_type;  // Of the body: "application/json", "application/merge-patch+json", …
  std::string body;
  std::string accept = "application/json";
  std::chrono::milliseconds timeout{30'000};  // Of the whole, retries included. Streams: see below.
  size_t body_bytes_max = 64u << 20;          // Of the answer; a larger one is Fault::kTooLarge.
};

struct Response {
  int status = 0;  // Any HTTP status: a refusal by the server is an answer too.
  std::string body;
  std::optional<std::chrono::seconds> retry_after;  // Retry-After in seconds, at most an hour.
  bool ok() const { return status >= 200 && status < 300; }
};

enum class Fault : uint8_t {
  kUnreachable,  // Name lookup, connect, or TLS failed.
  kBroken,       // The connection ended in the middle of the answer.
  kTimeout,      // No whole answer in time.
  kSilent,       // A stream: no byte for `silence_max`. Its connection was closed.
  kTooLarge,
  kCancelled,  // stop() was called.
};

struct Failure {
  Fault fault = Fault::kBroken;
  std::string message;  // One line for people: "https://10.0.0.1:443: connection refused".
};

using Result = std::expected<Response, Failure>;

// A watch, or anything whose body is read as it comes.
struct Stream {
  // No byte for so long ends it as kSilent, and closes the connection it ran on together with
  // all other streams there: what is half open for one is so for all. Also the limit for the head.
  std::chrono::milliseconds silence_max{180'000};
  std::function<void()> on_open;                  // The head came and is 2xx. May be empty.
  std::function<void(std::string_view)> on_data;  // A part of the body of a 2xx answer.
  // Once, last. Answers that are not 2xx have their body here; with 2xx the body is empty.
  std::function<void(Result)> on_end;
};

class ApiClient {
 public:
  struct Options {
    std::string user_agent = "ringway-controller/" RINGWAY_VERSION;
    std::chrono::milliseconds connect_timeout{10'000};
  };
  using CallId = uint64_t;  // Never 0.

  // The connection is made with the first request. Throws std::system_error when descriptors run
  // out.
  explicit ApiClient(Config config) : ApiClient(std::move(config), Options()) {}
  ApiClient(Config config, Options options);
  ~ApiClient();  // stop()
  ApiClient(const ApiClient&) = delete;
  ApiClient& operator=(const ApiClient&) = delete;

  // Waits for the answer. 401 with a token from a file: the file is read again and the request sent
  // once more. 429 and 503 with Retry-After: sent again after that, as long as `timeout` allows.
  Result call(Request request);

  // The same without waiting; `on_end` runs once, later, on the loop's thread. After stop() nothing
  // is sent and nothing called.
  CallId start(Request request, std::function<void(Result)> on_end);
  // 401 as above; 429 and 503 are the caller's. `request.timeout` is not looked at.
  CallId start(Request request, Stream stream);
  // Nothing of it is called any more. Those that ended are no error.
  void cancel(CallId call);

  // All calls end with kCancelled, later ones at once. Any thread but the loop's; once or more.
  void stop();

  Loop& loop();
  const Config& config() const;

 private:
  class Core;
  std::unique_ptr<Core> core_;
};

// Percent-encodes a value of a query.
std::string query_escape(std::string_view value);

// The "message" of a metav1.Status in the body, or the status's number: for messages to people.
std::string describe(const Response& response);

}  // namespace ringway::kube
