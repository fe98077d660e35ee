#include "controlplane/cluster_flags.h"

#include <charconv>
#include <functional>
#include <map>
#include <optional>

#include "controlplane/model/manifest.h"

namespace ringway {
namespace {

using Taken = std::expected<void, std::string>;
using Take = std::function<Taken(ClusterOptions&, const std::string&)>;

std::unexpected<std::string> wrong(std::string want) { return std::unexpected("want " + want); }

// "host:port", "[ipv6]:port"; both parts are there.
bool is_host_and_port(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return false;
  const std::string_view port = text.substr(colon + 1);
  return !port.empty() && port.size() <= 5 &&
         port.find_first_not_of("0123456789") == std::string_view::npos &&
         std::stoul(std::string(port)) <= 65535;
}

// "15s", "10m", "24h", "365d".
std::optional<int64_t> seconds(std::string_view text, int64_t least_s, int64_t most_s) {
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end + 1 != text.data() + text.size()) return std::nullopt;
  int64_t unit_s = 0;
  switch (*end) {
    case 's':
      unit_s = 1;
      break;
    case 'm':
      unit_s = 60;
      break;
    case 'h':
      unit_s = 3600;
      break;
    case 'd':
      unit_s = 86400;
      break;
    default:
      return std::nullopt;
  }
  if (number < 0 || number > most_s / unit_s || number * unit_s < least_s) return std::nullopt;
  return number * unit_s;
}

// "namespace/rest" with a good namespace and something after it.
bool split(const std::string& text, std::string& ns, std::string& rest) {
  const size_t slash = text.find('/');
  if (slash == std::string::npos || slash + 1 == text.size()) return false;
  if (!model::valid_name(std::string_view(text).substr(0, slash))) return false;
  ns = text.substr(0, slash);
  rest = text.substr(slash + 1);
  return true;
}

Taken take_names(std::vector<std::string>& names, std::string_view list) {
  for (;;) {
    const size_t comma = list.find(',');
    const std::string name(list.substr(0, comma));
    const bool address = !status::address_of(name).ip.empty();
    if (!address && !model::valid_name(name))
      return wrong("DNS names or addresses, separated by commas");
    names.push_back(name);
    if (comma == std::string_view::npos) return {};
    list.remove_prefix(comma + 1);
  }
}

Taken take_bool(bool& target, const std::string& value) {
  if (value != "true" && value != "false") return wrong("true or false");
  target = value == "true";
  return {};
}

const std::map<std::string_view, Take>& link_flags() {
  static const std::map<std::string_view, Take> kFlags = {
      {"--link-secrets",
       [](ClusterOptions& o, const std::string& value) -> Taken {
         if (!split(value, o.link_ns, o.link.prefix) || !model::valid_name(o.link.prefix))
           return wrong("NAMESPACE/PREFIX");
         return {};
       }},
      {"--validating-webhook-service",
       [](ClusterOptions& o, const std::string& value) -> Taken {
         if (!split(value, o.webhook_service_ns, o.webhook_service_name) ||
             !model::valid_name(o.webhook_service_name)) {
           return wrong("NAMESPACE/SERVICE");
         }
         return {};
       }},
      {"--validating-webhook-configuration",
       [](ClusterOptions& o, const std::string& value) -> Taken {
         if (!model::valid_name(value))
           return wrong("the name of a ValidatingWebhookConfiguration");
         o.webhook_configuration = value;
         return {};
       }},
      {"--link-names",
       [](ClusterOptions& o, const std::string& value) { return take_names(o.link.names, value); }},
      {"--link-lifetime",
       [](ClusterOptions& o, const std::string& value) -> Taken {
         const auto found = seconds(value, 30, 365 * 86400);
         if (!found) return wrong("a time such as 24h, from 30s to 365d");
         o.link.lifetimes.leaf_s = *found;
         return {};
       }},
      {"--link-authority-lifetime",
       [](ClusterOptions& o, const std::string& value) -> Taken {
         const auto found = seconds(value, 60, 20 * 365 * 86400);
         if (!found) return wrong("a time such as 365d, from 60s to 7300d");
         o.link.lifetimes.authority_s = *found;
         return {};
       }},
  };
  return kFlags;
}

const std::map<std::string_view, Take>& status_flags() {
  static const std::map<std::string_view, Take> kFlags = {
      {"--election-id",
       [](ClusterOptions& o, const std::string& value) -> Taken {
         if (!model::valid_name(value)) return wrong("the name of a Lease");
         o.election.id = value;
         return {};
       }},
      {"--election-namespace",
       [](ClusterOptions& o, const std::string& value) -> Taken {
         if (!model::valid_name(value)) return wrong("a namespace");
         o.election.ns = value;
         return {};
       }},
      {"--election-ttl",
       [](ClusterOptions& o, const std::string& value) -> Taken {
         const auto found = seconds(value, 6, 3600);
         if (!found) return wrong("a time such as 15s, from 6s to 1h");
         o.election.ttl_s = static_cast<uint32_t>(*found);
         return {};
       }},
      {"--publish-service",
       [](ClusterOptions& o, const std::string& value) -> Taken {
         if (!split(value, o.publish.service_ns, o.publish.service_name) ||
             !model::valid_name(o.publish.service_name)) {
           return wrong("NAMESPACE/SERVICE");
         }
         return {};
       }},
      {"--publish-status-address",
       [](ClusterOptions& o, const std::string& value) -> Taken {
         auto parsed = status::parse_addresses(value);
         if (!parsed) return wrong(parsed.error());
         o.publish.fixed = *std::move(parsed);
         return {};
       }},
      {"--publish-nodes",
       [](ClusterOptions& o, const std::string& value) -> Taken {
         if (!split(value, o.publish.pods_ns, o.publish.pods_selector))
           return wrong("NAMESPACE/LABEL=VALUE[,LABEL=VALUE]");
         return {};
       }},
      {"--report-node-internal-ip",
       [](ClusterOptions& o, const std::string& value) {
         return take_bool(o.publish.node_internal, value);
       }},
      {"--update-status",
       [](ClusterOptions& o, const std::string& value) {
         return take_bool(o.writer.update_status, value);
       }},
      {"--update-status-on-shutdown",
       [](ClusterOptions& o, const std::string& value) {
         return take_bool(o.writer.on_shutdown, value);
       }},
  };
  return kFlags;
}

Taken take_text(ClusterOptions& options, std::string_view name, const std::string& value,
                bool& known) {
  const std::map<std::string_view, std::string*> texts = {
      {"--validating-webhook", &options.webhook.address},
      {"--validating-webhook-certificate", &options.webhook.tls.certificate},
      {"--validating-webhook-key", &options.webhook.tls.key},
      {"--validating-webhook-client-ca", &options.webhook.tls.client_ca},
  };
  const auto found = texts.find(name);
  known = found != texts.end();
  if (!known) return {};
  *found->second = value;
  // As ingress-nginx takes it: on all addresses.
  if (found->second == &options.webhook.address && value.starts_with(':'))
    options.webhook.address = "0.0.0.0" + value;
  return {};
}

Taken check_webhook(const ClusterOptions& options) {
  const admission::WebhookOptions& webhook = options.webhook;
  if (webhook.address.empty()) {
    if (webhook.tls.certificate.empty() && webhook.tls.key.empty() &&
        webhook.tls.client_ca.empty()) {
      return {};
    }
    return std::unexpected("--validating-webhook HOST:PORT is missing, its files are given");
  }
  if (!is_host_and_port(webhook.address)) {
    return std::unexpected("--validating-webhook \"" + webhook.address +
                           "\": want host:port or [ipv6]:port");
  }
  const bool files = !webhook.tls.certificate.empty() && !webhook.tls.key.empty();
  if (files != options.webhook_service_name.empty() ||
      (!files && (!webhook.tls.certificate.empty() || !webhook.tls.key.empty()))) {
    return std::unexpected(
        "--validating-webhook needs --validating-webhook-certificate and --validating-webhook-key, "
        "or else --validating-webhook-service");
  }
  if (!files && options.link_ns.empty())
    return std::unexpected("--validating-webhook-service needs --link-secrets");
  return {};
}

}  // namespace

