#include "controlplane/translate/services.h"

#include <map>

#include "base/check.h"
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
using PortsInUse = std::map<std::pair<int32_t, ClusterKind>, PortUse>;

void note_use(PortUse& entry, const kubernetes::ServicePort& port, const Settings* settings) {
  entry.port = &port;
  if (settings == nullptr) return;
  if (entry.balancer == v1::BALANCER_UNSPECIFIED) entry.balancer = settings->balancer;
  if (entry.health_check == nullptr && settings->health_check) {
    entry.health_check = &*settings->health_check;
  }
}

PortsInUse ports_in_use(const kubernetes::Service& service, const std::string& ns,
                        const std::vector<ServiceUse>& uses, const Options& options) {
  PortsInUse ports;
  for (const ServiceUse& use : uses) {
    const auto port = find_port(&service, ns, *use.ref, options, use.transport);
    if (!port) continue;  // Reported where the backend is written.
    if (use.transport == Transport::kHttp) {
      const ClusterKinds kinds = cluster_kinds(**port, use.settings);
      note_use(ports[{(*port)->port(), kinds.kind}], **port, use.settings);
      if (kinds.https) note_use(ports[{(*port)->port(), *kinds.https}], **port, use.settings);
    } else {
      note_use(ports[{(*port)->port(), cluster_kind(use.transport)}], **port, use.settings);
    }
  }
  return ports;
}

void set_protocol(ClusterKind kind, v1::Cluster& cluster) {
  if (kind == ClusterKind::kUdp) return cluster.set_protocol(v1::UPSTREAM_PROTOCOL_UDP);
  const bool http2 = kind == ClusterKind::kHttp2 || kind == ClusterKind::kHttp2Tls;
  cluster.set_protocol(http2 ? v1::UPSTREAM_PROTOCOL_HTTP2 : v1::UPSTREAM_PROTOCOL_HTTP1);
  if (kind == ClusterKind::kHttp1Tls || kind == ClusterKind::kHttp2Tls) cluster.mutable_tls();
}

}  // namespace

std::expected<const kubernetes::ServicePort*, Refusal> find_port(const kubernetes::Service* service,
                                                                 const std::string& ns,
                                                                 const BackendRef& ref,
                                                                 const Options& options,
                                                                 Transport transport,
                                                                 const std::string& effect) {
  const std::string name = ns + "/" + ref.service;
  if (service == nullptr) {
    return std::unexpected(
        Refusal{Reason::kServiceNotFound, "Service " + name + " does not exist; " + effect});
  }
  if (service->spec().type() == "ExternalName" && !options.external_names) {
    return std::unexpected(
        Refusal{Reason::kExternalName, "Service " + name +
                                           " is of type ExternalName, which is not allowed; " +
                                           effect});
  }
  for (const kubernetes::ServicePort& port : service->spec().ports()) {
    const bool tcp = port.protocol().empty() || port.protocol() == "TCP";
    const bool fits = transport == Transport::kUdp ? port.protocol() == "UDP" : tcp;
    const bool meant = ref.port_name.empty() ? port.port() == static_cast<int32_t>(ref.port_number)
                                             : port.name() == ref.port_name;
    if (fits && meant) return &port;
  }
  const char* kind = transport == Transport::kUdp ? " has no UDP port " : " has no TCP port ";
  return std::unexpected(Refusal{Reason::kServicePortNotFound,
                                 "Service " + name + kind + quote(ref.port_text()) + "; " + effect});
}

ClusterKind cluster_kind(Transport transport) {
  DCHECK(transport != Transport::kHttp);
  return transport == Transport::kUdp ? ClusterKind::kUdp : ClusterKind::kHttp1;
}

ClusterKinds cluster_kinds(const kubernetes::ServicePort& port, const Settings* settings) {
  switch (settings == nullptr ? BackendProtocol::kUnset : settings->protocol) {
    case BackendProtocol::kHttp:
      return {ClusterKind::kHttp1, {}};
    case BackendProtocol::kHttps:
      return {ClusterKind::kHttp1Tls, {}};
    case BackendProtocol::kGrpc:
      return {ClusterKind::kHttp2, {}};
    case BackendProtocol::kGrpcs:
      return {ClusterKind::kHttp2Tls, {}};
    case BackendProtocol::kAutoHttp:
      return {ClusterKind::kHttp1, ClusterKind::kHttp1Tls};
    case BackendProtocol::kUnset:
      break;
  }
  // KEP-3726 and the names registered with IANA; "grpc" as ingress controllers use it.
  const std::string& protocol = port.app_protocol();
  if (protocol == "kubernetes.io/h2c" || protocol == "grpc") return {ClusterKind::kHttp2, {}};
  if (protocol == "kubernetes.io/wss" || protocol == "https") return {ClusterKind::kHttp1Tls, {}};
  return {};
}

std::string cluster_name(const std::string& ns, const std::string& service, int32_t port,
                         ClusterKind kind) {
  std::string name = ns + "/" + service + ":" + std::to_string(port);
  switch (kind) {
    case ClusterKind::kHttp1:
      return name;
    case ClusterKind::kHttp1Tls:
      return name + "+https";
    case ClusterKind::kHttp2:
      return name + "+h2c";
    case ClusterKind::kHttp2Tls:
      return name + "+h2";
    case ClusterKind::kUdp:
      return name + "/udp";
  }
  return name;
}

std::vector<v1::Resource> translate_service(const model::Object& object,
                                            const std::vector<ServiceUse>& uses,
                                            const std::vector<const model::Object*>& slices,
                                            const Options& options, const v1::PoolOptions& pool,
                                            std::vector<model::Problem>& problems) {
  const auto& service = std::get<kubernetes::Service>(object.body);
  Report report(object.key, object.location, problems);
  std::vector<v1::Resource> out;
  const auto ports = ports_in_use(service, object.key.ns, uses, options);
  if (ports.empty()) return out;
  const auto own_check = read_service_annotations(service.metadata().annotations(), report);
  for (const auto& [way, use] : ports) {
    const auto [number, kind] = way;
    const std::string name = cluster_name(object.key.ns, object.key.name, number, kind);
    v1::Resource resource;
    resource.set_name(name);
    v1::Cluster& cluster = *resource.mutable_cluster();
    set_protocol(kind, cluster);
    // Sessions of datagrams differ in what they cost: the endpoint with fewer of them.
    const v1::Balancer usual =
        kind == ClusterKind::kUdp ? v1::BALANCER_LEAST_REQUEST : v1::BALANCER_ROUND_ROBIN;
    cluster.set_balancer(use.balancer == v1::BALANCER_UNSPECIFIED ? usual : use.balancer);
    if (kind != ClusterKind::kUdp && pool.ByteSizeLong() > 0) *cluster.mutable_pool() = pool;
    cluster.mutable_metadata()->set_namespace_(object.key.ns);
    cluster.mutable_metadata()->set_service(object.key.name);
    cluster.mutable_metadata()->set_service_port(std::to_string(number));
    const v1::HealthCheck* check = own_check ? &*own_check : use.health_check;
    if (kind == ClusterKind::kUdp) check = nullptr;  // Nothing is known that every UDP service would answer.
    if (check != nullptr && check->has_grpc() &&
        cluster.protocol() != v1::UPSTREAM_PROTOCOL_HTTP2) {
      report.warning("metadata.annotations[ringway.dev/health-check-port-type]",
                     Reason::kInvalidAnnotation,
                     "port " + std::to_string(number) +
                         " does not speak gRPC (backend-protocol, appProtocol): it is not checked");
      check = nullptr;
    }
    if (check != nullptr) *cluster.mutable_health_check() = *check;
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
