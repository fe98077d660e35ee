// What an upstream must answer for an upgrade to have happened (RFC 9110 section 7.8, RFC 6455
// section 4.1).
#pragma once

#include <string>

#include "dataplane/http/message.h"
#include "dataplane/http/websocket_accept.h"

namespace ringway::http {

class UpgradeRequest {
 public:
  // REQUIRES: head.upgrade.
  explicit UpgradeRequest(const RequestHead& head);

  // `head`: status 101. Connection: upgrade, the one protocol that was asked for, and for websocket
  // the one right Sec-WebSocket-Accept.
  bool answered_by(const ResponseHead& head) const;

 private:
  std::string protocol_;
  bool websocket_ = false;
  WebsocketAccept accept_{};
};

}  // namespace ringway::http
