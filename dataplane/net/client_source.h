// The client's own address as the source of a connection to an endpoint ("transparent"): whether it
// can be, and whether this process may.
#pragma once

#include <expected>
#include <optional>
#include <string>

#include "dataplane/io/socket_address.h"

namespace ringway::net {

// What a connection to `target` is bound to so that it comes from `client`: its IP address with
// port 0. An IPv4 address mapped into IPv6 counts as IPv4. nullopt where no answer could come back,
// or the network would drop it on the way:
//  - a Unix peer, an unspecified or multicast address, or the other family;
//  - a link-local address, which means something on its own link only;
//  - a loopback address towards an endpoint elsewhere (RFC 1122, section 3.2.1.3);
//  - the endpoint's own address, unless loopback: hosts drop what seems to come from themselves.
std::optional<io::SocketAddress> client_source(const io::SocketAddress& client,
                                               const io::SocketAddress& target);

// Asks the kernel on a socket of each family that it has. Error: one line for people that says
// what the process needs.
std::expected<void, std::string> may_use_client_source();

}  // namespace ringway::net
