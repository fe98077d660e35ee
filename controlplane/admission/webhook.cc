#include "controlplane/admission/webhook.h"

#include <httplib.h>
#include <sys/socket.h>

#include <cstdlib>
#include <exception>
#include <thread>
#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "controlplane/admission/review.h"

namespace ringway::admission {
namespace {

constexpr time_t kReadTimeoutSeconds = 5;  // For the next bytes.
constexpr uint64_t kBodyTimeoutNs =
    10 * kNsPerSecond;  // For all of a body; an API server waits 10 s by default.
constexpr time_t kIdleSeconds =
    2;  // An idle connection holds one of kThreads, and an end waits for it.
constexpr size_t kRequestsPerConnection = 1000;

bool is_json(const httplib::Request& request) {
  return request.get_header_value("Content-Type").starts_with("application/json");
}

void refuse(httplib::Response& response, int status, const std::string& text) {
  response.status = status;
  response.set_content(text + "\n", "text/plain");
}

}  // namespace

class Webhook::State {
 public:
  State(std::unique_ptr<TlsFiles> tls, Look look, WebhookStats& stats)
      : tls_(std::move(tls)), look_(std::move(look)), stats_(stats), server_([this](SSL_CTX& ssl) {
          tls_->install(ssl);
          return true;
        }) {
    server_.new_task_queue = [] { return new httplib::ThreadPool(kThreads); };
    server_.set_socket_options([](int fd) {
      const int yes = 1;  // And no SO_REUSEPORT: a second controller on the port is a mistake.
      ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    });
    server_.set_tcp_nodelay(true);
    server_.set_payload_max_length(kReviewBytesMax);
    server_.set_read_timeout(kReadTimeoutSeconds);
    server_.set_write_timeout(kReadTimeoutSeconds);
    server_.set_keep_alive_timeout(kIdleSeconds);
    server_.set_keep_alive_max_count(kRequestsPerConnection);
    server_.Get("/healthz", [](const httplib::Request&, httplib::Response& response) {
      response.set_content("ok\n", "text/plain");
    });
    server_.Post(
        ".*", [this](const httplib::Request& request, httplib::Response& response,
                     const httplib::ContentReader& content) { take(request, response, content); });
  }

  ~State() {
    server_.stop();
    if (thread_.joinable()) thread_.join();
  }

  std::expected<void, std::string> listen(const std::string& address) {
    const size_t colon = address.rfind(':');
    std::string host = address.substr(0, colon);
    if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
    port_ = std::atoi(address.c_str() + colon + 1);
    const bool bound = port_ == 0 ? (port_ = server_.bind_to_any_port(host)) > 0
                                  : server_.bind_to_port(host, port_);
    if (!server_.is_valid() || !bound) {
      return std::unexpected("cannot listen on " + address + " for the admission webhook");
    }
    thread_ = std::thread([this] {
      server_.listen_after_bind();
      ended_ = true;
    });
    // A stop() before the loop runs would be lost.
    while (!server_.is_running() && !ended_) std::this_thread::yield();
    return {};
  }

  int port() const { return port_; }

 private:
  void take(const httplib::Request& request, httplib::Response& response,
            const httplib::ContentReader& content) {
    if (!is_json(request)) {
      ++stats_.failed;
      return refuse(response, 415, "want Content-Type: application/json");
    }
    std::string body;
    const uint64_t deadline_ns = monotonic_ns() + kBodyTimeoutNs;
    const bool whole = content([&](const char* data, size_t size) {
      if (size > kReviewBytesMax - body.size() || monotonic_ns() > deadline_ns) return false;
      body.append(data, size);
      return true;
    });
    if (!whole) {
      ++stats_.failed;
      return refuse(response, 413, "the body is too large, or did not come in time");
    }
    try {
      answer(body, response);
    } catch (const std::exception& error) {
      ++stats_.failed;
      log_error("admission webhook: {}", error.what());
      refuse(response, 500, "internal error; the controller's log says more");
    }
  }

  void answer(const std::string& body, httplib::Response& response) {
    const uint64_t start_ns = monotonic_ns();
    const auto review = read_review(body);
    if (!review) {
      ++stats_.failed;
      return refuse(response, 400, review.error());
    }
    translate::Preview preview;
    if (review->ingress != nullptr) {
      const uint64_t look_ns = monotonic_ns();
      auto seen = look_(*review->ingress);
      if (!seen) {
        ++stats_.failed;
        return refuse(response, 503, "the controller has not read its objects yet");
      }
      preview = *std::move(seen);
      stats_.tested_ns_last = monotonic_ns() - look_ns;
      stats_.tested_ingresses_last = preview.ingresses_read;
      stats_.output_bytes_last = preview.output_bytes;
    }
    const Verdict verdict = judge(*review, preview);
    if (!verdict.allowed) {
      log_info("admission webhook: refused: {}: {}",
               review->ingress == nullptr ? "Ingress" : model::to_string(review->ingress->key),
               verdict.message);
    }
    response.set_content(write_review(*review, verdict), "application/json");
    ++(verdict.allowed ? stats_.allowed : stats_.refused);
    const uint64_t took_ns = monotonic_ns() - start_ns;
    stats_.roundtrip_ns_last = took_ns;
    stats_.roundtrip_ns_total += took_ns;
  }

  const std::unique_ptr<TlsFiles> tls_;
  const Look look_;
  WebhookStats& stats_;
  httplib::SSLServer server_;
  int port_ = 0;
  std::atomic<bool> ended_ = false;
  std::thread thread_;
};

std::expected<std::unique_ptr<Webhook>, std::string> Webhook::start(const WebhookOptions& options,
                                                                    Look look,
                                                                    WebhookStats& stats) {
  auto tls = TlsFiles::load(options.tls);
  if (!tls) return std::unexpected("admission webhook: " + tls.error());
  auto state = std::make_unique<State>(*std::move(tls), std::move(look), stats);
  if (auto listening = state->listen(options.address); !listening)
    return std::unexpected(listening.error());
  return std::unique_ptr<Webhook>(new Webhook(std::move(state)));
}

Webhook::Webhook(std::unique_ptr<State> state) : state_(std::move(state)) {}
Webhook::~Webhook() = default;
int Webhook::port() const { return state_->port(); }

}  // namespace ringway::admission
