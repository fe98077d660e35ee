// What runs an ApiClient's transfers: libcurl's multi interface on the loop's epoll. Everything but
// the constructor and loop() on the loop's thread.
#pragma once

#include <curl/curl.h>

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "controlplane/kube/api_client.h"
#include "controlplane/kube/token.h"
#include "controlplane/kube/transfer.h"

namespace ringway::kube {

Failure cancelled();

class ApiClient::Core {
 public:
  Core(Config config, Options options);
  ~Core();  // REQUIRES: the loop is stopped and cancel_all() ran on it.

  CallId start(Request request, std::optional<Stream> stream, std::function<void(Result)> on_end);
  void cancel(CallId call);
  void cancel_all();
  bool stopping() const { return stopping_; }
  Loop& loop() { return loop_; }
  const Config& config() const { return config_; }

 private:
  using Transfers = std::map<CallId, std::unique_ptr<Transfer>>;

  static int on_socket(CURL* easy, curl_socket_t fd, int what, void* self, void*);
  static int on_timer(CURLM* multi, long timeout_ms, void* self);
  void drive(curl_socket_t fd, int curl_events);
  void settle();
  void deliver(CallId call);
  void finish(CallId call, CURLcode code);

  void begin_try(Transfer& transfer);
  void set_target(Transfer& transfer);
  void set_credentials(Transfer& transfer);
  void end_try(Transfer& transfer);
  void watch_silence(Transfer& transfer);
  bool tries_again(Transfer& transfer);
  void end(CallId call, Result result);
  Failure failure_of(const Transfer& transfer, CURLcode code) const;

  const Config config_;
  const Options options_;
  Token token_;
  std::string base_url_;
  curl_slist* connect_to_ = nullptr;  // Where the name in the certificate is not the address.
  CURLM* const multi_;
  Transfers transfers_;
  std::set<CallId> progressed_;  // Have something to deliver.
  std::vector<CURL*> idle_;      // Handles for the next transfers.
  CallId last_call_ = 0;
  Loop::TimerId curl_timer_ = 0;
  bool settling_ = false;
  bool stopping_ = false;
  Loop loop_;  // Last: its thread uses all of the above.
};

}  // namespace ringway::kube
