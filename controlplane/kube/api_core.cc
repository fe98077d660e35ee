#include "controlplane/kube/api_core.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"

namespace ringway::kube {
namespace {

using std::chrono::milliseconds;

constexpr size_t kIdleHandlesMax = 8;
// A peer that acknowledges nothing for so long is gone: the kernel breaks the connection.
constexpr unsigned kUnackedMs = 30'000;
constexpr int kKeepaliveIdleS = 15, kKeepaliveEveryS = 5;

CURLM* new_multi() {
  static const CURLcode global = curl_global_init(CURL_GLOBAL_DEFAULT);  // Thread safe since 7.84.
  CHECK(global == CURLE_OK);
  CURLM* multi = curl_multi_init();
  CHECK(multi != nullptr);
  return multi;
}

int set_socket_options(void*, curl_socket_t fd, curlsocktype) {
  const int on = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &kKeepaliveIdleS, sizeof kKeepaliveIdleS);
  ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &kKeepaliveEveryS, sizeof kKeepaliveEveryS);
  ::setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &kUnackedMs, sizeof kUnackedMs);
  return CURL_SOCKOPT_OK;
}

void set_pem(CURL* easy, const Pem& pem, CURLoption file, CURLoption blob) {
  if (!pem.data.empty()) {
    curl_blob bytes{.data = const_cast<char*>(pem.data.data()),
                    .len = pem.data.size(),
                    .flags = CURL_BLOB_NOCOPY};
    curl_easy_setopt(easy, blob, &bytes);
  } else if (!pem.file.empty()) {
    curl_easy_setopt(easy, file, pem.file.c_str());
  }
}

// `server` with `name` in place of its host, and what tells curl the address: "::host:port".
std::pair<std::string, std::string> with_name(const std::string& server, const std::string& name) {
  CURLU* url = curl_url();
  char *host = nullptr, *port = nullptr, *changed = nullptr;
  std::pair<std::string, std::string> out{server, ""};
  if (curl_url_set(url, CURLUPART_URL, server.c_str(), 0) == CURLUE_OK &&
      curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
      curl_url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK &&
      curl_url_set(url, CURLUPART_HOST, name.c_str(), 0) == CURLUE_OK &&
      curl_url_get(url, CURLUPART_URL, &changed, 0) == CURLUE_OK) {
    out = {changed, std::string("::") + host + ":" + port};
    while (out.first.ends_with('/')) out.first.pop_back();
  }
  for (char* part : {host, port, changed}) curl_free(part);
  curl_url_cleanup(url);
  return out;
}

}  // namespace

Failure cancelled() { return {Fault::kCancelled, "the client was stopped"}; }

ApiClient::Core::Core(Config config, Options options)
    : config_(std::move(config)),
      options_(std::move(options)),
      token_(config_),
      base_url_(config_.server),
      multi_(new_multi()) {
  if (!config_.tls_server_name.empty()) {
    const auto [url, address] = with_name(config_.server, config_.tls_server_name);
    base_url_ = url;
    connect_to_ = curl_slist_append(nullptr, address.c_str());
  }
  curl_multi_setopt(multi_, CURLMOPT_SOCKETFUNCTION, &Core::on_socket);
  curl_multi_setopt(multi_, CURLMOPT_SOCKETDATA, this);
  curl_multi_setopt(multi_, CURLMOPT_TIMERFUNCTION, &Core::on_timer);
  curl_multi_setopt(multi_, CURLMOPT_TIMERDATA, this);
  curl_multi_setopt(multi_, CURLMOPT_PIPELINING, CURLPIPE_NOTHING);
}

ApiClient::Core::~Core() {
  CHECK(transfers_.empty());
  for (CURL* easy : idle_) curl_easy_cleanup(easy);
  // Its connections close now and would tell a loop that is gone.
  curl_multi_setopt(multi_, CURLMOPT_SOCKETFUNCTION, nullptr);
  curl_multi_setopt(multi_, CURLMOPT_TIMERFUNCTION, nullptr);
  curl_multi_cleanup(multi_);
  curl_slist_free_all(connect_to_);
}

// ---- curl's side ----

int ApiClient::Core::on_socket(CURL*, curl_socket_t fd, int what, void* self, void*) {
  Core& core = *static_cast<Core*>(self);
  if (what == CURL_POLL_REMOVE) {
    core.loop_.unwatch(fd);
    return 0;
  }
  const uint32_t events = ((what & CURL_POLL_IN) != 0 ? uint32_t{EPOLLIN} : 0u) |
                          ((what & CURL_POLL_OUT) != 0 ? uint32_t{EPOLLOUT} : 0u);
  core.loop_.watch(fd, events, [&core, fd](uint32_t ready) {
    core.drive(fd, ((ready & EPOLLIN) != 0 ? CURL_CSELECT_IN : 0) |
                       ((ready & EPOLLOUT) != 0 ? CURL_CSELECT_OUT : 0) |
                       ((ready & (EPOLLERR | EPOLLHUP)) != 0 ? CURL_CSELECT_ERR : 0));
  });
  return 0;
}

