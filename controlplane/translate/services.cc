#include "controlplane/translate/services.h"

#include <map>

#include "controlplane/translate/endpoints.h"

namespace ringway::translate {
namespace {

using model::quote;
using model::Reason;

struct PortUse {
  const kubernetes::ServicePort* port = nullptr;
  v1::Balancer balancer = v1::BALANCER_UNSPECIFIED;
  const v1::HealthCheck* health_check = nullptr;
};

std::map<int32_t, PortUse> ports_in_use(const kubernetes::Service& service, const std::string& ns,
                                        const std::vector<ServiceUse>& uses,
                                        const Options& options) {
  std::map<int32_t, PortUse> ports;
  for (const ServiceUse& use : uses) {
    const auto port = find_port(&service, ns, *use.ref, options);
    if (!port) continue;  // Reported where the backend is written.
    PortUse& entry = ports[(*port)->port()];
    entry.port = *port;
    if (use.settings == nullptr) continue;
    if (entry.balancer == v1::BALANCER_UNSPECIFIED) entry.balancer = use.settings->balancer;
    if (entry.health_check == nullptr && use.settings->health_check) {
      entry.health_check = &*use.settings->health_check;
    }
  }
  return ports;
}

}  // namespace

std::expected<const kubernetes::ServicePort*, Refusal> find_port(const kubernetes::Service* service,
                                                                 const std::string& ns,
                                                                 const BackendRef& ref,
                                                                 const Options& options) {
  const std::string name = ns + "/" + ref.service;
  if (service == nullptr) {
    return std::unexpected(Refusal{Reason::kServiceNotFound,
                                   "Service " + name + " does not exist; the path answers 503"});
  }
  if (service->spec().type() == "ExternalName" && !options.external_names) {
    return std::unexpected(
        Refusal{Reason::kExternalName, "Service " + name +
                                           " is of type ExternalName, which is not "
                                           "allowed; the path answers 503"});
  }
  for (const kubernetes::ServicePort& port : service->spec().ports()) {
    const bool tcp = port.protocol().empty() || port.protocol() == "TCP";
    const bool meant = ref.port_name.empty() ? port.port() == static_cast<int32_t>(ref.port_number)
                                             : port.name() == ref.port_name;
    if (tcp && meant) return &port;
  }
  return std::unexpected(Refusal{
      Reason::kServicePortNotFound,
      "Service " + name + " has no TCP port " + quote(ref.port_text()) + "; the path answers 503"});
}

std::string cluster_name(const std::string& ns, const std::string& service, int32_t port) {
  return ns + "/" + service + ":" + std::to_string(port);
}

std::vector<v1::Resource> translate_service(const model::Object& object,
                                            const std::vector<ServiceUse>& uses,
                                            const std::vector<const model::Object*>& slices,
                                            const Options& options,
                                            std::vector<model::Problem>& problems) {
  const auto& service = std::get<kubernetes::Service>(object.body);
  Report report(object.key, object.location, problems);
  std::vector<v1::Resource> out;
  const auto ports = ports_in_use(service, object.key.ns, uses, options);
  if (ports.empty()) return out;
  const auto own_check = read_service_annotations(service.metadata().annotations(), report);
  for (const auto& [number, use] : ports) {
    const std::string name = cluster_name(object.key.ns, object.key.name, number);
    v1::Resource resource;
    resource.set_name(name);
    v1::Cluster& cluster = *resource.mutable_cluster();
    cluster.set_protocol(v1::UPSTREAM_PROTOCOL_HTTP1);
    cluster.set_balancer(use.balancer == v1::BALANCER_UNSPECIFIED ? v1::BALANCER_ROUND_ROBIN
                                                                  : use.balancer);
    cluster.mutable_metadata()->set_namespace_(object.key.ns);
    cluster.mutable_metadata()->set_service(object.key.name);
    cluster.mutable_metadata()->set_service_port(std::to_string(number));
    if (own_check) {
      *cluster.mutable_health_check() = *own_check;
    } else if (use.health_check != nullptr) {
      *cluster.mutable_health_check() = *use.health_check;
    }
    out.push_back(std::move(resource));

    resource = v1::Resource();
    resource.set_name(name);
    *resource.mutable_endpoints() =
        service.spec().type() == "ExternalName"
            ? external_endpoint(object, *use.port, options, problems)
            : collect_endpoints(object, *use.port, slices, options, problems);
    out.push_back(std::move(resource));
  }
  return out;
}

}  // namespace ringway::translate
