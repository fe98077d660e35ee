// Who is who on the discovery link, by the names in certificates.
//
// Proxies mount one certificate together, so it says "a proxy of this installation" and not which:
// any node id may be claimed with it. A certificate may say more: with a URI that ends in a node
// id, that id only. A controller's own certificate is no proxy's. Certificates without any of these
// URIs (a CA of the user's own, cert-manager) are proxies: the CA is the whole statement.
#pragma once

#include <expected>
#include <string>

#include "controlplane/serve/server.h"

namespace ringway::identity {

inline constexpr char kProxyUri[] = "spiffe://ringway/proxy";  // "/NODE" may follow.
inline constexpr char kControllerUri[] = "spiffe://ringway/controller";
// Always among the names of the controller's certificate, whatever its Service is called.
inline constexpr char kControllerName[] = "ringway-controller";

// For serve::ServerOptions.
std::expected<void, std::string> authenticate(const serve::PeerIdentity& peer,
                                              const v1::Hello& hello);

}  // namespace ringway::identity
