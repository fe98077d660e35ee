// Cluster and Endpoints messages -> upstream::Cluster.
//
// Thread rule: the control thread's. Pure but for the registry. Errors: one line for people,
// without the resource's name.
#pragma once

#include <expected>
#include <string>

#include "dataplane/upstream/cluster.h"
#include "dataplane/upstream/endpoint_registry.h"
#include "ringway/v1/resources.pb.h"

namespace ringway::config {

// Everything but name, slot, uid, revision and endpoints.
std::expected<void, std::string> compile_cluster_policy(const v1::Cluster& in,
                                                        upstream::Cluster& out);
// Puts the policy fields of `from` into `to`.
void copy_cluster_policy(const upstream::Cluster& from, upstream::Cluster& to);

// Replaces `out.endpoints`; protocol is `out.protocol`. Two of one address: the first counts.
std::expected<void, std::string> compile_endpoints(const v1::Endpoints& in,
                                                   upstream::EndpointRegistry& registry,
                                                   upstream::Cluster& out);
// The same addresses under the protocol of `out`, when that has changed.
void change_protocol(upstream::EndpointRegistry& registry, upstream::Cluster& out);

}  // namespace ringway::config
