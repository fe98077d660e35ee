#include "controlplane/translate/annotations.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <limits>
#include <sstream>

#include "controlplane/translate/values.h"

namespace ringway::translate {
namespace {

using testing::HasSubstr;

constexpr std::string_view kPrefix = "nginx.ingress.kubernetes.io/";

struct Read {
  Settings settings;
  std::vector<model::Problem> problems;
};

Read read(const std::string& name, const std::string& value) {
  Annotations annotations;
  const bool own =
      name.starts_with("health-check") || std::ranges::count(own_annotation_names(), name) > 0;
  annotations[(own ? "ringway.dev/" : std::string(kPrefix)) + name] = value;
  Read out;
  const model::ObjectKey key;
  const model::Location location;
  Report report(key, location, out.problems);
  out.settings = read_ingress_annotations(annotations, kPrefix, Settings(), report);
  return out;
}

struct GoodCase {
  const char* name;
  const char* value;
  bool (*taken)(const Settings& settings);
};

class GoodValue : public testing::TestWithParam<GoodCase> {};

TEST_P(GoodValue, IsTaken) {
  const GoodCase& c = GetParam();
  const Read got = read(c.name, c.value);
  EXPECT_TRUE(got.problems.empty()) << format(got.problems.front());
  EXPECT_TRUE(c.taken(got.settings)) << c.name << ": " << c.value;
}

INSTANTIATE_TEST_SUITE_P(
    Annotations, GoodValue,
    testing::Values(
        GoodCase{"ssl-redirect", "false", [](auto& s) { return !s.ssl_redirect; }},
        GoodCase{"ssl-redirect", "true", [](auto& s) { return s.ssl_redirect; }},
        GoodCase{"force-ssl-redirect", "true", [](auto& s) { return s.force_ssl_redirect; }},
        GoodCase{
            "permanent-redirect", "https://a.example.com:8443/x?y=%20#z",
            [](auto& s) { return s.permanent_redirect == "https://a.example.com:8443/x?y=%20#z"; }},
        GoodCase{"permanent-redirect", "/x", [](auto& s) { return s.permanent_redirect == "/x"; }},
        GoodCase{"permanent-redirect-code", "308",
                 [](auto& s) { return s.permanent_redirect_code == 308; }},
        GoodCase{"temporal-redirect", "http://[2001:db8::1]/",
                 [](auto& s) { return s.temporal_redirect == "http://[2001:db8::1]/"; }},
        GoodCase{"temporal-redirect-code", "307",
                 [](auto& s) { return s.temporal_redirect_code == 307; }},
        GoodCase{"rewrite-target", "/$1/b?c=$2",
                 [](auto& s) { return s.rewrite_target == "/$1/b?c=$2"; }},
        GoodCase{"use-regex", "true", [](auto& s) { return s.use_regex; }},
        GoodCase{"proxy-connect-timeout", "5",
                 [](auto& s) { return s.timeouts.connect_ms() == 5000; }},
        GoodCase{"proxy-read-timeout", "60s",
                 [](auto& s) { return s.timeouts.response_idle_ms() == 60'000; }},
        GoodCase{"proxy-send-timeout", "1500ms",
                 [](auto& s) { return s.timeouts.request_idle_ms() == 1500; }},
        GoodCase{"proxy-send-timeout", "2h",
                 [](auto& s) { return s.timeouts.request_idle_ms() == 7'200'000; }},
        GoodCase{"proxy-body-size", "0",
                 [](auto& s) {
                   return s.request_body_bytes_max == std::numeric_limits<uint64_t>::max();
                 }},
        GoodCase{"proxy-body-size", "512", [](auto& s) { return s.request_body_bytes_max == 512; }},
        GoodCase{"proxy-body-size", "1k", [](auto& s) { return s.request_body_bytes_max == 1024; }},
        GoodCase{"proxy-body-size", "8M",
                 [](auto& s) { return s.request_body_bytes_max == 8u << 20; }},
        GoodCase{"proxy-body-size", "10g",
                 [](auto& s) { return s.request_body_bytes_max == 10ull << 30; }},
        GoodCase{"proxy-next-upstream", "off", [](auto& s) { return s.retry.off(); }},
        GoodCase{"proxy-next-upstream", "error  timeout non_idempotent",
                 [](auto& s) { return s.retry.non_idempotent(); }},
        GoodCase{"proxy-next-upstream-tries", "1", [](auto& s) { return s.retry.tries() == 1; }},
        GoodCase{"proxy-next-upstream-tries", "0", [](auto& s) { return s.retry.tries() == 16; }},
        GoodCase{"proxy-next-upstream-timeout", "10",
                 [](auto& s) { return s.retry.timeout_ms() == 10'000; }},
        GoodCase{"proxy-next-upstream-timeout", "0",
                 [](auto& s) { return s.retry.timeout_ms() == 0; }},
        GoodCase{"backend-protocol", "HTTP", [](auto& s) { return !s.protocol_refused; }},
        GoodCase{"load-balance", "round_robin",
                 [](auto& s) { return s.balancer == v1::BALANCER_ROUND_ROBIN; }},
        GoodCase{"load-balance", "least_request",
                 [](auto& s) { return s.balancer == v1::BALANCER_LEAST_REQUEST; }},
        GoodCase{"grpc-web", "true", [](auto& s) { return s.grpc_web; }},
        GoodCase{"tunnel-idle-timeout", "2h",
                 [](auto& s) { return s.timeouts.tunnel_idle_ms() == 7'200'000; }},
        GoodCase{"tunnel-lifetime", "90s",
                 [](auto& s) { return s.timeouts.tunnel_lifetime_ms() == 90'000; }},
        GoodCase{"health-check-path", "/up?x=1",
                 [](auto& s) { return s.health_check->http().path() == "/up?x=1"; }},
        GoodCase{"health-check-port-type", "tcp",
                 [](auto& s) { return s.health_check->has_tcp(); }}));

struct BadCase {
  const char* name;
  std::vector<std::string> values;
};

class BadValue : public testing::TestWithParam<BadCase> {};

TEST_P(BadValue, IsReportedAndTheDefaultApplies) {
  const BadCase& c = GetParam();
  for (const std::string& value : c.values) {
    const Read got = read(c.name, value);
    const auto at =
        std::ranges::find(got.problems, model::Reason::kInvalidAnnotation, &model::Problem::reason);
    ASSERT_NE(at, got.problems.end()) << c.name << ": " << model::quote(value);
    for (const char ch : at->message) EXPECT_TRUE(ch >= 0x20 || (ch & 0x80) != 0) << at->message;
    const Settings& s = got.settings;
    EXPECT_TRUE(s.ssl_redirect && !s.force_ssl_redirect && !s.use_regex);
    EXPECT_TRUE(s.permanent_redirect.empty() && s.temporal_redirect.empty() &&
                s.rewrite_target.empty());
    EXPECT_TRUE(s.permanent_redirect_code == 301 && s.temporal_redirect_code == 302);
    EXPECT_EQ(s.timeouts.ByteSizeLong() + s.retry.ByteSizeLong() + s.request_body_bytes_max, 0u);
    EXPECT_TRUE(s.balancer == v1::BALANCER_UNSPECIFIED && !s.health_check && !s.grpc_web);
  }
}

const std::vector<std::string> kBadUrls = {"",
                                           "example.com",
                                           "ftp://a",
                                           "javascript:alert(1)",
                                           "//evil.example.com",
                                           "https://",
                                           "https:///x",
                                           "/a b",
                                           "/a\r\nSet-Cookie: x",
                                           "/a\nb",
                                           "/a\"b",
                                           "/a'b",
                                           "/a\\b",
                                           "/$request_uri",
                                           "/%zz",
                                           "/%4",
                                           "/ä",
                                           "/a{b}",
                                           "/<x>",
                                           std::string("/a\0b", 4),
                                           std::string(3000, '/')};
const std::vector<std::string> kBadTimes = {"",     "0",       "-1",   "1.5",
                                            "60 s", "60sec",   "s",    "99999999999999999999",
                                            "25d",  "3000000", "60\n", " 60"};
const std::vector<std::string> kBadBools = {"", "True", "yes", "1", "true ", "\"true\""};

INSTANTIATE_TEST_SUITE_P(
    Annotations, BadValue,
    testing::Values(
        BadCase{"ssl-redirect", kBadBools}, BadCase{"force-ssl-redirect", kBadBools},
        BadCase{"use-regex", kBadBools}, BadCase{"permanent-redirect", kBadUrls},
        BadCase{"temporal-redirect", kBadUrls},
        BadCase{"permanent-redirect-code",
                {"", "200", "300", "304", "305", "306", "309", "3o1", "404"}},
        BadCase{"temporal-redirect-code", {"", "200", "304", "399"}},
        BadCase{"rewrite-target",
                {"", "x", "$1", "/$0", "/$", "/$x", "/${1}", "/$request_uri", "//$1", "/a b",
                 "/a\r\nb", "/'", "/\"", "/a#b", "http://x/$1", std::string("/\0", 2)}},
        BadCase{"proxy-connect-timeout", kBadTimes}, BadCase{"proxy-read-timeout", kBadTimes},
        BadCase{"proxy-send-timeout", kBadTimes},
        BadCase{"proxy-body-size",
                {"", "m", "-1", "1t", "1.5m", "8mb", "1m; return 200", "99999999999g",
                 "18446744073709551616", "1\n"}},
        BadCase{"proxy-next-upstream", {"errors", "error,timeout", "error;", "off\n"}},
        BadCase{"proxy-next-upstream-tries", {"", "-1", "1001", "x"}},
        BadCase{"proxy-next-upstream-timeout", {"", "x", "-1"}},
        BadCase{"load-balance", {"", "random", "ip_hash", "round_robin "}},
        BadCase{"grpc-web", kBadBools}, BadCase{"tunnel-idle-timeout", kBadTimes},
        BadCase{"tunnel-lifetime", kBadTimes},
        BadCase{"health-check-path", {"", "up", "/a b", "/a\r\nHost: x", "/$x", "http://x/"}},
        BadCase{"health-check-port-type", {"", "udp", "TCP"}},
        BadCase{"health-check-host", {"", "a b", "a/b", "a\r\nb", "a\"b"}},
        BadCase{"health-check-body", {"", "a\nb", std::string(257, 'a')}},
        BadCase{"health-check-expected-status",
                {"", "99", "600", "300-200", "200,", "200-", "2xx", ","}},
        BadCase{"health-check-interval", {"", "0", "50ms", "x"}},
        BadCase{"health-check-timeout", {"", "0", "x"}},
        BadCase{"health-check-healthy-threshold", {"", "0", "1001"}},
        BadCase{"health-check-unhealthy-threshold", {"", "0", "x"}}));

TEST(Annotations, AnotherProtocolIsRefusedAndTheBackendsAreNotUsed) {
  for (const char* value : {"FCGI", "grpc", "http", "", "HTTP\n"}) {
    const Read got = read("backend-protocol", value);
    EXPECT_TRUE(got.settings.protocol_refused) << value;
    EXPECT_EQ(got.problems.at(0).reason, model::Reason::kInvalidAnnotation);
  }
}

TEST(Annotations, ProtocolsOfBackends) {
  const std::pair<const char*, BackendProtocol> cases[] = {
      {"HTTP", BackendProtocol::kHttp},
      {"HTTPS", BackendProtocol::kHttps},
      {"GRPC", BackendProtocol::kGrpc},
      {"GRPCS", BackendProtocol::kGrpcs},
      {"AUTO_HTTP", BackendProtocol::kAutoHttp}};
  for (const auto& [value, protocol] : cases) {
    const Read got = read("backend-protocol", value);
    EXPECT_EQ(got.settings.protocol, protocol) << value;
    EXPECT_FALSE(got.settings.protocol_refused) << value;
    EXPECT_TRUE(got.problems.empty()) << value;
  }
}

TEST(Annotations, OfOurOwnPrefixEveryOneUnknownOrOutOfPlaceIsReported) {
  Annotations annotations;
  annotations["ringway.dev/grpc-web"] = "true";
  annotations["ringway.dev/no-such"] = "x";
  annotations["ringway.dev/health-check-no-such"] = "x";
  const model::ObjectKey key;
  const model::Location location;
  std::vector<model::Problem> of_ingress, of_service;
  Report ingress(key, location, of_ingress), service(key, location, of_service);
  EXPECT_TRUE(read_ingress_annotations(annotations, kPrefix, Settings(), ingress).grpc_web);
  read_service_annotations(annotations, service);
  EXPECT_EQ(of_ingress.size(), 2u);
  ASSERT_EQ(of_service.size(), 3u);
  const auto out_of_place = std::ranges::find_if(of_service, [](const model::Problem& problem) {
    return problem.field.find("grpc-web") != std::string::npos;
  });
  ASSERT_NE(out_of_place, of_service.end());
  EXPECT_THAT(out_of_place->message, HasSubstr("not on a Service"));
}

TEST(Annotations, OtherPrefixesAreNotLookedAt) {
  Annotations annotations;
  annotations["example.com/rewrite-target"] = "\r\n";
  annotations["nginx.org/rewrites"] = "x";
  std::vector<model::Problem> problems;
  const model::ObjectKey key;
  const model::Location location;
  Report report(key, location, problems);
  read_ingress_annotations(annotations, kPrefix, Settings(), report);
  EXPECT_TRUE(problems.empty());
}

TEST(Annotations, EveryOneIsDocumentedAndNoOther) {
  std::ifstream in(SOURCE_DIR "/docs/annotations.md");
  std::stringstream text;
  text << in.rdbuf();
  const std::string documentation = text.str();
  for (const std::string_view name : ingress_annotation_names()) {
    EXPECT_THAT(documentation, HasSubstr("| `" + std::string(name) + "` |"));
  }
  for (const std::string_view name : health_annotation_names()) {
    EXPECT_THAT(documentation, HasSubstr("| `ringway.dev/" + std::string(name) + "` |"));
  }
  for (const std::string_view name : own_annotation_names()) {
    EXPECT_THAT(documentation, HasSubstr("| `ringway.dev/" + std::string(name) + "` |"));
  }
  size_t rows = 0;
  for (size_t at = 0; (at = documentation.find("\n| `", at)) != std::string::npos; ++at) ++rows;
  const size_t general = 4;  // The class annotations, the label and the port's field.
  EXPECT_EQ(rows, ingress_annotation_names().size() + health_annotation_names().size() +
                      own_annotation_names().size() + general);
}

TEST(Values, Hosts) {
  for (const char* good :
       {"a", "a.example.com", "*.example.com", "xn--bcher-kva.example", "1.example", "a-b.c"})
    EXPECT_TRUE(valid_host(good)) << good;
  for (const char* bad : {"", "*", "*.", "*.*.a", "a.*", "A.example", "a_b", "10.0.0.1", "a.1",
                          "a..b", "a:80", "[::1]", "-a", "a-.b", "a b", "a\r\n", "a/b"}) {
    EXPECT_FALSE(valid_host(bad)) << bad;
  }
  EXPECT_FALSE(valid_host(std::string(64, 'a') + ".example.com"));
}

TEST(Values, EscapesOfPaths) {
  const std::pair<const char*, const char*> kCases[] = {
      {"/", "/"},           {"/%7Euser", "/~user"}, {"/%61%2d", "/a-"},  {"/%3a%2F", "/%3A%2F"},
      {"/%", "/%"},         {"/%4", "/%4"},         {"/%zz", "/%zz"},    {"/%-1", "/%-1"},
      {"/%2e%2e/", "/../"}, {"/%c3%a4", "/%C3%A4"}, {"/%2541", "/%2541"}};
  for (const auto& [path, canonical] : kCases)
    EXPECT_EQ(canonical_escapes(path), canonical) << path;
}

TEST(Values, CapturesOfTemplates) {
  EXPECT_EQ(highest_capture("/"), 0);
  EXPECT_EQ(highest_capture("/$2/$1"), 2);
  EXPECT_EQ(without_captures_above("/$1/$3?x=$2", 2), "/$1/?x=$2");
}

}  // namespace
}  // namespace ringway::translate
