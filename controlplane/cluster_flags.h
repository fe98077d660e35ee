// Flags for what the controller does in a cluster beside serving proxies: certificates of the
// discovery link, leader election, status and Events, the admission webhook.
#pragma once

#include <expected>
#include <string>
#include <string_view>

#include "controlplane/admission/webhook.h"
#include "controlplane/identity/keeper.h"
#include "controlplane/kube/config.h"
#include "controlplane/status/writer.h"

namespace ringway {

struct ElectionOptions {
  bool enabled = true;                // --disable-leader-election
  std::string ns;                     // --election-namespace; "" = the pod's, or the context's.
  std::string id = "ringway-leader";  // --election-id
  uint32_t ttl_s = 15;                // --election-ttl
};

struct ClusterOptions {
  kube::ConfigFlags api;  // As the source has it.
  std::string link_ns;    // --link-secrets; "" = certificates are files, or there are none.
  identity::KeeperOptions link;
  ElectionOptions election;
  status::PublishOptions publish;
  status::WriterOptions writer;
  // Problems become Events and statuses are written. Set by what is published, and by a source
  // that is an API server.
  bool writes_back = false;
  bool take_out = false;              // --take-out-status
  admission::WebhookOptions webhook;  // address "" = none.
  // Without certificate files: a certificate of the link's authority for this Service, which is
  // written into this ValidatingWebhookConfiguration.
  std::string webhook_service_ns, webhook_service_name;
  std::string webhook_configuration;

  bool needs_api() const { return writes_back || !link_ns.empty(); }
};

// Takes a flag with a value. `known` = false: not one of these. The error says what is wanted.
std::expected<void, std::string> take_cluster_flag(ClusterOptions& options, std::string_view name,
                                                   const std::string& value, bool& known);
// Takes a flag that stands alone. false: not one of these.
bool take_cluster_switch(ClusterOptions& options, std::string_view argument);
// What the flags say together. The error is one line.
std::expected<void, std::string> check_cluster_options(const ClusterOptions& options);
std::string cluster_usage();

}  // namespace ringway
