#include <gtest/gtest.h>

#include <string>

#include "dataplane/route/route_table.h"

namespace ringway::route {
namespace {

PathRule regex(std::string pattern, uint32_t priority) {
  auto route = std::make_shared<Route>();
  route->name = pattern;
  return {PathKind::kRegex, std::move(pattern), priority, std::move(route)};
}

std::string found(const RouteTable& table, std::string_view path) {
  const Match match = table.find(path);
  return match.route == nullptr ? "none" : match.route->name;
}

TEST(Regex, IsAPrefixAndIgnoresCaseInOrderOfPriority) {
  // The example of ingress-nginx, docs/user-guide/ingress-path-matching.md.
  std::vector<std::string> problems;
  const RouteTable table(
      {regex("/foo/bar/bar", 12), regex("/foo/bar/[A-Z0-9]{3}", 20), regex("/foo/bar", 8)},
      problems);
  ASSERT_TRUE(problems.empty());
  EXPECT_EQ(found(table, "/foo/bar/bar"), "/foo/bar/[A-Z0-9]{3}");
  EXPECT_EQ(found(table, "/FOO/bar/x"), "/foo/bar");
  EXPECT_EQ(found(table, "/foo/bars"), "/foo/bar");
  EXPECT_EQ(found(table, "/x/foo/bar"), "none");
}

TEST(Regex, ManyRulesAnswerAsOneByOne) {
  std::vector<PathRule> rules;
  for (uint32_t i = 0; i < 100; ++i)
    rules.push_back(regex("/r" + std::to_string(i) + "(/|$)(.*)", 1000 - i));
  rules.push_back(regex("/.*", 1));
  std::vector<std::string> problems;
  const RouteTable table(std::move(rules), problems);
  ASSERT_TRUE(problems.empty());
  for (uint32_t i = 0; i < 100; ++i) {
    EXPECT_EQ(found(table, "/R" + std::to_string(i) + "/x"),
              "/r" + std::to_string(i) + "(/|$)(.*)");
  }
  EXPECT_EQ(found(table, "/r100"), "/.*");
  EXPECT_EQ(found(table, "x"), "none");
}

TEST(Regex, EqualPrioritiesKeepTheOrderGiven) {
  std::vector<std::string> problems;
  const RouteTable table({regex("/a.", 5), regex("/.a", 5)}, problems);
  EXPECT_EQ(found(table, "/aa"), "/a.");
}

TEST(Regex, WhatDoesNotCompileIsLeftOutAndNamed) {
  std::vector<std::string> problems;
  const RouteTable table({regex("/(", 9), regex("/(?=x)", 8),
                          regex("/((a{1,100}){1,100}){1,100}", 7), regex("/ok", 1)},
                         problems);
  ASSERT_EQ(problems.size(), 3u);
  EXPECT_NE(problems[0].find("/("), std::string::npos);
  EXPECT_EQ(found(table, "/ok"), "/ok");
}

TEST(Pattern, RefusesWhatWouldCostTooMuch) {
  EXPECT_TRUE(Pattern::make("/a(/|$)(.*)").has_value());
  EXPECT_FALSE(Pattern::make("(((x{100}){10}){9})y").has_value());
  EXPECT_FALSE(Pattern::make(std::string(3000, 'a')).has_value());
  EXPECT_FALSE(Pattern::make("/(a)\\1").has_value());
}

struct RewriteCase {
  std::string_view pattern, target, path, out;  // out "": not rewritten.
};

TEST(Rewrite, FillsTheTemplateWithCaptures) {
  const RewriteCase cases[] = {
      {"/something(/|$)(.*)", "/$2", "/something", "/"},
      {"/something(/|$)(.*)", "/$2", "/something/", "/"},
      {"/something(/|$)(.*)", "/$2", "/something/new", "/new"},
      {"/Something(/|$)(.*)", "/$2", "/sOMething/New", "/New"},
      {"/api(/.*)", "/v2$1", "/api/x", "/v2/x"},
      {"/api(/.*)", "$1", "/api/x", "/x"},
      {"/api/(.*)", "$1", "/api/x", "/x"},
      {"/a/(.*)/(.*)", "/${2}0/$10", "/a/x/y", "/y0/x0"},
      {"/a(.*)", "/b?from=$1&k=v", "/a/c", "/b?from=/c&k=v"},
      {"/a(b)?", "/x$1y$9", "/a", "/xy"},
      {"/a", "/fixed", "/abc", "/fixed"},
      {"/a", "/x", "/b", ""},
      {"/x(.*)", "/.$1", "/x.", ""},  // Would be "/..".
      {"/x(.*)", "/.$1", "/xa", "/.a"},
      {"/x/(.*)", "/$1?p=..", "/x/a", "/a?p=.."},
  };
  for (const RewriteCase& c : cases) {
    const auto rewrite = make_rewrite(c.pattern, c.target);
    ASSERT_TRUE(rewrite.has_value()) << c.target << ": " << rewrite.error();
    std::string out;
    const bool rewritten = apply_rewrite(**rewrite, c.path, out);
    EXPECT_EQ(rewritten, !c.out.empty()) << c.pattern << " " << c.path;
    if (rewritten) {
      EXPECT_EQ(out, c.out) << c.pattern << " " << c.path;
    }
  }
}

TEST(Rewrite, RefusesTemplatesThatAreNoRequestTarget) {
  for (const std::string_view target : {"", "https://example.com/", "/a b", "/a\r\nX: y", "/a#b",
                                        "/$host", "/$0", "/$", "/${1", "/\xC3\xA4", "/a\\b"}) {
    EXPECT_FALSE(make_rewrite("/a", target).has_value()) << target;
  }
  EXPECT_FALSE(make_rewrite("/(", "/x").has_value());
}

}  // namespace
}  // namespace ringway::route
