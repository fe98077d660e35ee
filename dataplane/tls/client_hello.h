// What the choice of a certificate asks of a ClientHello.
#pragma once

#include <openssl/ssl.h>

#include <cstdint>

namespace ringway::tls {

// True when the client takes a certificate with an ECDSA key whose signature algorithm is
// `signature` (SSL_SIGN_ECDSA_*): it lists the algorithm, and either speaks TLS 1.3 or lists an
// ECDHE_ECDSA suite of TLS 1.2 (RFC 8446, section 4.2.3). Malformed extensions read as false: the
// handshake that follows refuses them.
bool takes_ecdsa(const SSL_CLIENT_HELLO& hello, uint16_t signature);

}  // namespace ringway::tls
