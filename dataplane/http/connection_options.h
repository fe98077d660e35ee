// What the Connection fields of a head ask for (RFC 9110 section 7.6.1).
#pragma once

#include "dataplane/http/message.h"

namespace ringway::http {

struct ConnectionOptions {
  bool close = false;
  bool keep_alive = false;
  bool upgrade = false;
  bool too_many = false;  // More than kConnectionOptionsMax: no honest sender; looking each up in
                          // every field would cost too much.
};
constexpr uint32_t kConnectionOptionsMax = 32;

ConnectionOptions connection_options(const HeaderList& headers);

// The one protocol that the Upgrade fields name, e.g. "websocket"; "" when there is none, several,
// or a malformed one.
std::string_view single_upgrade(const HeaderList& headers);

}  // namespace ringway::http
