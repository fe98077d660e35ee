#include "dataplane/route/route_table.h"

#include <algorithm>

namespace ringway::route {

RouteTable::RouteTable(std::vector<PathRule> rules, std::vector<std::string>& problems)
    : tree_(rules), rules_(std::move(rules)) {
  if (std::ranges::any_of(rules_,
                          [](const PathRule& rule) { return rule.kind == PathKind::kRegex; })) {
    regexes_ = std::make_unique<const RegexList>(rules_, problems);
  }
}

RouteTable::~RouteTable() = default;

Match RouteTable::find(std::string_view path) const {
  if (const Route* route = tree_.find(path); route != nullptr) return {route};
  return {regexes_ == nullptr ? nullptr : regexes_->find(path)};
}

}  // namespace ringway::route
