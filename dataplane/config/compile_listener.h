// Listener messages -> Listener, but for what depends on other resources (TLS context, default
// cluster's slot).
//
// Thread rule: the control thread's. Errors: one line for people.
#pragma once

#include <expected>
#include <memory>
#include <string>

#include "dataplane/config/snapshot.h"
#include "dataplane/tls/server_context.h"
#include "ringway/v1/resources.pb.h"

namespace ringway::config {

constexpr char kDefaultRouteSet[] = "ingress";  // Listener.route_set

std::expected<Listener, std::string> compile_listener(const std::string& name,
                                                      const v1::Listener& in);
std::expected<tls::ServerPolicy, std::string> compile_tls_policy(const v1::TlsOptions& in);

}  // namespace ringway::config
