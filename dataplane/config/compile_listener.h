// Listener messages -> Listener, but for what depends on other resources (TLS context, slots of
// clusters).
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

// One of Listener.addresses as ListenerSockets::bind() takes it, and as it stands in
// config::Listener: with "udp:" in front for datagrams.
std::string socket_address(const v1::Listener& in, const std::string& address);
std::expected<Listener, std::string> compile_listener(const std::string& name,
                                                      const v1::Listener& in,
                                                      StreamSource source = StreamSource::kProxy);
// `kind`: whether HTTP is spoken inside decides the ALPN default.
std::expected<tls::ServerPolicy, std::string> compile_tls_policy(
    const v1::TlsOptions& in, bool http2, ListenerKind kind = ListenerKind::kHttps);

}  // namespace ringway::config
