// Bytes to a request head (RFC 9112 sections 3 and 5). Pure: no state but what the caller holds, no
// allocation.
//
// Two steps. parse_request_head: the syntax of request line and fields; views into `bytes`.
// complete_request_head: what they mean (target form, Host, body length, connection options,
// expectation, upgrade, canonical path).
//
// Strict: CRLF only, single spaces, no obs-fold, no bare CR or LF, no control byte. A request line
// is judged when its LF is there (its first byte at once), so equal messages get equal verdicts
// however they were cut.
#pragma once

#include "dataplane/http/field_parser.h"
#include "dataplane/http/message.h"
#include "dataplane/io/buffer_pool.h"

namespace ringway::http {

// Goes on at `progress` (fresh: default-made, with a reset head). After kIncomplete the caller adds
// bytes behind, in place, and calls again; when the bytes had to move it begins afresh. Leading
// empty lines are the caller's.
ParseResult parse_request_head(std::string_view bytes, const Limits& limits, HeadProgress& progress,
                               RequestHead& head,
                               ScanKind scan = has_vector_scan() ? ScanKind::kVector
                                                                 : ScanKind::kPortable);

// REQUIRES: a head that parse_request_head completed. Sets body, keep_alive, expect_continue,
// upgrade, asterisk, scheme, authority, target, path, query; `output_pool` gives memory for a path
// that had to be rewritten. An absolute-form target replaces the Host field's value. Error::kNone
// when the request is acceptable.
Error complete_request_head(RequestHead& head, io::BufferPool& output_pool);

}  // namespace ringway::http
