// Secrets of type kubernetes.io/tls → Certificate resources.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "controlplane/model/object.h"
#include "controlplane/translate/ingress_facts.h"
#include "controlplane/translate/pem.h"
#include "controlplane/translate/report.h"
#include "ringway/v1/resources.pb.h"

namespace ringway::translate {

// One place that refers to a secret, and the hosts that are served with it there.
struct CertificateUse {
  const IngressFacts* ingress;  // nullptr: Options.default_certificate
  std::string field;            // "spec.tls[0]"
  std::vector<std::string> hosts;
};

struct CertificateResult {
  std::optional<v1::Resource>
      resource;                     // Absent: neither the Secret nor a last good pair is usable.
  std::optional<KeyPair> accepted;  // The Secret's own pair, when it is good: the next last good.
  std::optional<LeafFacts> leaf;    // Of what is served.
};

// `secret`: nullptr when it does not exist. `last_good`: nullptr when there is none.
CertificateResult translate_secret(const std::string& id, const model::Object* secret,
                                   const std::vector<CertificateUse>& uses,
                                   const KeyPair* last_good, std::vector<model::Problem>& problems);

}  // namespace ringway::translate
