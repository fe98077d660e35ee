#include "dataplane/route/rewrite.h"

#include <algorithm>
#include <array>

#include "dataplane/route/pattern.h"
#include "dataplane/route/route_table.h"

namespace ringway::route {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// True when the path part has a segment "." or "..": captures put next to a literal dot could make
// one that matching has not seen.
bool has_dot_segment(std::string_view target) {
  const std::string_view path = target.substr(0, target.find('?'));
  for (size_t begin = 0; begin < path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view segment = path.substr(begin, end - begin);
    if (segment == "." || segment == "..") return true;
    begin = end + 1;
  }
  return false;
}

}  // namespace

std::expected<std::shared_ptr<const Rewrite>, std::string> make_rewrite(
    std::shared_ptr<const Pattern> pattern, std::string_view target) {
  if (target.empty()) return std::unexpected("the rewrite target is empty");
  if (target.starts_with("http://") || target.starts_with("https://")) {
    return std::unexpected("the rewrite target is an absolute URL");
  }
  std::vector<Rewrite::Piece> pieces(1);
  for (size_t i = 0; i < target.size(); ++i) {
    const char c = target[i];
    if (c <= ' ' || c > '~' || c == '#' || c == '\\') {
      return std::unexpected("the rewrite target has a byte that cannot stand in a request target");
    }
    if (c != '$') {
      pieces.back().literal += c;
      continue;
    }
    const std::string_view rest = target.substr(i + 1);
    const bool braced = rest.size() >= 3 && rest[0] == '{' && is_digit(rest[1]) && rest[2] == '}';
    const char digit = braced ? rest[1] : rest.empty() ? '\0' : rest[0];
    if (!is_digit(digit) || digit == '0') {
      return std::unexpected("the rewrite target has a '$' that is not one of $1 to $9");
    }
    i += braced ? 3 : 1;
    pieces.back().capture = digit - '0';
    pieces.emplace_back();
  }
  if (pieces.back().literal.empty()) pieces.pop_back();
  return std::make_shared<const Rewrite>(std::move(pattern), std::move(pieces));
}

std::expected<std::shared_ptr<const Rewrite>, std::string> make_rewrite(std::string_view pattern,
                                                                        std::string_view target) {
  auto compiled = Pattern::make(pattern);
  if (!compiled) return std::unexpected(compiled.error());
  return make_rewrite(*std::move(compiled), target);
}

bool apply_rewrite(const Rewrite& rewrite, std::string_view path, std::string& out) {
  std::array<std::string_view, 10> groups;
  if (!rewrite.pattern().matches(path, groups)) return false;
  out.clear();
  const auto append = [&out](std::string_view text) {
    if (out.empty() && !text.starts_with('/')) out += '/';  // "$1" may bring the slash or not.
    out += text;
  };
  for (const Rewrite::Piece& piece : rewrite.pieces()) {
    if (!piece.literal.empty()) append(piece.literal);
    if (piece.capture != 0) append(groups[static_cast<size_t>(piece.capture)]);
  }
  return !has_dot_segment(out);
}

}  // namespace ringway::route
