// The path canonicaliser. What must hold for any bytes: a result is canonical (and canonicalising
// again changes nothing), has no dot segment, no empty segment, no escape that could be spelled
// otherwise, and is not longer than what came.
#include <algorithm>
#include <cstdint>
#include <string_view>

#include "dataplane/http/path.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ringway::http;
  static ringway::io::BufferPool pool({.buffer_bytes = 4096, .buffers = 4, .buffers_max = 4});
  const std::string_view raw(reinterpret_cast<const char*>(data), size);
  const auto once = canonical_path(raw, pool);
  CHECK(is_canonical_path(raw) == (once.has_value() && once->path == raw));
  if (!once) return 0;
  const std::string_view path = once->path;
  CHECK(path.size() <= raw.size() && path.starts_with('/'));
  const auto twice = canonical_path(path, pool);
  CHECK(twice.has_value() && twice->path == path && twice->memory.buffer() == nullptr);
  CHECK(path.find("//") == std::string_view::npos);
  for (size_t start = 1; start <= path.size();) {
    const size_t end = std::min(path.find('/', start), path.size());
    const std::string_view segment = path.substr(start, end - start);
    CHECK(segment != "." && segment != "..");
    start = end + 1;
  }
  for (const char c : path) CHECK(c > 0x20 && c < 0x7F && c != '#' && c != '\\');
  for (const std::string_view escape : {"%2e", "%2E", "%00", "%2f", "%5c", "%41", "%7e", "%7E"}) {
    CHECK(path.find(escape) == std::string_view::npos);
  }
  return 0;
}
