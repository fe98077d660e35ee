// Where the authority lies between controllers: Secrets with optimistic locking.
#pragma once

#include <expected>
#include <optional>
#include <string>

#include "controlplane/identity/authority.h"

namespace ringway::identity {

struct StoredSecret {
  SecretData data;
  std::string version;  // metadata.resourceVersion; opaque.
};

// Thread rule: one thread.
class SecretStore {
 public:
  virtual ~SecretStore() = default;
  // nullopt: it does not exist. The error is one line.
  virtual std::expected<std::optional<StoredSecret>, std::string> get(const std::string& name) = 0;
  // Replaces what has `version`; "" creates. false: somebody else was first; read again.
  virtual std::expected<bool, std::string> put(const std::string& name, const std::string& type,
                                               const SecretData& data,
                                               const std::string& version) = 0;
};

}  // namespace ringway::identity
