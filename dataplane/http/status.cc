#include "dataplane/http/status.h"

namespace ringway::http {

std::string_view reason_phrase(uint16_t status) {
  switch (status) {
    case 100: return "Continue";
    case 101: return "Switching Protocols";
    case 103: return "Early Hints";
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 203: return "Non-Authoritative Information";
    case 204: return "No Content";
    case 205: return "Reset Content";
    case 206: return "Partial Content";
    case 300: return "Multiple Choices";
    case 301: return "Moved Permanently";
    case 302: return "Found";
    case 303: return "See Other";
    case 304: return "Not Modified";
    case 305: return "Use Proxy";
    case 307: return "Temporary Redirect";
    case 308: return "Permanent Redirect";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 402: return "Payment Required";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 406: return "Not Acceptable";
    case 407: return "Proxy Authentication Required";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 410: return "Gone";
    case 411: return "Length Required";
    case 412: return "Precondition Failed";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 415: return "Unsupported Media Type";
    case 416: return "Range Not Satisfiable";
    case 417: return "Expectation Failed";
    case 421: return "Misdirected Request";
    case 422: return "Unprocessable Content";
    case 425: return "Too Early";
    case 426: return "Upgrade Required";
    case 428: return "Precondition Required";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 451: return "Unavailable For Legal Reasons";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 505: return "HTTP Version Not Supported";
    case 511: return "Network Authentication Required";
    default: return "";
  }
}

std::string_view error_name(Error error) {
  switch (error) {
    case Error::kNone: return "none";
    case Error::kBadRequestLine: return "bad_request_line";
    case Error::kBadMethod: return "bad_method";
    case Error::kBadTarget: return "bad_target";
    case Error::kUriTooLong: return "uri_too_long";
    case Error::kBadVersion: return "bad_version";
    case Error::kUnsupportedVersion: return "unsupported_version";
    case Error::kBadHeader: return "bad_header";
    case Error::kUnderscoreHeader: return "underscore_header";
    case Error::kHeadersTooLarge: return "headers_too_large";
    case Error::kBadHost: return "bad_host";
    case Error::kBadContentLength: return "bad_content_length";
    case Error::kBadTransferEncoding: return "bad_transfer_encoding";
    case Error::kUnknownTransferEncoding: return "unknown_transfer_encoding";
    case Error::kBadChunk: return "bad_chunk";
    case Error::kBadTrailers: return "bad_trailers";
    case Error::kBodyTooLarge: return "body_too_large";
    case Error::kUnknownExpectation: return "unknown_expectation";
    case Error::kMethodNotAllowed: return "method_not_allowed";
    case Error::kBadUpgrade: return "bad_upgrade";
    case Error::kBadStatusLine: return "bad_status_line";
    case Error::kBadResponse: return "bad_response";
    case Error::kTooManyInterim: return "too_many_interim";
    case Error::kTruncated: return "truncated";
    case Error::kTimeout: return "timeout";
  }
  return "unknown";
}

uint16_t status_of(Error error) {
  switch (error) {
    case Error::kUriTooLong: return 414;
    case Error::kUnsupportedVersion: return 505;
    case Error::kHeadersTooLarge: return 431;
    case Error::kUnknownTransferEncoding: return 501;
    case Error::kBodyTooLarge: return 413;
    case Error::kUnknownExpectation: return 417;
    case Error::kMethodNotAllowed: return 405;
    case Error::kTimeout: return 408;
    case Error::kBadStatusLine:
    case Error::kBadResponse:
    case Error::kTooManyInterim: return 502;
    default: return 400;
  }
}

}  // namespace ringway::http
