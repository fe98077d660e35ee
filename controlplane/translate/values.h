// Parsers of annotation values. Strict: what is not wholly understood is refused with a line that
// says what would be right. Nothing they return holds a control character, a quote, a backslash or
// an unexpanded "$".
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

#include "ringway/v1/resources.pb.h"

namespace ringway::translate {

template <class T>
using Value = std::expected<T, std::string>;  // The error completes "metadata.annotations[x]: …".

Value<bool> parse_bool(std::string_view text);  // "true" or "false"

// Milliseconds of "60" (seconds), "60s", "500ms", "1m", "1h"; 1 ms to 24 days.
Value<uint32_t> parse_duration_ms(std::string_view text);

// Bytes of "8m", "1k", "1g", "512", in powers of 1024, as nginx; "0" stays 0.
Value<uint64_t> parse_bytes(std::string_view text);

Value<uint32_t> parse_number(std::string_view text, uint32_t min, uint32_t max);

// "http://…", "https://…" or "/path", of the characters of RFC 3986.
Value<std::string> parse_location(std::string_view text);

// rewrite-target: "/path?query" with $1 to $9.
Value<std::string> parse_rewrite(std::string_view text);

// A request target: "/path?query" without "$".
Value<std::string> parse_target(std::string_view text);

// A Host header: name or address with an optional port.
Value<std::string> parse_host_header(std::string_view text);

// "200,204,300-399" into `expected`.
Value<void> parse_status_ranges(std::string_view text, v1::HttpCheck& check);

// A rule's or certificate's host: DNS-1123 name, or "*." and such a name (networking.k8s.io/v1
// IngressRule.host). An IP address is not a host.
bool valid_host(std::string_view host);

// spec.rules[].http.paths[].path of types Exact and Prefix, as the API server validates it:
// absolute, no "//", "/./", "/../", "%2f", no control characters.
Value<void> check_path(std::string_view path);

// The path with its escapes as requests have them when they are matched (RFC 3986 §6.2.2): those of
// unreserved characters decoded, others with upper-case hex. A "%" without two hex digits stays.
std::string canonical_escapes(std::string_view path);

// The highest N of "$N" in a template.
int highest_capture(std::string_view rewrite);

// The template without references to captures above `captures` (they are empty in nginx too).
std::string without_captures_above(std::string_view rewrite, int captures);

}  // namespace ringway::translate
