// Services: which port a backend means, and the clusters that are made of a Service.
#pragma once

#include <expected>
#include <optional>
#include <string>
#include <vector>

#include "controlplane/model/object.h"
#include "controlplane/translate/ingress_facts.h"
#include "controlplane/translate/options.h"
#include "ringway/v1/resources.pb.h"

namespace ringway::translate {

struct Refusal {
  model::Reason reason;
  std::string message;
};

// What a Service is wanted for.
enum class Transport : uint8_t { kHttp, kTcp, kUdp };
inline constexpr char kPathAnswers503[] = "the path answers 503";

// The port of `service` (nullptr: it does not exist) that `ref` means, by name or number. `effect`:
// what a refusal comes to, the end of its message.
std::expected<const kubernetes::ServicePort*, Refusal> find_port(
    const kubernetes::Service* service, const std::string& ns, const BackendRef& ref,
    const Options& options, Transport transport = Transport::kHttp,
    const std::string& effect = kPathAnswers503);

// How the endpoints of a Service port are spoken to.
enum class ClusterKind : uint8_t { kHttp1, kHttp1Tls, kHttp2, kHttp2Tls, kUdp };
struct ClusterKinds {
  ClusterKind kind = ClusterKind::kHttp1;
  std::optional<ClusterKind> https;  // Another one for requests that come by HTTPS (AUTO_HTTP).
};

// The backend-protocol of the Ingress (`settings`: nullptr = none) wins over the port's
// appProtocol. An appProtocol that is not known means nothing, as Kubernetes asks for.
ClusterKinds cluster_kinds(const kubernetes::ServicePort& port, const Settings* settings);
// Of streams, whose bytes are passed on as they are: those of TCP share the endpoints' health with
// HTTP/1.1. REQUIRES: not kHttp.
ClusterKind cluster_kind(Transport transport);

// "namespace/service:80", with "+https", "+h2c" or "+h2" behind it: by number, so that named and
// numbered references share one cluster; "namespace/service:53/udp".
std::string cluster_name(const std::string& ns, const std::string& service, int32_t port,
                         ClusterKind kind);

// Who uses a Service.
struct ServiceUse {
  const BackendRef* ref;
  const Settings* settings;  // nullptr for the default backend of the controller, and for streams.
  Transport transport = Transport::kHttp;
};

// Cluster and Endpoints of every port in use, for each way it is spoken to. `uses`: oldest Ingress
// first, whose load-balance and health check win; those of the Service's own annotations win over
// all.
std::vector<v1::Resource> translate_service(const model::Object& service,
                                            const std::vector<ServiceUse>& uses,
                                            const std::vector<const model::Object*>& slices,
                                            const Options& options, const v1::PoolOptions& pool,
                                            std::vector<model::Problem>& problems);

}  // namespace ringway::translate
