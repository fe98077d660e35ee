// How long a body is, for every version and both directions (RFC 9112 section 6.3, RFC 9113
// section 8.1.1). The only place where Content-Length and Transfer-Encoding are read: two readings
// of the same fields are what smuggling is made of.
#pragma once

#include <expected>

#include "dataplane/http/message.h"

namespace ringway::http {

// HTTP/1: kNone without either field. HTTP/2: kChunked without Content-Length; the caller makes it
// kNone when END_STREAM came with the head. Refused (policy: what two parsers might read
// differently is refused): both fields; any Content-Length but one field of digits below 2^63; any
// Transfer-Encoding but one "chunked"; Transfer-Encoding in HTTP/1.0 and HTTP/2.
std::expected<BodyLength, Error> request_body_length(Version version, const HeaderList& headers);

struct ResponseFraming {
  BodyLength
      length;  // What the fields declare; of a HEAD or 304 response, what GET would have had.
  bool empty = false;  // No byte of a body follows, whatever is declared.
};

// As strict as for requests. 1xx and 204 may declare no body (a Content-Length of 0 in 204 is let
// pass: many servers send it).
std::expected<ResponseFraming, Error> response_body_length(Method request_method, uint16_t status,
                                                           Version version,
                                                           const HeaderList& headers);

// The bytes of a body against the length that was declared, for versions whose framing does not
// cut the body by it (RFC 9113 section 8.1.1).
class BodyCount {
 public:
  void begin(BodyLength length) {
    left_ = length.kind == BodyKind::kKnown ? length.bytes
            : length.kind == BodyKind::kNone ? 0
                                             : UINT64_MAX;
    known_ = left_ != UINT64_MAX;
  }
  // False: more than declared.
  bool add(uint64_t bytes) {
    if (!known_) return true;
    if (bytes > left_) return false;
    left_ -= bytes;
    return true;
  }
  // False: less than declared.
  bool end() const { return !known_ || left_ == 0; }

 private:
  uint64_t left_ = 0;
  bool known_ = true;
};

}  // namespace ringway::http
