// Takes out of a head what belongs to the connection it came on (RFC 9110 section 7.6.1). Before
// anything is added for the next hop, so that a peer cannot name our own fields in Connection and
// have them removed.
#pragma once

#include "dataplane/http/message.h"

namespace ringway::http {

// Removes Connection and the fields it names, Keep-Alive, Proxy-Connection, Proxy-Authorization,
// Proxy-Authenticate, HTTP2-Settings, and Upgrade unless the head is an accepted upgrade. TE
// becomes "trailers" when that is in it, else goes. Never removed on the word of Connection: Host,
// Content-Length, Transfer-Encoding, Authorization, Cookie, Set-Cookie, the WebSocket handshake,
// and what forwarding.h sets. Content-Length and Transfer-Encoding stay in the list; head_writer.h
// does not write them.
void remove_hop_by_hop(RequestHead& head);

// The same for a response; Upgrade stays in a 101.
void remove_hop_by_hop(ResponseHead& head);

}  // namespace ringway::http
