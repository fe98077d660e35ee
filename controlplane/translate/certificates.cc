#include "controlplane/translate/certificates.h"

#include <set>

namespace ringway::translate {
namespace {

using model::Reason;

KeyPair pair_of(const model::Object& object) {
  const auto& data = std::get<kubernetes::Secret>(object.body).data();
  const auto text = [&](const char* name) {
    const auto at = data.find(name);
    return at == data.end() ? std::string() : at->second;
  };
  return {text("tls.crt"), text("tls.key")};
}

// Reports to every Ingress that refers to the Secret, and by its own name when an option does.
void report_to_users(const model::ObjectKey& secret, const std::vector<CertificateUse>& uses,
                     Reason reason, const std::string& message,
                     std::vector<model::Problem>& problems) {
  for (const CertificateUse& use : uses) {
    if (use.ingress == nullptr) {
      problems.push_back({.object = secret, .reason = reason, .message = message});
    } else {
      Report(use.ingress->key, use.ingress->location, problems)
          .error(use.field + ".secretName", reason, message);
    }
  }
}

}  // namespace

CertificateResult translate_secret(const std::string& id, const model::Object* secret,
                                   const std::vector<CertificateUse>& uses,
                                   const KeyPair* last_good,
                                   std::vector<model::Problem>& problems) {
  CertificateResult result;
  const std::string_view fallback = last_good != nullptr ? "; the last good certificate stays"
                                                         : "; the default certificate is served";
  if (secret == nullptr) {
    const size_t slash = id.find('/');
    report_to_users({model::Kind::kSecret, id.substr(0, slash), id.substr(slash + 1)}, uses,
                    Reason::kSecretNotFound,
                    "Secret " + id + " does not exist" + std::string(fallback), problems);
  } else {
    KeyPair pair = pair_of(*secret);
    auto leaf = check_key_pair(pair.chain_pem, pair.private_key_pem);
    if (leaf) {
      result.leaf = *std::move(leaf);
      result.accepted = std::move(pair);
    } else {
      Report(secret->key, secret->location, problems)
          .error("data", Reason::kInvalidCertificate, leaf.error() + std::string(fallback));
    }
  }
  const KeyPair* served = result.accepted ? &*result.accepted : last_good;
  if (served == nullptr) return result;
  if (!result.leaf) {
    auto leaf = check_key_pair(served->chain_pem, served->private_key_pem);
    if (!leaf) return result;  // A store of earlier certificates is input like any other.
    result.leaf = *std::move(leaf);
  }
  std::set<std::string> hosts;
  for (const CertificateUse& use : uses) {
    for (const std::string& host : use.hosts) {
      hosts.insert(host);
      if (use.ingress == nullptr || covers(*result.leaf, host)) continue;
      Report(use.ingress->key, use.ingress->location, problems)
          .warning(use.field, Reason::kCertificateHost,
                   "the certificate of Secret " + id + " does not cover the host " + host);
    }
  }
  v1::Resource resource;
  resource.set_name(id);
  for (const std::string& host : hosts) resource.mutable_certificate()->add_hosts(host);
  resource.mutable_certificate()->set_chain_pem(served->chain_pem);
  resource.mutable_certificate()->set_private_key_pem(served->private_key_pem);
  result.resource = std::move(resource);
  return result;
}

}  // namespace ringway::translate
