// The syntax of an authority, stricter than RFC 3986: what routing, logs and certificates can agree
// on.
#pragma once

#include <string_view>

namespace ringway::http {

// host [":" port]: a name of letters, digits, '-', '.', '_' and '~', or an IPv6 literal in
// brackets; a port of at most 65535. No userinfo, no comma, no escape. Not empty.
bool is_valid_authority(std::string_view authority);

}  // namespace ringway::http
