// Random rules, hosts and requests against a matcher that looks at every rule.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <tuple>

#include "base/random.h"
#include "dataplane/route/route_table.h"

namespace ringway::route {
namespace {

// Few letters and short labels: rules and requests share prefixes often.
std::string random_path(Random& random) {
  std::string path;
  for (uint32_t i = random.below(4); i != 0; --i) {
    path += '/';
    for (uint32_t j = 1 + random.below(3); j != 0; --j)
      path += static_cast<char>('a' + random.below(2));
  }
  if (path.empty() || random.below(4) == 0) path += '/';
  return path;
}

// How well `rule` matches: nothing, or (exact, matched characters, kind); larger is better.
std::tuple<int, size_t, int> rank(const PathRule& rule, std::string_view path) {
  constexpr std::tuple<int, size_t, int> kNo{-1, 0, 0};
  switch (rule.kind) {
    case PathKind::kExact:
      return rule.path == path ? std::tuple{1, path.size(), 0} : kNo;
    case PathKind::kStringPrefix:
      return path.starts_with(rule.path) ? std::tuple{0, rule.path.size(), 1} : kNo;
    case PathKind::kPrefix: {
      std::string elements = rule.path;
      if (elements.size() > 1 && elements.ends_with('/')) elements.pop_back();
      const bool matches = elements == "/" || path == elements || path.starts_with(elements + "/");
      if (!matches) return kNo;
      const bool more_than_asked = rule.path.size() > path.size();
      return {0, std::min(rule.path.size(), path.size()), more_than_asked ? 0 : 2};
    }
    case PathKind::kRegex:
      break;
  }
  return kNo;
}

const Route* naive_find(const std::vector<PathRule>& rules, std::string_view path) {
  const Route* best = nullptr;
  std::tuple<int, size_t, int> best_rank{-1, 0, 0};
  for (const PathRule& rule : rules) {
    const auto r = rank(rule, path);
    if (std::get<0>(r) < 0) continue;
    if (best == nullptr || r > best_rank) {
      best = rule.route.get();
      best_rank = r;
    }
  }
  return best;
}

TEST(RouteProperty, PathsMatchAsTheNaiveMatcherSays) {
  for (uint64_t seed = 0; seed < 400; ++seed) {
    Random random(seed);
    std::vector<PathRule> rules;
    for (uint32_t i = random.below(24); i != 0; --i) {
      rules.push_back({static_cast<PathKind>(random.below(3)), random_path(random), 0,
                       std::make_shared<Route>()});
    }
    std::vector<std::string> problems;
    const RouteTable table(rules, problems);
    for (int i = 0; i < 100; ++i) {
      const std::string path = random_path(random);
      ASSERT_EQ(table.find(path).route, naive_find(rules, path))
          << "seed " << seed << ", path " << path;
    }
  }
}

std::string random_host(Random& random) {
  std::string host;
  for (uint32_t i = 1 + random.below(3); i != 0; --i) {
    if (!host.empty()) host += '.';
    host += static_cast<char>('a' + random.below(3));
  }
  return host;
}

std::string disguise(std::string host, Random& random) {
  for (char& c : host) {
    if (c >= 'a' && c <= 'z' && random.below(2) == 0) c = static_cast<char>(c - 32);
  }
  if (random.below(4) == 0) host += '.';
  if (random.below(2) == 0) host += ":8080";
  return host;
}

TEST(RouteProperty, HostsMatchAsTheNaiveMatcherSaysThroughRandomChanges) {
  for (uint64_t seed = 0; seed < 100; ++seed) {
    Random random(seed);
    std::map<std::string, std::shared_ptr<const RouteTable>> model;
    auto set = std::make_shared<const RouteSet>();
    for (int step = 0; step < 20; ++step) {
      std::vector<RouteSet::Change> changes;
      for (uint32_t i = random.below(6); i != 0; --i) {
        std::string host = random.below(8) == 0   ? "*"
                           : random.below(3) == 0 ? "*." + random_host(random)
                                                  : random_host(random);
        std::vector<std::string> problems;
        auto table = random.below(3) == 0
                         ? nullptr
                         : std::make_shared<const RouteTable>(std::vector<PathRule>{}, problems);
        if (table != nullptr)
          model[host] = table;
        else
          model.erase(host);
        changes.push_back({std::move(host), std::move(table)});
      }
      set = set->with(std::move(changes));
      ASSERT_EQ(set->hosts(), model.size()) << seed;
      for (int i = 0; i < 30; ++i) {
        const std::string host = random_host(random);
        const RouteTable* expected = nullptr;
        const size_t dot = host.find('.');
        if (model.contains(host)) {
          expected = model[host].get();
        } else if (dot != std::string::npos && model.contains("*" + host.substr(dot))) {
          expected = model["*" + host.substr(dot)].get();
        } else if (model.contains("*")) {
          expected = model["*"].get();
        }
        ASSERT_EQ(set->find(disguise(host, random)), expected)
            << "seed " << seed << ", host " << host;
      }
    }
  }
}

}  // namespace
}  // namespace ringway::route
