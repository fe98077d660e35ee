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

// Names of the clusters that a backend of an Ingress goes to.
struct BackendClusters {
  std::string cluster;
  std::string https_cluster;  // WeightedCluster.https_cluster
};
using ResolveBackend =
    std::function<std::expected<BackendClusters, Refusal>(const IngressFacts&, const BackendRef&)>;

// `ingresses` have `host` in hosts. `tls`: the host has TLS by any Ingress. Problems of routes are
// those of their Ingress. A route whose backend cannot be used stays, with an empty cluster: it
// answers 503. With `focus`, one of `ingresses`, only paths that mean the same requests as one of
// its own are looked at: what it meets among ten thousand others costs no table of all of them.
v1::RouteTable translate_host(const std::string& host, const ByAge& ingresses, bool tls,
                              const ResolveBackend& resolve, std::vector<model::Problem>& problems,
                              const IngressFacts* focus = nullptr);

}  // namespace ringway::translate
