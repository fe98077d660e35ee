#include "dataplane/http/hop_by_hop.h"

#include "dataplane/http/connection_options.h"
#include "dataplane/http/text.h"

namespace ringway::http {
namespace {

constexpr uint64_t bit(HeaderName id) { return uint64_t{1} << static_cast<unsigned>(id); }

template <HeaderName... kNames>
struct Set {
  static constexpr uint64_t kBits = (bit(kNames) | ...);
  static bool any_in(const HeaderList& headers) { return (headers.has(kNames) | ...); }
};

using Always = Set<HeaderName::kConnection, HeaderName::kKeepAlive, HeaderName::kProxyConnection,
                   HeaderName::kProxyAuthorization, HeaderName::kProxyAuthenticate,
                   HeaderName::kHttp2Settings>;

constexpr uint64_t kProtected =
    bit(HeaderName::kHost) | bit(HeaderName::kContentLength) | bit(HeaderName::kTransferEncoding) |
    bit(HeaderName::kAuthorization) | bit(HeaderName::kCookie) | bit(HeaderName::kSetCookie) |
    bit(HeaderName::kTe) | bit(HeaderName::kUpgrade) | bit(HeaderName::kXForwardedFor) |
    bit(HeaderName::kXForwardedProto) | bit(HeaderName::kXForwardedHost) |
    bit(HeaderName::kXForwardedPort) | bit(HeaderName::kXForwardedScheme) |
    bit(HeaderName::kXForwardedPrefix) | bit(HeaderName::kXRealIp) | bit(HeaderName::kXRequestId) |
    bit(HeaderName::kXScheme) | bit(HeaderName::kXOriginalUri) | bit(HeaderName::kForwarded) |
    bit(HeaderName::kSecWebsocketKey) | bit(HeaderName::kSecWebsocketAccept) |
    bit(HeaderName::kSecWebsocketVersion) | bit(HeaderName::kSecWebsocketProtocol);

// What the Connection fields of a head name.
struct Named {
  uint64_t known = 0;
  uint32_t others = 0;
  std::string_view other[kConnectionOptionsMax];

  explicit Named(const HeaderList& headers) {
    for (const Header& header : headers) {
      if (header.id != HeaderName::kConnection) continue;
      for_each_element(header.value(), [this](std::string_view option) {
        const HeaderName id = header_name_of(option);
        if (id != HeaderName::kOther) {
          known |= bit(id);
        } else if (others < kConnectionOptionsMax &&
                   !starts_with_ignoring_case(option, "x-forwarded-") &&
                   !starts_with_ignoring_case(option, "x-original-")) {
          other[others++] = option;
        }
        return true;
      });
    }
  }
  bool names(const Header& header) const {
    for (uint32_t i = 0; i < others; ++i) {
      if (equals_ignoring_case(header.name(), other[i])) return true;
    }
    return false;
  }
};

bool asks_for_trailers(const HeaderList& headers) {
  bool found = false;
  for (const Header& header : headers) {
    if (header.id != HeaderName::kTe) continue;
    for_each_element(header.value(), [&](std::string_view coding) {
      found |= equals_ignoring_case(coding, "trailers");
      return true;
    });
  }
  return found;
}

void remove(HeaderList& headers, bool keep_upgrade) {
  uint64_t leaving = Always::kBits | (keep_upgrade ? 0 : bit(HeaderName::kUpgrade));
  if (headers.has(HeaderName::kTe)) {
    const bool trailers = asks_for_trailers(headers);
    headers.remove(HeaderName::kTe);
    if (trailers) headers.add(HeaderName::kTe, "trailers");
  }
  if (headers.has(HeaderName::kConnection)) {
    const Named named(headers);
    leaving |= named.known & ~kProtected;
    headers.remove_if([&](const Header& header) {
      return header.id == HeaderName::kOther ? named.names(header)
                                             : (leaving & bit(header.id)) != 0;
    });
    return;
  }
  // Most heads have none: two tests of a word instead of a look at every field.
  if (!Always::any_in(headers) && (keep_upgrade || !headers.has(HeaderName::kUpgrade))) return;
  headers.remove_if([&](const Header& header) {
    return header.id != HeaderName::kOther && (leaving & bit(header.id)) != 0;
  });
}

}  // namespace

void remove_hop_by_hop(RequestHead& head) { remove(head.headers, head.upgrade); }

void remove_hop_by_hop(ResponseHead& head) { remove(head.headers, head.status == 101); }

}  // namespace ringway::http
