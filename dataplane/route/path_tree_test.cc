#include <gtest/gtest.h>

#include <string>

#include "dataplane/route/route_table.h"

namespace ringway::route {
namespace {

PathRule rule(PathKind kind, std::string path, uint32_t priority = 0) {
  auto route = std::make_shared<Route>();
  route->name = path;
  return {kind, std::move(path), priority, std::move(route)};
}

using Table = std::unique_ptr<const RouteTable>;

std::string found(const Table& table, std::string_view path) {
  const Match match = table->find(path);
  return match.route == nullptr ? "none" : match.route->name;
}

Table table_of(std::vector<PathRule> rules) {
  std::vector<std::string> problems;
  auto table = std::make_unique<const RouteTable>(std::move(rules), problems);
  EXPECT_TRUE(problems.empty());
  return table;
}

constexpr auto kExact = PathKind::kExact;
constexpr auto kPrefix = PathKind::kPrefix;

// The table "Examples" of
// https://kubernetes.io/docs/concepts/services-networking/ingress/#examples, row by row.
TEST(PathTree, KubernetesExamples) {
  struct Path {
    PathKind kind;
    std::string path;
  };
  const struct {
    std::vector<Path> paths;
    std::string request, route;
  } cases[] = {
      {{{kPrefix, "/"}}, "/any/path", "/"},
      {{{kExact, "/foo"}}, "/foo", "/foo"},
      {{{kExact, "/foo"}}, "/bar", "none"},
      {{{kExact, "/foo"}}, "/foo/", "none"},
      {{{kExact, "/foo/"}}, "/foo", "none"},
      {{{kPrefix, "/foo"}}, "/foo", "/foo"},
      {{{kPrefix, "/foo"}}, "/foo/", "/foo"},
      {{{kPrefix, "/foo/"}}, "/foo", "/foo/"},
      {{{kPrefix, "/foo/"}}, "/foo/", "/foo/"},
      {{{kPrefix, "/aaa/bb"}}, "/aaa/bbb", "none"},
      {{{kPrefix, "/aaa/bbb"}}, "/aaa/bbb", "/aaa/bbb"},
      {{{kPrefix, "/aaa/bbb/"}}, "/aaa/bbb", "/aaa/bbb/"},
      {{{kPrefix, "/aaa/bbb"}}, "/aaa/bbb/", "/aaa/bbb"},
      {{{kPrefix, "/aaa/bbb"}}, "/aaa/bbb/ccc", "/aaa/bbb"},
      {{{kPrefix, "/aaa/bbb"}}, "/aaa/bbbxyz", "none"},
      {{{kPrefix, "/"}, {kPrefix, "/aaa"}}, "/aaa/ccc", "/aaa"},
      {{{kPrefix, "/"}, {kPrefix, "/aaa"}, {kPrefix, "/aaa/bbb"}}, "/aaa/bbb", "/aaa/bbb"},
      {{{kPrefix, "/"}, {kPrefix, "/aaa"}, {kPrefix, "/aaa/bbb"}}, "/ccc", "/"},
      {{{kPrefix, "/aaa"}}, "/ccc", "none"},
      {{{kPrefix, "/foo"}, {kExact, "/foo"}}, "/foo", "/foo"},
  };
  for (const auto& c : cases) {
    std::vector<PathRule> rules;
    for (const Path& path : c.paths) rules.push_back(rule(path.kind, path.path));
    EXPECT_EQ(found(table_of(std::move(rules)), c.request), c.route) << c.request;
  }
}

TEST(PathTree, ExactComesBeforeAnyPrefix) {
  const Table table = table_of(
      {rule(kPrefix, "/foo"), rule(PathKind::kStringPrefix, "/foo"), rule(kExact, "/foo")});
  EXPECT_EQ(table->find("/foo").route, table->rules()[2].route.get());
  EXPECT_EQ(table->find("/foo/bar").route, table->rules()[0].route.get());
  EXPECT_EQ(table->find("/foobar").route, table->rules()[1].route.get());
}

TEST(PathTree, TheLongestPrefixOfEitherKindWins) {
  const Table table =
      table_of({rule(kPrefix, "/"), rule(PathKind::kStringPrefix, "/api"), rule(kPrefix, "/api/v1"),
                rule(PathKind::kStringPrefix, "/api/v1/us")});
  EXPECT_EQ(found(table, "/"), "/");
  EXPECT_EQ(found(table, "/ap"), "/");
  EXPECT_EQ(found(table, "/apis"), "/api");
  EXPECT_EQ(found(table, "/api/v2"), "/api");
  EXPECT_EQ(found(table, "/api/v1"), "/api/v1");
  EXPECT_EQ(found(table, "/api/v1/user"), "/api/v1/us");
  EXPECT_EQ(found(table, "/api/v12"), "/api");
}

TEST(PathTree, ASlashAtTheEndOfARuleCountsOnlyWhereTheRequestHasIt) {
  const Table table = table_of({rule(kPrefix, "/foo/"), rule(kPrefix, "/foo"), rule(kPrefix, "/")});
  EXPECT_EQ(found(table, "/foo"), "/foo");
  EXPECT_EQ(found(table, "/foo/"), "/foo/");
  EXPECT_EQ(found(table, "/foo/bar"), "/foo/");
  EXPECT_EQ(found(table, "/foobar"), "/");
  const Table alone = table_of({rule(kPrefix, "/foo/"), rule(kPrefix, "/")});
  EXPECT_EQ(found(alone, "/foo"), "/foo/");
}

TEST(PathTree, OfEqualRulesTheFirstCounts) {
  for (const PathKind kind : {kExact, kPrefix, PathKind::kStringPrefix}) {
    const Table table = table_of({rule(kind, "/a"), rule(kind, "/a")});
    EXPECT_EQ(table->find("/a").route, table->rules()[0].route.get());
  }
}

TEST(PathTree, CaseAndBytesMatter) {
  const Table table = table_of({rule(kPrefix, "/Foo"), rule(kPrefix, "/f%C3%B6")});
  EXPECT_EQ(found(table, "/foo"), "none");
  EXPECT_EQ(found(table, "/Foo"), "/Foo");
  EXPECT_EQ(found(table, "/f%C3%B6/x"), "/f%C3%B6");
}

TEST(PathTree, EmptyTablesAndPathsFindNothing) {
  EXPECT_EQ(found(table_of({}), "/"), "none");
  const Table table = table_of({rule(kPrefix, "/")});
  EXPECT_EQ(found(table, ""), "none");
  EXPECT_EQ(found(table, "*"), "none");
}

}  // namespace
}  // namespace ringway::route
