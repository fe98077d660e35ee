// Where clients reach the proxies, for status.loadBalancer.ingress: out of a Service, out of nodes,
// or given. What is read is JSON as the API server answers it.
#pragma once

#include <compare>
#include <expected>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/kube/caller.h"

namespace ringway::status {

// One entry of status.loadBalancer.ingress.
struct Address {
  std::string ip;  // One of the two is set.
  std::string hostname;
  auto operator<=>(const Address&) const = default;
};
using Addresses = std::vector<Address>;  // Sorted, each once.

Address address_of(std::string text);  // An IP address, or else a hostname.
Addresses sorted(Addresses addresses);
nlohmann::json to_json(const Addresses& addresses);
std::string to_text(const Addresses& addresses);  // "192.0.2.1, lb.example.com"; "none".

// "192.0.2.1,lb.example.com". The error says what is wrong.
std::expected<Addresses, std::string> parse_addresses(std::string_view text);

struct PublishOptions {
  Addresses fixed;         // --publish-status-address. Wins over all below.
  std::string service_ns;  // --publish-service
  std::string service_name;
  std::string pods_ns;         // --publish-nodes: the nodes of the ready pods with these labels.
  std::string pods_selector;   // "app=ringway-proxy"
  bool node_internal = false;  // --report-node-internal-ip

  bool any() const { return !fixed.empty() || !service_name.empty() || !pods_selector.empty(); }
};

// As ingress-nginx (internal/ingress/status): of a LoadBalancer what its controller gave it, and
// externalIPs; of a NodePort the externalIPs; of an ExternalName its name; else the cluster IP.
// `nodes`: it has no address of its own, and is reached by its nodes.
struct ServiceAddresses {
  Addresses addresses;
  bool nodes = false;
};
ServiceAddresses addresses_of_service(const nlohmann::json& service);
// ExternalIP, or InternalIP when there is none or `internal` is asked for. Empty: it has neither.
Addresses addresses_of_node(const nlohmann::json& node, bool internal);

struct Published {
  Addresses addresses;
  bool gone = false;  // The Service does not exist or is being deleted: Ringway is uninstalled.
};

// Asks the API server. Thread rule: one thread.
class AddressReader {
 public:
  AddressReader(kube::Caller& api, PublishOptions options)
      : api_(api), options_(std::move(options)) {}
  // The error is one line and means: nothing is known.
  std::expected<Published, std::string> read();
  const PublishOptions& options() const { return options_; }

 private:
  std::expected<Published, std::string> read_service();
  std::expected<Published, std::string> read_pods();
  std::expected<Addresses, std::string> read_nodes(const std::vector<std::string>& names);

  kube::Caller& api_;
  const PublishOptions options_;
};

}  // namespace ringway::status