int ApiClient::Core::on_timer(CURLM*, long timeout_ms, void* self) {
  Core& core = *static_cast<Core*>(self);
  core.loop_.cancel(core.curl_timer_);
  if (timeout_ms < 0) return 0;
  core.curl_timer_ = core.loop_.after(milliseconds(timeout_ms), [&core] {
    core.curl_timer_ = 0;
    core.drive(CURL_SOCKET_TIMEOUT, 0);
  });
  return 0;
}

void ApiClient::Core::drive(curl_socket_t fd, int curl_events) {
  int running = 0;
  curl_multi_socket_action(multi_, fd, curl_events, &running);
  settle();
}

// Runs the handlers of what curl brought. They may start and cancel anything; curl calls back here
// from none of that.
void ApiClient::Core::settle() {
  if (std::exchange(settling_, true)) return;
  while (true) {
    std::vector<std::pair<CallId, CURLcode>> done;
    int left = 0;
    while (const CURLMsg* message = curl_multi_info_read(multi_, &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      void* transfer = nullptr;
      curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
      done.emplace_back(static_cast<Transfer*>(transfer)->id, message->data.result);
    }
    if (done.empty() && progressed_.empty()) break;
    for (const CallId call : std::exchange(progressed_, {})) deliver(call);
    for (const auto& [call, code] : done) finish(call, code);
  }
  settling_ = false;
}

void ApiClient::Core::deliver(CallId call) {
  const auto at = transfers_.find(call);
  if (at == transfers_.end() || !at->second->streams_ok()) return;
  Transfer& transfer = *at->second;
  if (!transfer.head_complete) return;
  if (!std::exchange(transfer.opened, true) && transfer.stream->on_open) {
    const auto on_open = transfer.stream->on_open;  // It may cancel, which frees the transfer.
    on_open();
    if (!transfers_.contains(call)) return;
  }
  if (transfer.received.empty()) return;
  const std::string part = std::exchange(transfer.received, {});
  const auto on_data = transfer.stream->on_data;
  on_data(part);
}

void ApiClient::Core::finish(CallId call, CURLcode code) {
  const auto at = transfers_.find(call);
  if (at == transfers_.end()) return;
  Transfer& transfer = *at->second;
  if (code == CURLE_OK && tries_again(transfer)) return;
  if (code == CURLE_OK) return end(call, transfer.take_response());
  end(call, std::unexpected(failure_of(transfer, code)));
}

// ---- transfers ----

ApiClient::CallId ApiClient::Core::start(Request request, std::optional<Stream> stream,
                                         std::function<void(Result)> on_end) {
  CHECK(loop_.on_thread());
  const CallId id = ++last_call_;
  if (stopping_) return id;
  auto transfer = std::make_unique<Transfer>();
  transfer->id = id;
  transfer->deadline_ns =
      monotonic_ns() + static_cast<uint64_t>(request.timeout.count()) * kNsPerMs;
  transfer->request = std::move(request);
  transfer->stream = std::move(stream);
  transfer->on_end = std::move(on_end);
  begin_try(*transfers_.emplace(id, std::move(transfer)).first->second);
  return id;
}

void ApiClient::Core::begin_try(Transfer& transfer) {
  if (idle_.empty()) {
    transfer.easy = curl_easy_init();
    CHECK(transfer.easy != nullptr);
  } else {
    transfer.easy = idle_.back();
    idle_.pop_back();
  }
  CURL* easy = transfer.easy;
  curl_easy_setopt(easy, CURLOPT_PRIVATE, &transfer);
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "https,http");
  // libcurl 7.88 writes past a transfer's buffer when a large answer comes on an HTTP/2 connection
  // that others share (valgrind; the heap is broken, and the process dies later). So each request
  // has a connection of its own, and no size of buffers is set: one is in use, whatever libcurl
  // does with a handle that is used again.
  curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
  curl_easy_setopt(easy, CURLOPT_USERAGENT, options_.user_agent.c_str());
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
                   static_cast<long>(options_.connect_timeout.count()));
  curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, &set_socket_options);
  if (transfer.stream) {
    watch_silence(transfer);
  } else {
    const uint64_t now = monotonic_ns();
    const uint64_t left_ns = transfer.deadline_ns > now ? transfer.deadline_ns - now : 0;
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, static_cast<long>(left_ns / kNsPerMs + 1));
  }
  set_target(transfer);
  set_credentials(transfer);
  transfer.attach([this, id = transfer.id] { progressed_.insert(id); });
  CHECK(curl_multi_add_handle(multi_, easy) == CURLM_OK);
}

void ApiClient::Core::set_target(Transfer& transfer) {
  CURL* easy = transfer.easy;
  const Request& request = transfer.request;
  const std::string url =
      base_url_ + request.path + (request.query.empty() ? "" : "?" + request.query);
  curl_easy_setopt(easy, CURLOPT_URL, url.c_str());
  curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
  if (connect_to_ != nullptr) curl_easy_setopt(easy, CURLOPT_CONNECT_TO, connect_to_);
  if (!config_.proxy_url.empty()) {
    curl_easy_setopt(easy, CURLOPT_PROXY, config_.proxy_url.c_str());
  }
  if (request.method == "GET") return;
  curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request.method.c_str());
  if (request.method == "DELETE" && request.body.empty()) return;
  curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
  curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request.body.data());
}

