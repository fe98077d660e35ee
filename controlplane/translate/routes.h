// All Ingresses of one host → its RouteTable.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "controlplane/translate/ingress_facts.h"
#include "controlplane/translate/services.h"
#include "ringway/v1/resources.pb.h"

namespace ringway::translate {

inline constexpr char kRouteSet[] = "ingress";

using ByAge = std::set<const IngressFacts*, Older>;  // Oldest first.

// Name of the cluster that a backend of an Ingress in namespace `ns` goes to.
using ResolveBackend = std::function<std::expected<std::string, Refusal>(const std::string& ns,
                                                                         const BackendRef& ref)>;

// `ingresses` have `host` in hosts. `tls`: the host has TLS by any Ingress. Problems of routes are
// those of their Ingress. A route whose backend cannot be used stays, with an empty cluster: it
// answers 503.
v1::RouteTable translate_host(const std::string& host, const ByAge& ingresses, bool tls,
                              const ResolveBackend& resolve, std::vector<model::Problem>& problems);

}  // namespace ringway::translate
