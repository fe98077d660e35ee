// Which fields may stand in a trailer section.
#pragma once

#include "dataplane/http/field_parser.h"
#include "dataplane/http/message.h"

namespace ringway::http {

// RFC 9110 section 6.5.1: what frames, routes, authenticates, or says how to read the content; and
// what the proxy itself vouches for.
bool forbidden_in_trailers(const Header& field);

// Parses a trailer section up to its empty line and takes the forbidden fields out. Errors:
// kBadTrailers, kHeadersTooLarge. As parse_request_head: `progress` says where to go on.
ParseResult parse_trailers(std::string_view bytes, const Limits& limits, HeadProgress& progress,
                           HeaderList& trailers);

}  // namespace ringway::http
