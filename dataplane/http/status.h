// HTTP status codes Ringway itself answers with, their reason phrases, and why a request or
// response was refused.
#pragma once

#include <cstdint>
#include <string_view>

namespace ringway::http {

// The reason phrase of RFC 9110 section 15 for a registered code, "" otherwise.
std::string_view reason_phrase(uint16_t status);

// Why bytes of a peer were refused. One flat list: it is the label of a metric and a word in the
// log.
enum class Error : uint8_t {
  kNone,
  kBadRequestLine,      // 400, RFC 9112 section 3
  kBadMethod,           // 400, not a token
  kBadTarget,           // 400, RFC 9112 section 3.2, RFC 3986
  kUriTooLong,          // 414
  kBadVersion,          // 400 when malformed
  kUnsupportedVersion,  // 505
  kBadHeader,  // 400: name, colon, value bytes, obs-fold, bare CR or LF (RFC 9112 sections 2.2, 5)
  kUnderscoreHeader,         // 400 when the policy is to reject
  kHeadersTooLarge,          // 431
  kBadHost,                  // 400, RFC 9112 section 3.2
  kBadContentLength,         // 400, RFC 9112 section 6.3
  kBadTransferEncoding,      // 400: chunked not last, repeated, with Content-Length, in HTTP/1.0
  kUnknownTransferEncoding,  // 501, RFC 9112 section 6.1
  kBadChunk,                 // 400, RFC 9112 section 7.1
  kBadTrailers,              // 400
  kBodyTooLarge,             // 413
  kUnknownExpectation,       // 417, RFC 9110 section 10.1.1
  kMethodNotAllowed,         // 405: CONNECT, TRACE
  kBadUpgrade,               // 400/502: an upgrade that is not one
  kBadStatusLine,            // response side: answered 502
  kBadResponse,              // response side: 502
  kTooManyInterim,           // response side: 1xx flood, 502
  kTruncated,                // the peer closed inside a message
  kTimeout,                  // 408
  kRefusedStream,            // response side: the peer did not process the request (RFC 9113 8.7)
  kStreamReset,              // response side: RST_STREAM before the end
  kBadBase64,                // 400: the text form of gRPC-Web
  kMisdirected,              // 421, RFC 9110 section 15.5.20
  kPlainOnTls,               // 400: HTTP in clear text on a port of HTTPS
};
std::string_view error_name(Error error);  // snake_case, for metrics and logs.
uint16_t status_of(Error error);           // What a request so refused is answered with.

}  // namespace ringway::http
