// The proof that the other side understood a WebSocket handshake (RFC 6455 section 4.2.2).
#pragma once

#include <array>
#include <string_view>

namespace ringway::http {

using WebsocketAccept = std::array<char, 28>;

// base64(SHA-1(key + the GUID of RFC 6455)). Not a secret and no security rests on SHA-1 here.
WebsocketAccept websocket_accept(std::string_view key);

}  // namespace ringway::http
