// rewrite-target of ingress-nginx, parsed: literal pieces and references to captures of the route's
// pattern.
//
// Template: $1 to $9 (also ${1}) are captures, empty when the pattern has no such group; "$10" is
// $1 and "0"; a '$' before anything else is refused, as there are no variables here. A part from
// '?' on is the query.
//
// Thread rule: immutable, shared by all threads.
#pragma once

#include <expected>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace ringway::route {

class Pattern;

class Rewrite {
 public:
  struct Piece {
    std::string literal;
    int capture = 0;  // 1 to 9 after the literal; 0: none.
  };
  Rewrite(std::shared_ptr<const Pattern> pattern, std::vector<Piece> pieces)
      : pattern_(std::move(pattern)), pieces_(std::move(pieces)) {}

  const Pattern& pattern() const { return *pattern_; }
  const std::vector<Piece>& pieces() const { return pieces_; }

 private:
  std::shared_ptr<const Pattern> pattern_;
  std::vector<Piece> pieces_;
};

// Error: one line for people: what cannot stand in a request target (controls, spaces, '#', bytes
// above 0x7E), an unknown variable, an absolute URL (that would be a redirect).
std::expected<std::shared_ptr<const Rewrite>, std::string> make_rewrite(
    std::shared_ptr<const Pattern> pattern, std::string_view target);
// The same from the pattern's text.
std::expected<std::shared_ptr<const Rewrite>, std::string> make_rewrite(std::string_view pattern,
                                                                        std::string_view target);

}  // namespace ringway::route
