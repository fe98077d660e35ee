#include "controlplane/identity/kube_secret_store.h"

#include <utility>

#include "controlplane/base/base64.h"

namespace ringway::identity {
namespace {

using nlohmann::json;

// Key material does not stay in memory that is given back.
void wipe(std::string& text) { explicit_bzero(text.data(), text.size()); }

std::unexpected<std::string> failure(const std::string& what, const std::string& why) {
  return std::unexpected("Secret " + what + ": " + why);
}

}  // namespace

std::expected<std::optional<StoredSecret>, std::string> KubeSecretStore::get(
    const std::string& name) {
  auto answer = api_.call({.path = collection() + "/" + name});
  if (!answer) return failure(name, answer.error().message);
  if (answer->status == 404) return std::nullopt;
  if (!answer->ok()) return failure(name, kube::describe(*answer));
  json object = json::parse(answer->body, nullptr, false);
  wipe(answer->body);
  if (!object.is_object() || !object["metadata"].is_object())
    return failure(name, "the answer is not an object");
  StoredSecret out;
  out.version = object["metadata"].value("resourceVersion", "");
  if (out.version.empty()) return failure(name, "has no resourceVersion");
  if (object["data"].is_object()) {
    for (const auto& [key, value] : object["data"].items()) {
      auto bytes = base64_decode(value.is_string() ? value.get<std::string>() : "");
      out.data[key] = bytes ? *std::move(bytes) : "";
    }
  }
  object.erase("data");
  seen_[name] = std::move(object);
  return out;
}

std::expected<bool, std::string> KubeSecretStore::put(const std::string& name,
                                                      const std::string& type,
                                                      const SecretData& data,
                                                      const std::string& version) {
  const bool create = version.empty();
  json object = {{"apiVersion", "v1"}, {"kind", "Secret"}, {"type", type}};
  if (create) {
    object["metadata"] = {{"name", name},
                          {"namespace", ns_},
                          {"labels", {{"app.kubernetes.io/managed-by", "ringway-controller"}}}};
  } else {
    object = seen_.at(name);
    object["metadata"]["resourceVersion"] = version;
  }
  object["data"] = json::object();
  for (const auto& [key, value] : data) object["data"][key] = base64_encode(value);
  auto answer = api_.call({.method = create ? "POST" : "PUT",
                           .path = create ? collection() : collection() + "/" + name,
                           .content_type = "application/json",
                           .body = object.dump()});
  if (!answer) return failure(name, answer.error().message);
  // 404: deleted since it was read.
  if (answer->status == 409 || (!create && answer->status == 404)) return false;
  if (!answer->ok()) return failure(name, kube::describe(*answer));
  wipe(answer->body);
  return true;
}

}  // namespace ringway::identity
