#include "controlplane/identity/webhook_bundle.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "base/log.h"
#include "controlplane/base/base64.h"

namespace ringway::identity {
namespace {

using nlohmann::json;

constexpr char kPath[] = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/";

}  // namespace

std::expected<void, std::string> WebhookBundle::step(const std::string& bundle) {
  const auto failure = [&](const std::string& why) {
    return std::unexpected("ValidatingWebhookConfiguration " + configuration_ + ": " + why);
  };
  const auto answer = api_.call({.path = kPath + configuration_});
  if (!answer) return failure(answer.error().message);
  if (!answer->ok()) return failure(kube::describe(*answer));
  json object = json::parse(answer->body, nullptr, false);
  if (!object.is_object() || !object["webhooks"].is_array())
    return failure("the answer has no webhooks");
  const std::string wanted = base64_encode(bundle);
  bool differs = false;
  for (json& webhook : object["webhooks"]) {
    if (!webhook.is_object() || !webhook["clientConfig"].is_object())
      return failure("a webhook has no clientConfig");
    json& held = webhook["clientConfig"]["caBundle"];
    differs = differs || held != wanted;
    held = wanted;
  }
  if (!differs) return {};
  // With its resourceVersion: whoever changed it meanwhile is not undone.
  const auto written = api_.call({.method = "PUT",
                                  .path = kPath + configuration_,
                                  .content_type = "application/json",
                                  .body = object.dump()});
  if (!written) return failure(written.error().message);
  if (written->status == 409) return {};  // The next look sees what became of it.
  if (!written->ok()) return failure(kube::describe(*written));
  log_info("discovery certificates: ValidatingWebhookConfiguration {} has the authority",
           configuration_);
  return {};
}

}  // namespace ringway::identity
