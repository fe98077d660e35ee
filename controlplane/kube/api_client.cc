#include "controlplane/kube/api_client.h"

#include <future>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/check.h"
#include "controlplane/kube/api_core.h"

namespace ringway::kube {

ApiClient::ApiClient(Config config, Options options)
    : core_(std::make_unique<Core>(std::move(config), std::move(options))) {}

ApiClient::~ApiClient() { stop(); }

Result ApiClient::call(Request request) {
  CHECK(!loop().on_thread());
  // Shared: the loop sets it, whichever of the two threads is the last to let go.
  const auto result = std::make_shared<std::promise<Result>>();
  std::future<Result> answer = result->get_future();
  const bool posted = loop().post([this, result, request = std::move(request)]() mutable {
    if (core_->stopping()) return result->set_value(std::unexpected(cancelled()));
    core_->start(std::move(request), std::nullopt,
                 [result](Result got) { result->set_value(std::move(got)); });
  });
  if (!posted) return std::unexpected(cancelled());
  return answer.get();
}

ApiClient::CallId ApiClient::start(Request request, std::function<void(Result)> on_end) {
  return core_->start(std::move(request), std::nullopt, std::move(on_end));
}

ApiClient::CallId ApiClient::start(Request request, Stream stream) {
  return core_->start(std::move(request), std::move(stream), nullptr);
}

void ApiClient::cancel(CallId call) { core_->cancel(call); }

void ApiClient::stop() {
  loop().post([this] { core_->cancel_all(); });
  loop().stop();
}

Loop& ApiClient::loop() { return core_->loop(); }
const Config& ApiClient::config() const { return core_->config(); }

std::string query_escape(std::string_view value) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  for (const char c : value) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       std::string_view("-._~").find(c) != std::string_view::npos;
    if (plain) {
      out += c;
    } else {
      out += {'%', kHex[byte >> 4], kHex[byte & 15]};
    }
  }
  return out;
}

std::string describe(const Response& response) {
  std::string text = "HTTP " + std::to_string(response.status);
  const auto status = nlohmann::json::parse(response.body, nullptr, false);
  if (!status.is_object()) return text;
  const auto message = status.find("message");
  if (message == status.end() || !message->is_string()) return text;
  return text + ": " + message->get<std::string>().substr(0, 500);
}

}  // namespace ringway::kube
