#include "controlplane/translate/endpoints.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstring>
#include <tuple>

#include "controlplane/translate/report.h"

namespace ringway::translate {
namespace {

using model::quote;
using model::Reason;

std::string_view why_refused(uint32_t address, const Options& options) {  // Host byte order.
  const uint32_t first = address >> 24;
  if (first == 0) return "is unspecified";
  if (first >= 224) return "is multicast or reserved";
  if (address >> 16 == 0xA9FE) return "is link-local";
  if (first == 127 && !options.loopback_endpoints) return "is loopback";
  return "";
}

std::string_view why_refused(const in6_addr& address, const Options& options) {
  const uint8_t* bytes = address.s6_addr;
  if (IN6_IS_ADDR_V4MAPPED(&address) || (IN6_IS_ADDR_V4COMPAT(&address) != 0)) {
    uint32_t mapped = 0;
    std::memcpy(&mapped, bytes + 12, sizeof mapped);
    return why_refused(ntohl(mapped), options);
  }
  if (IN6_IS_ADDR_UNSPECIFIED(&address)) return "is unspecified";
  if (IN6_IS_ADDR_LOOPBACK(&address)) return options.loopback_endpoints ? "" : "is loopback";
  if (IN6_IS_ADDR_LINKLOCAL(&address)) return "is link-local";
  if (IN6_IS_ADDR_MULTICAST(&address)) return "is multicast";
  return "";
}

const std::string& protocol_of(const std::string& protocol) {
  static const std::string kTcp = "TCP";
  return protocol.empty() ? kTcp : protocol;
}

std::vector<uint32_t> matching_ports(const kubernetes::EndpointSlice& slice,
                                     const kubernetes::ServicePort& port) {
  std::vector<uint32_t> numbers;
  for (const kubernetes::EndpointPort& candidate : slice.ports()) {
    const bool same = port.name().empty() || candidate.name() == port.name();
    const bool valid = candidate.port() > 0 && candidate.port() <= 65535;
    const bool fits = protocol_of(candidate.protocol()) == protocol_of(port.protocol());
    if (fits && same && valid) {
      numbers.push_back(static_cast<uint32_t>(candidate.port()));
    }
  }
  return numbers;
}

v1::Endpoint read_endpoint(const kubernetes::Endpoint& from, std::string address, uint32_t port) {
  const kubernetes::EndpointConditions& conditions = from.conditions();
  v1::Endpoint to;
  to.set_address(std::move(address));
  to.set_port(port);
  to.set_ready(!conditions.has_ready() || conditions.ready());
  to.set_serving(conditions.has_serving() ? conditions.serving() : to.ready());
  to.set_terminating(conditions.terminating());
  to.set_zone(from.zone());
  to.set_node(from.node_name());
  to.set_pod(from.target_ref().name());
  return to;
}

// The readiest first among entries of one address and port; the rest only makes the order total.
auto rank(const v1::Endpoint& e) {
  return std::tuple<const std::string&, uint32_t, bool, bool, bool, const std::string&,
                    const std::string&, const std::string&>(e.address(), e.port(), !e.ready(),
                                                            !e.serving(), e.terminating(), e.pod(),
                                                            e.node(), e.zone());
}

void read_slice(const model::Object& object, const std::vector<uint32_t>& ports,
                const Options& options, std::vector<v1::Endpoint>& found,
                std::vector<model::Problem>& problems) {
  const auto& slice = std::get<kubernetes::EndpointSlice>(object.body);
  Report report(object.key, object.location, problems);
  for (int i = 0; i < slice.endpoints_size(); ++i) {
    const kubernetes::Endpoint& endpoint = slice.endpoints(i);
    const std::string field = "endpoints[" + std::to_string(i) + "].addresses";
    if (endpoint.addresses().empty()) {
      report.error(field, Reason::kInvalidEndpoint, "must have an address");
      continue;
    }
    if (endpoint.addresses_size() > 1) {
      report.warning(field, Reason::kInvalidEndpoint,
                     "only the first address is used; write one endpoint for each");
    }
    auto address = check_address(endpoint.addresses(0), options);
    if (!address) {
      report.error(field + "[0]", Reason::kInvalidEndpoint, address.error());
      continue;
    }
    for (const uint32_t port : ports) found.push_back(read_endpoint(endpoint, *address, port));
  }
}

}  // namespace

std::expected<std::string, std::string> check_address(const std::string& text,
                                                      const Options& options) {
  char shortest[INET6_ADDRSTRLEN] = "";
  in_addr v4{};
  in6_addr v6{};
  std::string_view why;
  if (inet_pton(AF_INET, text.c_str(), &v4) == 1) {
    why = why_refused(ntohl(v4.s_addr), options);
    inet_ntop(AF_INET, &v4, shortest, sizeof shortest);
  } else if (inet_pton(AF_INET6, text.c_str(), &v6) == 1) {
    why = why_refused(v6, options);
    inet_ntop(AF_INET6, &v6, shortest, sizeof shortest);
  } else {
    return std::unexpected("must be an IP address, is " + quote(text));
  }
  if (!why.empty()) return std::unexpected(quote(text) + " " + std::string(why) + ", refused");
  return shortest;
}

v1::Endpoints collect_endpoints(const model::Object& service, const kubernetes::ServicePort& port,
                                const std::vector<const model::Object*>& slices,
                                const Options& options, std::vector<model::Problem>& problems) {
  Report report(service.key, service.location, problems);
  std::vector<v1::Endpoint> found;
  bool any_port = false;
  for (const model::Object* object : slices) {
    const auto& slice = std::get<kubernetes::EndpointSlice>(object->body);
    if (slice.address_type() == "FQDN") continue;  // Reported with the slice.
    const std::vector<uint32_t> ports = matching_ports(slice, port);
    any_port = any_port || !ports.empty();
    if (!ports.empty()) read_slice(*object, ports, options, found, problems);
  }
  const std::string named = port.name().empty() ? "" : " named " + quote(port.name());
  if (slices.empty()) {
    report.warning("", Reason::kNoEndpointSlice,
                   "has no EndpointSlice (label kubernetes.io/service-name); its paths answer 503");
  } else if (!any_port) {
    report.warning("spec.ports", Reason::kNoEndpointSlice,
                   "no EndpointSlice has a " + protocol_of(port.protocol()) + " port" + named +
                       "; its paths answer 503");
  }
  std::ranges::sort(found, [](const auto& a, const auto& b) { return rank(a) < rank(b); });
  v1::Endpoints out;
  for (v1::Endpoint& endpoint : found) {
    const int last = out.endpoints_size() - 1;
    if (last >= 0 && out.endpoints(last).address() == endpoint.address() &&
        out.endpoints(last).port() == endpoint.port()) {
      continue;
    }
    *out.add_endpoints() = std::move(endpoint);
  }
  return out;
}

v1::Endpoints external_endpoint(const model::Object& object, const kubernetes::ServicePort& port,
                                const Options& options, std::vector<model::Problem>& problems) {
  const auto& service = std::get<kubernetes::Service>(object.body);
  v1::Endpoints out;
  const auto address = check_address(service.spec().external_name(), options);
  if (!address) {
    Report(object.key, object.location, problems)
        .error("spec.externalName", Reason::kExternalName,
               address.error() + " (names are not resolved)");
    return out;
  }
  v1::Endpoint& endpoint = *out.add_endpoints();
  endpoint.set_address(*address);
  endpoint.set_port(static_cast<uint32_t>(port.port()));
  endpoint.set_ready(true);
  endpoint.set_serving(true);
  return out;
}

}  // namespace ringway::translate
