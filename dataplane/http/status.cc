#include "dataplane/http/status.h"

#include <array>

namespace ringway::http {

namespace {

struct Phrase {
  uint16_t status;
  std::string_view text;
};

constexpr Phrase kPhrases[] = {
    {100, "Continue"},
    {101, "Switching Protocols"},
    {103, "Early Hints"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {203, "Non-Authoritative Information"},
    {204, "No Content"},
    {205, "Reset Content"},
    {206, "Partial Content"},
    {300, "Multiple Choices"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {305, "Use Proxy"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {402, "Payment Required"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {407, "Proxy Authentication Required"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Content"},
    {425, "Too Early"},
    {426, "Upgrade Required"},
    {428, "Precondition Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {451, "Unavailable For Legal Reasons"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
    {511, "Network Authentication Required"},
};

constexpr std::array<std::string_view, 600> make_by_status() {
  std::array<std::string_view, 600> by_status{};
  for (const Phrase& phrase : kPhrases) by_status[phrase.status] = phrase.text;
  return by_status;
}
constexpr std::array<std::string_view, 600> kByStatus = make_by_status();

}  // namespace

std::string_view reason_phrase(uint16_t status) {
  return status < kByStatus.size() ? kByStatus[status] : std::string_view();
}

std::string_view error_name(Error error) {
  switch (error) {
    case Error::kNone:
      return "none";
    case Error::kBadRequestLine:
      return "bad_request_line";
    case Error::kBadMethod:
      return "bad_method";
    case Error::kBadTarget:
      return "bad_target";
    case Error::kUriTooLong:
      return "uri_too_long";
    case Error::kBadVersion:
      return "bad_version";
    case Error::kUnsupportedVersion:
      return "unsupported_version";
    case Error::kBadHeader:
      return "bad_header";
    case Error::kUnderscoreHeader:
      return "underscore_header";
    case Error::kHeadersTooLarge:
      return "headers_too_large";
    case Error::kBadHost:
      return "bad_host";
    case Error::kBadContentLength:
      return "bad_content_length";
    case Error::kBadTransferEncoding:
      return "bad_transfer_encoding";
    case Error::kUnknownTransferEncoding:
      return "unknown_transfer_encoding";
    case Error::kBadChunk:
      return "bad_chunk";
    case Error::kBadTrailers:
      return "bad_trailers";
    case Error::kBodyTooLarge:
      return "body_too_large";
    case Error::kUnknownExpectation:
      return "unknown_expectation";
    case Error::kMethodNotAllowed:
      return "method_not_allowed";
    case Error::kBadUpgrade:
      return "bad_upgrade";
    case Error::kBadStatusLine:
      return "bad_status_line";
    case Error::kBadResponse:
      return "bad_response";
    case Error::kTooManyInterim:
      return "too_many_interim";
    case Error::kTruncated:
      return "truncated";
    case Error::kTimeout:
      return "timeout";
    case Error::kRefusedStream:
      return "refused_stream";
    case Error::kStreamReset:
      return "stream_reset";
    case Error::kBadBase64:
      return "bad_base64";
    case Error::kMisdirected:
      return "misdirected";
    case Error::kPlainOnTls:
      return "plain_on_tls";
  }
  return "unknown";
}

uint16_t status_of(Error error) {
  switch (error) {
    case Error::kUriTooLong:
      return 414;
    case Error::kUnsupportedVersion:
      return 505;
    case Error::kHeadersTooLarge:
      return 431;
    case Error::kUnknownTransferEncoding:
      return 501;
    case Error::kBodyTooLarge:
      return 413;
    case Error::kUnknownExpectation:
      return 417;
    case Error::kMethodNotAllowed:
      return 405;
    case Error::kMisdirected:
      return 421;
    case Error::kTimeout:
      return 408;
    case Error::kBadStatusLine:
    case Error::kBadResponse:
    case Error::kTooManyInterim:
      return 502;
    default:
      return 400;
  }
}

}  // namespace ringway::http
