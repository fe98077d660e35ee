#include "controlplane/status/addresses.h"

#include <arpa/inet.h>

#include <algorithm>
#include <set>
#include <utility>

#include "controlplane/model/manifest.h"

namespace ringway::status {
namespace {

using nlohmann::json;

// Objects of others may lack anything or have it of another type.
const json& at(const json& object, const char* name) {
  static const json kNothing;
  if (!object.is_object()) return kNothing;
  const auto found = object.find(name);
  return found == object.end() ? kNothing : *found;
}
// To be walked: a scalar would be walked as if it were its own only element.
const json& items(const json& object, const char* name) {
  static const json kNone = json::array();
  const json& value = at(object, name);
  return value.is_array() ? value : kNone;
}
std::string text(const json& object, const char* name) {
  const json& value = at(object, name);
  return value.is_string() ? value.get<std::string>() : std::string();
}

struct Fetched {
  json body;
  bool found = true;
};

std::expected<Fetched, std::string> fetch(kube::Caller& api, const std::string& path,
                                          const std::string& query = "") {
  const auto answer = api.call({.path = path, .query = query});
  if (!answer) return std::unexpected(answer.error().message);
  if (answer->status == 404) return Fetched{.found = false};
  if (!answer->ok()) return std::unexpected(path + ": " + kube::describe(*answer));
  json body = json::parse(answer->body, nullptr, false);
  if (!body.is_object()) return std::unexpected(path + ": the answer is not a JSON object");
  return Fetched{std::move(body)};
}

bool is_ready(const json& pod) {
  for (const json& condition : items(at(pod, "status"), "conditions")) {
    if (text(condition, "type") == "Ready") return text(condition, "status") == "True";
  }
  return false;
}

}  // namespace

Address address_of(std::string text) {
  in6_addr ignored;
  const bool ip = ::inet_pton(AF_INET, text.c_str(), &ignored) == 1 ||
                  ::inet_pton(AF_INET6, text.c_str(), &ignored) == 1;
  return ip ? Address{std::move(text), ""} : Address{"", std::move(text)};
}

Addresses sorted(Addresses addresses) {
  std::ranges::sort(addresses);
  const auto rest = std::ranges::unique(addresses);
  addresses.erase(rest.begin(), rest.end());
  return addresses;
}

json to_json(const Addresses& addresses) {
  json out = json::array();
  for (const Address& address : addresses) {
    out.push_back(address.ip.empty() ? json{{"hostname", address.hostname}}
                                     : json{{"ip", address.ip}});
  }
  return out;
}

std::string to_text(const Addresses& addresses) {
  std::string out;
  for (const Address& address : addresses)
    out += (out.empty() ? "" : ", ") + (address.ip.empty() ? address.hostname : address.ip);
  return out.empty() ? "none" : out;
}

std::expected<Addresses, std::string> parse_addresses(std::string_view list) {
  Addresses out;
  while (!list.empty()) {
    const size_t comma = std::min(list.find(','), list.size());
    Address address = address_of(std::string(list.substr(0, comma)));
    list.remove_prefix(std::min(comma + 1, list.size()));
    if (address.ip.empty() && !model::valid_name(address.hostname))
      return std::unexpected("IP addresses or DNS names, separated by commas");
    out.push_back(std::move(address));
  }
  if (out.empty()) return std::unexpected("IP addresses or DNS names, separated by commas");
  return sorted(std::move(out));
}

ServiceAddresses addresses_of_service(const json& service) {
  const json& spec = at(service, "spec");
  const std::string type = text(spec, "type");
  ServiceAddresses out;
  for (const json& ip : items(spec, "externalIPs")) {
    if (ip.is_string() && !ip.get<std::string>().empty())
      out.addresses.push_back(address_of(ip.get<std::string>()));
  }
  if (type == "LoadBalancer") {
    for (const json& entry : items(at(at(service, "status"), "loadBalancer"), "ingress")) {
      const std::string ip = text(entry, "ip"), hostname = text(entry, "hostname");
      if (!ip.empty() || !hostname.empty())
        out.addresses.push_back(address_of(ip.empty() ? hostname : ip));
    }
  } else if (type == "ExternalName") {
    out.addresses = {address_of(text(spec, "externalName"))};
  } else if (type == "NodePort") {
    out.nodes = out.addresses.empty();
  } else {
    const std::string ip = text(spec, "clusterIP");
    // A headless Service has no address of its own: its pods have the node's, by hostPort.
    out.nodes = ip.empty() || ip == "None";
    out.addresses.clear();
    if (!out.nodes) out.addresses = {address_of(ip)};
  }
  out.addresses = sorted(std::move(out.addresses));
  return out;
}

Addresses addresses_of_node(const json& node, bool internal) {
  for (const char* type : {internal ? "InternalIP" : "ExternalIP", "InternalIP"}) {
    Addresses out;
    for (const json& entry : items(at(node, "status"), "addresses")) {
      if (text(entry, "type") == type) out.push_back(address_of(text(entry, "address")));
    }
    if (!out.empty()) return sorted(std::move(out));
  }
  return {};
}

std::expected<Published, std::string> AddressReader::read() {
  if (!options_.fixed.empty()) return Published{options_.fixed};
  if (!options_.service_name.empty()) return read_service();
  if (!options_.pods_selector.empty()) return read_pods();
  return Published{};
}

std::expected<Published, std::string> AddressReader::read_service() {
  const std::string& ns = options_.service_ns;
  const std::string& name = options_.service_name;
  const auto service = fetch(api_, "/api/v1/namespaces/" + ns + "/services/" + name);
  if (!service) return std::unexpected(service.error());
  if (!service->found || at(at(service->body, "metadata"), "deletionTimestamp").is_string())
    return Published{.gone = true};
  ServiceAddresses found = addresses_of_service(service->body);
  if (!found.nodes) return Published{std::move(found.addresses)};
  const auto slices =
      fetch(api_, "/apis/discovery.k8s.io/v1/namespaces/" + ns + "/endpointslices",
            "labelSelector=" + kube::query_escape("kubernetes.io/service-name=" + name));
  if (!slices) return std::unexpected(slices.error());
  std::vector<std::string> names;
  for (const json& slice : items(slices->body, "items")) {
    for (const json& endpoint : items(slice, "endpoints")) {
      const json& ready = at(at(endpoint, "conditions"), "ready");
      if (!ready.is_boolean() || ready.get<bool>()) names.push_back(text(endpoint, "nodeName"));
    }
  }
  auto nodes = read_nodes(names);
  if (!nodes) return std::unexpected(nodes.error());
  return Published{*std::move(nodes)};
}

std::expected<Published, std::string> AddressReader::read_pods() {
  const auto pods = fetch(api_, "/api/v1/namespaces/" + options_.pods_ns + "/pods",
                          "labelSelector=" + kube::query_escape(options_.pods_selector));
  if (!pods) return std::unexpected(pods.error());
  std::vector<std::string> names;
  for (const json& pod : items(pods->body, "items")) {
    if (is_ready(pod)) names.push_back(text(at(pod, "spec"), "nodeName"));
  }
  auto nodes = read_nodes(names);
  if (!nodes) return std::unexpected(nodes.error());
  return Published{*std::move(nodes)};
}

std::expected<Addresses, std::string> AddressReader::read_nodes(
    const std::vector<std::string>& names) {
  Addresses out;
  for (const std::string& name : std::set<std::string>(names.begin(), names.end())) {
    if (name.empty()) continue;
    const auto node = fetch(api_, "/api/v1/nodes/" + name);
    if (!node) return std::unexpected(node.error());
    if (node->found)
      std::ranges::copy(addresses_of_node(node->body, options_.node_internal),
                        std::back_inserter(out));
  }
  return sorted(std::move(out));
}

}  // namespace ringway::status
