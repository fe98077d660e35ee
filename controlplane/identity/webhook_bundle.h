// Keeps the authority of our webhook's certificate in a ValidatingWebhookConfiguration, so that the
// API server believes it. Every replica does; they write the same.
//
// Thread rule: one thread. Nothing is written while it is as it must be.
#pragma once

#include <expected>
#include <string>

#include "controlplane/kube/caller.h"

namespace ringway::identity {

class WebhookBundle {
 public:
  WebhookBundle(kube::Caller& api, std::string configuration)
      : api_(api), configuration_(std::move(configuration)) {}
  // `bundle`: PEM. Puts it into clientConfig.caBundle of every webhook of the configuration. The
  // error is one line.
  std::expected<void, std::string> step(const std::string& bundle);

 private:
  kube::Caller& api_;
  const std::string configuration_;
};

}  // namespace ringway::identity
