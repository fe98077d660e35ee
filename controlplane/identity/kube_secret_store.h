// Secrets of one namespace of an API server.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "controlplane/identity/secret_store.h"
#include "controlplane/kube/caller.h"

namespace ringway::identity {

class KubeSecretStore final : public SecretStore {
 public:
  KubeSecretStore(kube::Caller& api, std::string ns) : api_(api), ns_(std::move(ns)) {}
  std::expected<std::optional<StoredSecret>, std::string> get(const std::string& name) override;
  // What others keep in the object (labels, owner, type) stays as get() saw it.
  std::expected<bool, std::string> put(const std::string& name, const std::string& type,
                                       const SecretData& data, const std::string& version) override;

 private:
  std::string collection() const { return "/api/v1/namespaces/" + ns_ + "/secrets"; }

  kube::Caller& api_;
  const std::string ns_;
  std::map<std::string, nlohmann::json> seen_;  // By name, without data.
};

}  // namespace ringway::identity
