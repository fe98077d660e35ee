#include <gtest/gtest.h>

#include <string>

#include "dataplane/route/host_name.h"
#include "dataplane/route/route_table.h"

namespace ringway::route {
namespace {

std::shared_ptr<const RouteTable> table_of(const std::string& name) {
  auto route = std::make_shared<Route>();
  route->name = name;
  std::vector<std::string> problems;
  std::vector<PathRule> rules{{PathKind::kPrefix, "/", 0, std::move(route)}};
  return std::make_shared<const RouteTable>(std::move(rules), problems);
}

std::string found(const RouteSet& set, std::string_view authority) {
  const Match match = set.find(authority, "/x");
  return match.route == nullptr ? "" : match.route->name;
}

TEST(NormalHost, BringsAnAuthorityIntoOneForm) {
  const struct {
    std::string_view authority, host;
  } cases[] = {
      {"example.com", "example.com"},
      {"EXAMPLE.Com", "example.com"},
      {"example.com:8080", "example.com"},
      {"example.com.", "example.com"},
      {"example.com.:443", "example.com"},
      {"@AZ[`az{", "@az[`az{"},
      {"[::1]", "[::1]"},
      {"[FD00::A]:8443", "[fd00::a]"},
      {"[::1", ""},
      {"10.0.0.1:80", "10.0.0.1"},
      {":80", ""},
      {"", ""},
      {".", ""},
  };
  for (const auto& c : cases) {
    HostBuffer buffer;
    EXPECT_EQ(normal_host(c.authority, buffer), c.host) << c.authority;
  }
  HostBuffer buffer;
  const std::string longest(kHostBytesMax, 'A');
  EXPECT_EQ(normal_host(longest, buffer), std::string(kHostBytesMax, 'a'));
  EXPECT_EQ(normal_host(longest + ".", buffer), std::string(kHostBytesMax, 'a'));
  EXPECT_EQ(normal_host(longest + "b", buffer), "");
  EXPECT_EQ(normal_host(std::string(100'000, 'a'), buffer), "");
}

TEST(NormalHost, ChangesOnlyAsciiCapitals) {
  for (int byte = 0; byte < 256; ++byte) {
    if (byte == ':' || byte == '[' || byte == '.') continue;
    const std::string name(1, static_cast<char>(byte));
    HostBuffer buffer;
    const char lower =
        byte >= 'A' && byte <= 'Z' ? static_cast<char>(byte + 32) : static_cast<char>(byte);
    EXPECT_EQ(normal_host(name, buffer), std::string(1, lower)) << byte;
  }
}

// networking.k8s.io/v1 IngressRule.host, with the rows of its documentation.
TEST(RouteSet, FindsExactThenOneLabelWildcardThenAny) {
  const auto set = RouteSet().with({{"foo.com", table_of("foo")},
                                    {"*.foo.com", table_of("wildcard")},
                                    {"bar.foo.com", table_of("bar")},
                                    {"*", table_of("any")}});
  const struct {
    std::string_view authority, table;
  } cases[] = {
      {"foo.com", "foo"},
      {"FOO.COM:80", "foo"},
      {"bar.foo.com", "bar"},
      {"baz.foo.com", "wildcard"},
      {"BAZ.foo.com.:8080", "wildcard"},
      {"baz.bar.foo.com", "any"},  // A wildcard is one label.
      {".foo.com", "any"},         // And not an empty one.
      {"xfoo.com", "any"},
      {"com", "any"},
      {"", "any"},
      {"[::1]:80", "any"},
  };
  for (const auto& c : cases) EXPECT_EQ(found(*set, c.authority), c.table) << c.authority;
  EXPECT_EQ(set->hosts(), 4u);
}

TEST(RouteSet, AHostOwnsItsPaths) {
  std::vector<std::string> problems;
  std::vector<PathRule> rules{{PathKind::kExact, "/only", 0, std::make_shared<Route>()}};
  const auto set = RouteSet().with(
      {{"a.foo.com", std::make_shared<const RouteTable>(std::move(rules), problems)},
       {"*.foo.com", table_of("wildcard")},
       {"*", table_of("any")}});
  EXPECT_NE(set->find("a.foo.com", "/only").route, nullptr);
  EXPECT_EQ(set->find("a.foo.com", "/other").route, nullptr);
}

TEST(RouteSet, WithoutHostsFindsNothing) {
  const RouteSet empty;
  EXPECT_EQ(empty.find("a"), nullptr);
  EXPECT_EQ(empty.find("a", "/").route, nullptr);
  EXPECT_EQ(empty.hosts(), 0u);
}

TEST(RouteSet, AChangeLeavesTheOldSetAndSharesOtherTables) {
  std::vector<RouteSet::Change> changes;
  for (int i = 0; i < 5000; ++i) {
    const std::string host = "h" + std::to_string(i) + ".example.com";
    changes.push_back({host, table_of(host)});
  }
  const auto before = RouteSet().with(std::move(changes));
  ASSERT_EQ(before->hosts(), 5000u);
  const auto after = before->with({{"h7.example.com", table_of("changed")},
                                   {"h8.example.com", nullptr},
                                   {"absent.example.com", nullptr},
                                   {"*.w.com", table_of("w")}});
  EXPECT_EQ(after->hosts(), 5000u);
  EXPECT_EQ(found(*before, "h7.example.com"), "h7.example.com");
  EXPECT_EQ(found(*after, "h7.example.com"), "changed");
  EXPECT_EQ(found(*before, "h8.example.com"), "h8.example.com");
  EXPECT_EQ(found(*after, "h8.example.com"), "");
  EXPECT_EQ(found(*after, "x.w.com"), "w");
  for (int i = 0; i < 5000; ++i) {
    const std::string host = "h" + std::to_string(i) + ".example.com";
    if (i == 7 || i == 8) continue;
    ASSERT_EQ(after->find(host), before->find(host)) << host;
  }
  const auto without = after->with({{"*.w.com", nullptr}});
  EXPECT_EQ(found(*without, "x.w.com"), "");
  EXPECT_EQ(without->hosts(), 4999u);
}

}  // namespace
}  // namespace ringway::route
