#include "dataplane/http/path.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "dataplane/http/block.h"
#include "dataplane/http/text.h"

namespace ringway::http {
namespace {

enum class PathByte : uint8_t { kPlain, kSlash, kDot, kPercent, kBad };

constexpr std::array<PathByte, 256> make_path_bytes() {
  std::array<PathByte, 256> table{};
  for (int c = 0; c < 256; ++c) table[c] = c > 0x20 && c < 0x7F ? PathByte::kPlain : PathByte::kBad;
  table['#'] = table['\\'] = PathByte::kBad;
  table['/'] = PathByte::kSlash;
  table['.'] = PathByte::kDot;
  table['%'] = PathByte::kPercent;
  return table;
}
constexpr std::array<PathByte, 256> kPathBytes = make_path_bytes();

constexpr bool is_unreserved(uint8_t c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '.' || c == '_' || c == '~';
}

// The byte that "%XX" at `at` stands for; -1 when it is no escape or stands for NUL.
int escaped_byte(std::string_view text, size_t at) {
  if (text.size() - at < 3) return -1;
  const int high = hex_digit(text[at + 1]);
  const int low = hex_digit(text[at + 2]);
  if (high < 0 || low < 0 || (high == 0 && low == 0)) return -1;
  return high * 16 + low;
}

// `segment`, which ends at `end`, is "." or "..".
bool is_dot_segment(const char* segment, const char* end) {
  const auto size = end - segment;
  return (size == 1 && segment[0] == '.') || (size == 2 && segment[0] == '.' && segment[1] == '.');
}

// Writes behind what it wrote: escapes first, so that an encoded dot is a dot when segments are
// looked at.
class PathWriter {
 public:
  explicit PathWriter(char* out) : begin_(out), end_(out), segment_(out) {}

  void put(char c) { *end_++ = c; }

  // A '/', or the end of the path. Merges an empty segment, removes a dot segment (RFC 3986
  // section 5.2.4), ".." with the one before it; above the root there is only the root.
  void end_segment(bool slash) {
    if (is_dot_segment(segment_, end_)) {
      const bool up = end_ - segment_ == 2;
      end_ = segment_;
      if (up && end_ - begin_ > 1) {
        do --end_;
        while (end_[-1] != '/');
      }
    } else if (slash && (segment_ != end_ || end_ == begin_)) {
      *end_++ = '/';
    }
    segment_ = end_;
  }

  uint32_t size() const { return static_cast<uint32_t>(end_ - begin_); }

 private:
  char* begin_;
  char* end_;
  char* segment_;  // Where the current segment begins, behind its '/'.
};

}  // namespace

bool is_canonical_path(std::string_view raw) {
  if (raw.empty() || raw[0] != '/') return false;
  for (size_t i = 1; i < raw.size(); ++i) {
    const char before = raw[i - 1];
    switch (kPathBytes[static_cast<uint8_t>(raw[i])]) {
      case PathByte::kPlain:
        break;
      case PathByte::kSlash:
        if (before == '/') return false;
        break;
      case PathByte::kDot: {
        if (before != '/') break;
        const size_t slash = std::min(raw.find('/', i), raw.size());
        if (is_dot_segment(raw.data() + i, raw.data() + slash)) return false;
        break;
      }
      case PathByte::kPercent: {
        const int byte = escaped_byte(raw, i);
        if (byte < 0 || is_unreserved(static_cast<uint8_t>(byte))) return false;
        if (raw[i + 1] >= 'a' || raw[i + 2] >= 'a') return false;
        break;
      }
      case PathByte::kBad:
        return false;
    }
  }
  return true;
}

std::expected<CanonicalPath, Error> canonical_path(std::string_view raw,
                                                   io::BufferPool& output_pool) {
  if (is_canonical_path(raw)) return CanonicalPath{.path = raw};
  if (raw.empty() || raw[0] != '/') return std::unexpected(Error::kBadTarget);
  io::Slice memory = take_block(output_pool, static_cast<uint32_t>(raw.size()));
  char* const begin = reinterpret_cast<char*>(memory.tail().data());
  PathWriter writer(begin);
  for (size_t i = 0; i < raw.size(); ++i) {
    switch (kPathBytes[static_cast<uint8_t>(raw[i])]) {
      case PathByte::kPlain:
      case PathByte::kDot:
        writer.put(raw[i]);
        break;
      case PathByte::kSlash:
        writer.end_segment(true);
        break;
      case PathByte::kPercent: {
        const int byte = escaped_byte(raw, i);
        if (byte < 0) return std::unexpected(Error::kBadTarget);
        if (is_unreserved(static_cast<uint8_t>(byte))) {
          writer.put(static_cast<char>(byte));
        } else {
          constexpr char kHex[] = "0123456789ABCDEF";
          writer.put('%');
          writer.put(kHex[byte >> 4]);
          writer.put(kHex[byte & 15]);
        }
        i += 2;
        break;
      }
      case PathByte::kBad:
        return std::unexpected(Error::kBadTarget);
    }
  }
  writer.end_segment(false);
  const uint32_t size = writer.size();
  memory.extend(size);
  return CanonicalPath{.path = {begin, size}, .memory = std::move(memory)};
}

}  // namespace ringway::http
