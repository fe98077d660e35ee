// Answers of Ringway's own: fixed texts, never an echo of request data (a reflected path is how error pages get abused).
#pragma once

#include <cstdint>
#include <string_view>

#include "dataplane/http/message.h"

namespace ringway::proxy {

// The body for `status`: its code and reason phrase in one line.
std::string_view local_body(uint16_t status);

// Fills `head` for a text/plain answer. `location`: "" = none. Views are kept, not copied.
void fill_local_response(http::ResponseHead& head, uint16_t status, std::string_view location, std::string_view body,
                         std::string_view date);

}  // namespace ringway::proxy
