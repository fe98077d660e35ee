// Bytes to a response head (RFC 9112 sections 4 and 5). Pure, as request_parser.h: upstreams are as
// little trusted as clients.
#pragma once

#include "dataplane/http/field_parser.h"
#include "dataplane/http/framing.h"
#include "dataplane/http/message.h"

namespace ringway::http {

// As parse_request_head. Field names with '_' stay. Malformed fields are kBadResponse, a malformed
// first line kBadStatusLine.
ParseResult parse_response_head(std::string_view bytes, const Limits& limits,
                                HeadProgress& progress, ResponseHead& head,
                                ScanKind scan = has_vector_scan() ? ScanKind::kVector
                                                                  : ScanKind::kPortable);

// Sets body and keep_alive. `request_method`: of the request that is answered.
std::expected<ResponseFraming, Error> complete_response_head(ResponseHead& head,
                                                             Method request_method);

}  // namespace ringway::http
