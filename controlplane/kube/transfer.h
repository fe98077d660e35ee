// One exchange with the server on one curl handle, from its first try to its end. Only
// ApiClient::Core makes them. Loop's thread only.
#pragma once

#include <curl/curl.h>

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "controlplane/kube/api_client.h"

namespace ringway::kube {

// Invariant: curl's callbacks only append to the members here. Handlers run later, outside of curl,
// because a handler may start or cancel transfers and curl forbids that inside a callback.
struct Transfer {
  uint64_t id = 0;
  Request request;
  std::optional<Stream> stream;        // Set: a stream. Else:
  std::function<void(Result)> on_end;  // one answer.
  uint64_t deadline_ns = 0;            // Of the whole, for one answer.

  CURL* easy = nullptr;  // Between tries nullptr.
  curl_slist* headers = nullptr;
  std::array<char, CURL_ERROR_SIZE> error{};
  bool credentials_renewed = false;  // 401 was answered once.

  // Of this try.
  int status = 0;
  bool head_complete = false;
  bool opened = false;  // on_open was called.
  bool too_large = false;
  std::string received;  // Of a stream: not handed over yet. Else the body so far.
  std::optional<std::chrono::seconds> retry_after;
  uint64_t last_byte_ns = 0;
  Loop::TimerId timer = 0;  // Silence of a stream; wait before the next try.

  bool streams_ok() const { return stream.has_value() && status >= 200 && status < 300; }

  // Lets curl append to this transfer; `now_ns` is read for every part.
  void attach(std::function<void()> on_progress);
  void forget_try();  // Frees what belongs to a try; the handle goes back to the caller first.
  Response take_response();

 private:
  static size_t on_header(char* bytes, size_t size, size_t count, void* self);
  static size_t on_body(char* bytes, size_t size, size_t count, void* self);
  void take_header(std::string_view line);

  std::function<void()> on_progress_;
};

}  // namespace ringway::kube
