// The regex rules of one host in order of priority. Above a few rules one RE2::Set says in a single
// pass which of them match.
//
// Thread rule: immutable after construction, read by all threads.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace re2 {
class RE2;
}

namespace ringway::route {

struct Route;
struct PathRule;
class Pattern;

class RegexList {
 public:
  // Takes the regex rules of `rules`: higher priority first, then the order given. Rules that do
  // not compile are named in `problems`.
  RegexList(const std::vector<PathRule>& rules, std::vector<std::string>& problems);
  ~RegexList();

  const Route* find(std::string_view path) const;  // nullptr: none.
  bool empty() const { return rules_.empty(); }

 private:
  struct Rule {
    std::shared_ptr<const Pattern> pattern;
    const Route* route;
  };
  class Prefilter;
  const Route* find_one_by_one(std::string_view path) const;

  std::vector<Rule> rules_;
  std::unique_ptr<Prefilter>
      prefilter_;  // nullptr: too few rules, or RE2 could not hold them in one automaton.
};

}  // namespace ringway::route
