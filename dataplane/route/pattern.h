// A regular expression of a route (use-regex): RE2, case-insensitive, anchored at the start of the
// path, as nginx's `location ~* "^..."`.
//
// Thread rule: immutable and shared by all threads; RE2 keeps a bounded cache of its own behind a
// lock.
#pragma once

#include <expected>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace re2 {
class RE2;
}

namespace ringway::route {

class Pattern {
 public:
  static constexpr size_t kBytesMax = 2048;      // Of the text.
  static constexpr int kInstructionsMax = 8192;  // Of the compiled program: what a lookup may cost.
  static constexpr int64_t kMemoryBytesMax =
      1 << 20;  // RE2's budget for program and cache; the cache is emptied when full.

  // Error: one line for people: what RE2 refuses (look-around, back references), or a cost above
  // the limits.
  static std::expected<std::shared_ptr<const Pattern>, std::string> make(std::string_view text);
  ~Pattern();
  Pattern(const Pattern&) = delete;
  Pattern& operator=(const Pattern&) = delete;

  bool matches(std::string_view path) const;
  // The same, with the captures: groups[0] is the match. Groups the pattern does not have stay
  // empty.
  bool matches(std::string_view path, std::span<std::string_view, 10> groups) const;
  const std::string& text() const;

 private:
  explicit Pattern(std::unique_ptr<re2::RE2> compiled);
  std::unique_ptr<re2::RE2> compiled_;
};

}  // namespace ringway::route