void ApiClient::Core::set_credentials(Transfer& transfer) {
  CURL* easy = transfer.easy;
  set_pem(easy, config_.ca, CURLOPT_CAINFO, CURLOPT_CAINFO_BLOB);
  set_pem(easy, config_.certificate, CURLOPT_SSLCERT, CURLOPT_SSLCERT_BLOB);
  set_pem(easy, config_.key, CURLOPT_SSLKEY, CURLOPT_SSLKEY_BLOB);
  curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, 0L);  // A CA file that rotates is read again.
  if (config_.insecure) {
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
  }
  const auto add = [&](const std::string& line) {
    transfer.headers = curl_slist_append(transfer.headers, line.c_str());
  };
  add("Accept: " + transfer.request.accept);
  add("Expect:");
  if (!transfer.request.content_type.empty()) {
    add("Content-Type: " + transfer.request.content_type);
  }
  if (const std::string& token = token_.at(monotonic_ns()); !token.empty()) {
    add("Authorization: Bearer " + token);
  }
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, transfer.headers);
}

void ApiClient::Core::end_try(Transfer& transfer) {
  loop_.cancel(transfer.timer);
  CURL* easy = transfer.easy;
  if (easy == nullptr) return;
  curl_multi_remove_handle(multi_, easy);
  curl_easy_reset(easy);
  if (idle_.size() < kIdleHandlesMax) {
    idle_.push_back(easy);
  } else {
    curl_easy_cleanup(easy);
  }
  transfer.forget_try();
}

// Arms the timer anew until the last byte is too long ago.
void ApiClient::Core::watch_silence(Transfer& transfer) {
  const uint64_t most_ns = static_cast<uint64_t>(transfer.stream->silence_max.count()) * kNsPerMs;
  const uint64_t now = monotonic_ns();
  if (transfer.last_byte_ns == 0) transfer.last_byte_ns = now;
  const uint64_t silent_ns = now - transfer.last_byte_ns;
  const uint64_t wait_ns = silent_ns < most_ns ? most_ns - silent_ns : 0;
  transfer.timer = loop_.after(
      milliseconds(wait_ns / kNsPerMs + 1), [this, &transfer, most_ns, id = transfer.id] {
        transfer.timer = 0;
        if (monotonic_ns() - transfer.last_byte_ns < most_ns) return watch_silence(transfer);
        // Its connection, which is in the middle of an answer, closes with it.
        end(id, std::unexpected(Failure{Fault::kSilent, config_.server + ": nothing came for " +
                                                            std::to_string(most_ns / kNsPerSecond) +
                                                            " s; the connection was closed"}));
      });
}

// What the client itself answers by another try.
bool ApiClient::Core::tries_again(Transfer& transfer) {
  milliseconds wait(0);
  if (transfer.status == 401) {
    if (transfer.credentials_renewed || !token_.expire()) return false;
    transfer.credentials_renewed = true;
  } else if (!transfer.stream && (transfer.status == 429 || transfer.status == 503) &&
             transfer.retry_after) {
    wait = *transfer.retry_after;
    const uint64_t wait_ns = static_cast<uint64_t>(wait.count()) * kNsPerMs;
    if (monotonic_ns() + wait_ns >= transfer.deadline_ns) return false;
  } else {
    return false;
  }
  end_try(transfer);
  transfer.last_byte_ns = 0;
  transfer.timer = loop_.after(wait, [this, &transfer] {
    transfer.timer = 0;
    begin_try(transfer);
  });
  return true;
}

void ApiClient::Core::end(CallId call, Result result) {
  const auto at = transfers_.find(call);
  CHECK(at != transfers_.end());
  const std::unique_ptr<Transfer> transfer = std::move(at->second);
  transfers_.erase(at);
  end_try(*transfer);
  const auto& on_end = transfer->stream ? transfer->stream->on_end : transfer->on_end;
  if (on_end) on_end(std::move(result));
}

void ApiClient::Core::cancel(CallId call) {
  CHECK(loop_.on_thread() || stopping_);
  const auto at = transfers_.find(call);
  if (at == transfers_.end()) return;
  const std::unique_ptr<Transfer> transfer = std::move(at->second);
  transfers_.erase(at);
  end_try(*transfer);
}

void ApiClient::Core::cancel_all() {
  stopping_ = true;
  while (!transfers_.empty()) end(transfers_.begin()->first, std::unexpected(cancelled()));
}

Failure ApiClient::Core::failure_of(const Transfer& transfer, CURLcode code) const {
  const std::string text =
      config_.server + ": " +
      (transfer.error[0] != '\0' ? std::string(transfer.error.data()) : curl_easy_strerror(code));
  if (transfer.too_large) return {Fault::kTooLarge, config_.server + ": the answer is too large"};
  switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
      return {Fault::kTimeout, text};
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_URL_MALFORMAT:
      return {Fault::kUnreachable, text};
    default:
      return {Fault::kBroken, text};
  }
}

}  // namespace ringway::kube
