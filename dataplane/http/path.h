// One canonical form of a path for matching and for forwarding (RFC 3986 sections 5.2.4 and 6.2.2):
// what is matched is what is sent.
#pragma once

#include <expected>
#include <string_view>

#include "dataplane/http/status.h"
#include "dataplane/io/buffer_pool.h"
#include "dataplane/io/slice.h"

namespace ringway::http {

struct CanonicalPath {
  std::string_view path;  // Starts with '/'. Points into `raw` when nothing had to change.
  io::Slice memory;       // Holds the rewritten path otherwise.
};

// `raw`: the path of the request target without its query. Dot segments are removed, runs of '/'
// are merged, escapes of unreserved characters are decoded, other escapes keep their bytes with
// upper-case hex; %2F and %5C stay encoded; ';' stays. Error kBadTarget: no leading '/', %00, an
// invalid escape, a raw control, space, '#', '\', or a byte above 0x7E.
std::expected<CanonicalPath, Error> canonical_path(std::string_view raw,
                                                   io::BufferPool& output_pool);

// True when canonical_path would return `raw` unchanged; the common case, tested first (SIMD where
// it pays).
bool is_canonical_path(std::string_view raw);

}  // namespace ringway::http
