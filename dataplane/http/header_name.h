// Well-known field names as small integers (at most 63: they are bits of a word).
#pragma once

#include <cstdint>
#include <string_view>

namespace ringway::http {

enum class HeaderName : uint8_t {
  kHost,
  kContentLength,
  kTransferEncoding,
  kConnection,
  kKeepAlive,
  kProxyConnection,
  kTe,
  kTrailer,
  kUpgrade,
  kExpect,
  kCookie,
  kSetCookie,
  kAuthorization,
  kProxyAuthorization,
  kProxyAuthenticate,
  kAccept,
  kAcceptEncoding,
  kUserAgent,
  kContentType,
  kContentEncoding,
  kDate,
  kServer,
  kLocation,
  kRetryAfter,
  kCacheControl,
  kVary,
  kEtag,
  kLastModified,
  kReferer,
  kOrigin,
  kXForwardedFor,
  kXForwardedProto,
  kXForwardedHost,
  kXForwardedPort,
  kXForwardedScheme,
  kXForwardedPrefix,
  kXRealIp,
  kXRequestId,
  kXScheme,
  kXOriginalUri,
  kForwarded,
  kVia,
  kStrictTransportSecurity,
  kXContentTypeOptions,
  kHttp2Settings,
  kSecWebsocketKey,
  kSecWebsocketAccept,
  kSecWebsocketVersion,
  kSecWebsocketProtocol,
  kGrpcStatus,
  kGrpcTimeout,
  kAllow,
  kOther = 63,
};

std::string_view header_text(HeaderName id);  // Canonical spelling as sent, e.g. "Content-Length".
std::string_view header_text_lower(HeaderName id);  // As HTTP/2 sends it, e.g. "content-length".
HeaderName header_name_of(std::string_view name);  // Case-insensitive; kOther when not well known.
                                                   // A perfect hash: one comparison.

}  // namespace ringway::http