Taken take_cluster_flag(ClusterOptions& options, std::string_view name, const std::string& value,
                        bool& known) {
  known = true;
  for (const auto* flags : {&link_flags(), &status_flags()}) {
    const auto found = flags->find(name);
    if (found == flags->end()) continue;
    if (value.empty()) return wrong("a value");
    return found->second(options, value);
  }
  Taken taken = take_text(options, name, value, known);
  if (known && value.empty()) return wrong("a value");
  return taken;
}

bool take_cluster_switch(ClusterOptions& options, std::string_view argument) {
  if (argument == "--disable-leader-election") {
    options.election.enabled = false;
  } else if (argument == "--report-node-internal-ip") {
    options.publish.node_internal = true;
  } else if (argument == "--update-status") {
    options.writer.update_status = true;
  } else if (argument == "--update-status-on-shutdown") {
    options.writer.on_shutdown = true;
  } else if (argument == "--take-out-status") {
    options.take_out = true;
  } else {
    return false;
  }
  return true;
}

Taken check_cluster_options(const ClusterOptions& options) {
  const identity::Lifetimes& lifetimes = options.link.lifetimes;
  if (lifetimes.leaf_s > lifetimes.authority_s)
    return std::unexpected("--link-lifetime is longer than --link-authority-lifetime");
  if (options.take_out && !options.publish.any())
    return std::unexpected(
        "--take-out-status: which addresses? --publish-service or another is missing");
  return check_webhook(options);
}

