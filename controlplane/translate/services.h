// Services: which port a backend means, and the clusters that are made of a Service.
#pragma once

#include <expected>
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

// The port of `service` (nullptr: it does not exist) that `ref` means, by name or number.
std::expected<const kubernetes::ServicePort*, Refusal> find_port(const kubernetes::Service* service,
                                                                 const std::string& ns,
                                                                 const BackendRef& ref,
                                                                 const Options& options);

// "namespace/service:80": by number, so that named and numbered references share one cluster.
std::string cluster_name(const std::string& ns, const std::string& service, int32_t port);

// Who uses a Service.
struct ServiceUse {
  const BackendRef* ref;
  const Settings* settings;  // nullptr for the default backend of the controller.
};

// Cluster and Endpoints of every port in use. `uses`: oldest Ingress first, whose load-balance and
// health check win; those of the Service's own annotations win over all.
std::vector<v1::Resource> translate_service(const model::Object& service,
                                            const std::vector<ServiceUse>& uses,
                                            const std::vector<const model::Object*>& slices,
                                            const Options& options,
                                            std::vector<model::Problem>& problems);

}  // namespace ringway::translate
