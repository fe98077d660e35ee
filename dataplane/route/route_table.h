// Match tables: host, then path. The cost does not grow with the number of hosts and hardly with
// the paths of one host.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/route/path_tree.h"
#include "dataplane/route/pattern.h"
#include "dataplane/route/regex_list.h"
#include "dataplane/route/rewrite.h"
#include "dataplane/route/route.h"

namespace ringway::route {

enum class PathKind : uint8_t { kExact, kPrefix /* by elements */, kStringPrefix, kRegex };

struct PathRule {
  PathKind kind;
  std::string path;       // Or the pattern.
  uint32_t priority = 0;  // kRegex: higher first.
  std::shared_ptr<const Route> route;
  std::shared_ptr<const Pattern> pattern =
      nullptr;  // kRegex: `path` compiled, when the caller has it; else the table does it.
};

// All paths of one host. Exact, then the longest prefix of either kind, then regexes by priority (a
// regex table has only regexes).
class RouteTable {
 public:
  // A rule that cannot be compiled (bad regex) is left out and named in `problems`.
  RouteTable(std::vector<PathRule> rules, std::vector<std::string>& problems);
  ~RouteTable();
  // `path`: canonical (http/path.h). No allocation (RE2 may use its cache).
  Match find(std::string_view path) const;
  const std::vector<PathRule>& rules() const { return rules_; }

 private:
  PathTree tree_;
  std::unique_ptr<const RegexList> regexes_;  // nullptr: none.
  std::vector<PathRule> rules_;
};

// All hosts of one route set. Immutable; a changed host makes a copy that shares every other table.
class RouteSet {
 public:
  RouteSet();
  ~RouteSet();
  // Host lookup: exact, else "*.parent" (one label), else "*". `authority` may carry a port and any
  // case. nullptr: none.
  const RouteTable* find(std::string_view authority) const;
  // A path that the host's own table does not match falls back to nothing: the host owns its paths
  // (ingress-nginx answers from the default backend).
  Match find(std::string_view authority, std::string_view path) const;

  struct Change {
    std::string host;
    std::shared_ptr<const RouteTable> table; /* nullptr: removed */
  };
  std::shared_ptr<const RouteSet> with(std::vector<Change> changes) const;
  size_t hosts() const;

 private:
  struct Tables;
  std::shared_ptr<const Tables> tables_;
};

// rewrite-target: writes the new path (and query, if the template has one) for the canonical
// `path`; it starts with one '/'. Returns false when the pattern does not match or the outcome
// would have a dot segment (then the path is forwarded as it is).
bool apply_rewrite(const Rewrite& rewrite, std::string_view path, std::string& out);

}  // namespace ringway::route