std::string cluster_usage() {
  return R"(Certificates of the link to the proxies, made and rotated by the controllers
  --link-secrets NS/PREFIX        Instead of --tls-cert, --tls-key and --tls-ca: the authority is in Secret PREFIX-ca,
                                  the certificate that proxies mount in PREFIX-proxy-tls.
  --link-names NAME,...           More names for the controller's certificate. It always has ringway-controller and
                                  PREFIX-controller, PREFIX-controller.NS, PREFIX-controller.NS.svc.
  --link-lifetime TIME            Of certificates (24h); renewed when two thirds are over.
  --link-authority-lifetime TIME  Of the authority (365d).

What is written to the cluster, by one leader, whatever the source is
  --publish-service NS/NAME       Ingresses show the address of this Service.
  --publish-nodes NS/LABEL=VALUE  Ingresses show the nodes of the ready pods with these labels.
  --publish-status-address A,...  Ingresses show these addresses or names.
  --report-node-internal-ip       Of nodes the internal address, not the external one.
  --update-status=false           Leave the status of Ingresses alone.
  --update-status-on-shutdown=false   Leave the addresses in when Ringway is uninstalled.
  --take-out-status               Do nothing else than to take those addresses out again, and end: before uninstalling.
  --election-id NAME              Lease of the leader, who alone writes (ringway-leader).
  --election-namespace NS         Where it is (the pod's namespace).
  --election-ttl TIME             How long after a leader's death another follows (15s).
  --disable-leader-election       This controller writes, whatever others do.

Admission webhook
  --validating-webhook HOST:PORT            HTTPS for the API server, which asks before it stores an Ingress (off).
  --validating-webhook-certificate FILE     Certificate and key (PEM); read again when they change.
  --validating-webhook-key FILE
  --validating-webhook-service NS/NAME      Instead of files: a certificate for this Service by that of --link-secrets.
  --validating-webhook-configuration NAME   ... and the authority is kept in this ValidatingWebhookConfiguration.
  --validating-webhook-client-ca FILE       CA of the API server's client certificate; without it anybody may ask.
)";
}

}  // namespace ringway
