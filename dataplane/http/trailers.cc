#include "dataplane/http/trailers.h"

#include "dataplane/http/text.h"

namespace ringway::http {

bool forbidden_in_trailers(const Header& field) {
  switch (field.id) {
    case HeaderName::kHost:
    case HeaderName::kContentLength:
    case HeaderName::kTransferEncoding:
    case HeaderName::kConnection:
    case HeaderName::kKeepAlive:
    case HeaderName::kProxyConnection:
    case HeaderName::kTe:
    case HeaderName::kTrailer:
    case HeaderName::kUpgrade:
    case HeaderName::kExpect:
    case HeaderName::kCookie:
    case HeaderName::kSetCookie:
    case HeaderName::kAuthorization:
    case HeaderName::kProxyAuthorization:
    case HeaderName::kProxyAuthenticate:
    case HeaderName::kContentType:
    case HeaderName::kContentEncoding:
    case HeaderName::kCacheControl:
    case HeaderName::kLocation:
    case HeaderName::kVary:
    case HeaderName::kXForwardedFor:
    case HeaderName::kXForwardedProto:
    case HeaderName::kXForwardedHost:
    case HeaderName::kXForwardedPort:
    case HeaderName::kXForwardedScheme:
    case HeaderName::kXForwardedPrefix:
    case HeaderName::kXRealIp:
    case HeaderName::kXRequestId:
    case HeaderName::kXScheme:
    case HeaderName::kXOriginalUri:
    case HeaderName::kForwarded:
    case HeaderName::kVia:
    case HeaderName::kStrictTransportSecurity:
    case HeaderName::kHttp2Settings:
      return true;
    case HeaderName::kOther:
      break;
    default:
      return false;
  }
  constexpr std::string_view kNames[] = {
      "content-range", "range",   "max-forwards",     "pragma",
      "age",           "expires", "www-authenticate", "proxy-authentication-info",
      "proxy",         "warning"};
  for (const std::string_view name : kNames) {
    if (equals_ignoring_case(field.name(), name)) return true;
  }
  return starts_with_ignoring_case(field.name(), "if-") ||
         starts_with_ignoring_case(field.name(), "x-forwarded-");
}

ParseResult parse_trailers(std::string_view bytes, const Limits& limits, HeadProgress& progress,
                           HeaderList& trailers) {
  const FieldRules rules{.bytes_max = limits.trailers_bytes_max,
                         .line_bytes_max = limits.trailers_bytes_max,
                         .fields_max = limits.headers_max,
                         .malformed = Error::kBadTrailers,
                         .drop_underscores = true,
                         .reject_underscores = limits.reject_underscores};
  uint16_t dropped = 0;
  const ParseResult result = parse_fields<VectorScan>(bytes, rules, progress, trailers, dropped);
  if (result.status == ParseStatus::kComplete) trailers.remove_if(forbidden_in_trailers);
  return result;
}

}  // namespace ringway::http
