#include "controlplane/translate/config_map.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <limits>
#include <sstream>

#include "controlplane/translate/known_config_keys.h"

namespace ringway::translate {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

struct Read {
  GlobalSettings settings;
  std::vector<model::Problem> problems;
};

Read read(const std::vector<std::pair<std::string, std::string>>& data) {
  model::Object object;
  object.key = {model::Kind::kConfigMap, "sys", "ringway"};
  kubernetes::ConfigMap map;
  for (const auto& [key, text] : data) (*map.mutable_data())[key] = text;
  object.body = map;
  Read out;
  out.settings = read_config_map(object, out.problems);
  return out;
}

struct GoodCase {
  const char* key;
  const char* text;
  bool (*holds)(const GlobalSettings&);
};

TEST(ConfigMap, EveryKeyHasItsEffect) {
  const GoodCase cases[] = {
      {"client-body-timeout", "30", [](auto& s) { return s.http.body_timeout_ms() == 30'000; }},
      {"client-header-timeout", "5s", [](auto& s) { return s.http.header_timeout_ms() == 5000; }},
      {"force-ssl-redirect", "true", [](auto& s) { return s.defaults.force_ssl_redirect; }},
      {"hsts", "true", [](auto& s) { return s.http.hsts() && s.http.hsts_include_subdomains(); }},
      {"http-redirect-code", "301", [](auto& s) { return s.defaults.https_redirect_code == 301; }},
      {"http2-max-concurrent-streams", "64",
       [](auto& s) { return s.http.http2_streams_max() == 64; }},
      {"keep-alive", "75", [](auto& s) { return s.http.idle_timeout_ms() == 75'000; }},
      {"keep-alive-requests", "10000",
       [](auto& s) { return s.http.keep_alive_requests_max() == 10'000; }},
      {"large-client-header-buffers", "8 16k",
       [](auto& s) {
         return s.http.request_line_bytes_max() == 16'384 && s.http.header_bytes_max() == 16'384 &&
                s.http.headers_bytes_max() == 131'072;
       }},
      {"load-balance", "least_request",
       [](auto& s) { return s.defaults.balancer == v1::BALANCER_LEAST_REQUEST; }},
      {"no-tls-redirect-locations", "/.well-known/acme-challenge, /ping",
       [](auto& s) {
         return s.defaults.no_tls_redirect ==
                std::vector<std::string>{"/.well-known/acme-challenge", "/ping"};
       }},
      {"proxy-body-size", "0",
       [](auto& s) {
         return s.defaults.request_body_bytes_max == std::numeric_limits<uint64_t>::max();
       }},
      {"proxy-connect-timeout", "10",
       [](auto& s) { return s.defaults.timeouts.connect_ms() == 10'000; }},
      {"proxy-next-upstream", "off", [](auto& s) { return s.defaults.retry.off(); }},
      {"proxy-next-upstream-timeout", "2",
       [](auto& s) { return s.defaults.retry.timeout_ms() == 2000; }},
      {"proxy-next-upstream-tries", "5", [](auto& s) { return s.defaults.retry.tries() == 5; }},
      {"proxy-protocol-header-timeout", "5s",
       [](auto& s) { return s.proxy_protocol_timeout_ms == 5000; }},
      {"proxy-read-timeout", "3600",
       [](auto& s) { return s.defaults.timeouts.response_idle_ms() == 3'600'000; }},
      {"proxy-real-ip-cidr", "10.0.0.0/8,fd00::/8",
       [](auto& s) {
         return s.proxy_real_ip_cidrs == std::vector<std::string>{"10.0.0.0/8", "fd00::/8"};
       }},
      {"proxy-send-timeout", "3600",
       [](auto& s) { return s.defaults.timeouts.request_idle_ms() == 3'600'000; }},
      {"proxy-stream-connect-timeout", "2s",
       [](auto& s) { return s.stream.connect_timeout_ms() == 2000; }},
      {"proxy-stream-next-upstream", "false", [](auto& s) { return s.stream.tries() == 1; }},
      {"proxy-stream-next-upstream-timeout", "30",
       [](auto& s) { return s.stream.tries_timeout_ms() == 30'000; }},
      {"proxy-stream-next-upstream-tries", "0", [](auto& s) { return s.stream.tries() == 8; }},
      {"proxy-stream-timeout", "1h",
       [](auto& s) { return s.stream.idle_timeout_ms() == 3'600'000; }},
      {"retry-non-idempotent", "true", [](auto& s) { return s.defaults.retry.non_idempotent(); }},
      {"ssl-protocols", "TLSv1.3",
       [](auto& s) { return s.tls_version_min == v1::TLS_VERSION_1_3; }},
      {"ssl-redirect", "false", [](auto& s) { return !s.defaults.ssl_redirect; }},
      {"upstream-keepalive-connections", "64", [](auto& s) { return s.pool.idle_max() == 64; }},
      {"upstream-keepalive-requests", "100", [](auto& s) { return s.pool.requests_max() == 100; }},
      {"upstream-keepalive-time", "1h", [](auto& s) { return s.pool.age_max_ms() == 3'600'000; }},
      {"upstream-keepalive-timeout", "60",
       [](auto& s) { return s.pool.idle_timeout_ms() == 60'000; }},
      {"use-forwarded-headers", "true", [](auto& s) { return s.http.trust_forwarded(); }},
      {"use-http2", "false", [](auto& s) { return s.http.http2_disabled(); }},
      {"use-proxy-protocol", "true\n", [](auto& s) { return s.use_proxy_protocol == true; }},
  };
  std::set<std::string_view> seen = {"hsts-include-subdomains", "hsts-max-age"};  // Below.
  for (const GoodCase& c : cases) {
    const Read got = read({{c.key, c.text}});
    EXPECT_TRUE(c.holds(got.settings)) << c.key;
    EXPECT_THAT(got.problems, IsEmpty()) << c.key;
    EXPECT_FALSE(c.holds(read({}).settings)) << c.key << ": the value of the case is the default";
    seen.insert(c.key);
  }
  const auto keys = config_map_keys();
  EXPECT_THAT(seen, ::testing::ElementsAreArray(keys));
}

TEST(ConfigMap, HstsCountsAsAWhole) {
  const Read on =
      read({{"hsts", "true"}, {"hsts-max-age", "600"}, {"hsts-include-subdomains", "false"}});
  EXPECT_EQ(on.settings.http.hsts_max_age_seconds(), 600u);
  EXPECT_FALSE(on.settings.http.hsts_include_subdomains());
  const Read off = read({{"hsts-max-age", "600"}});
  EXPECT_EQ(off.settings.http.ByteSizeLong(), 0u);
}

TEST(ConfigMap, StreamsThatAreNotToGoOnDoNot) {
  const Read off =
      read({{"proxy-stream-next-upstream", "false"}, {"proxy-stream-next-upstream-tries", "5"}});
  EXPECT_EQ(off.settings.stream.tries(), 1u);
}

TEST(ConfigMap, AValueThatIsWrongIsAnErrorAndTheDefaultApplies) {
  const std::pair<const char*, std::vector<const char*>> cases[] = {
      {"hsts-max-age", {"0", "-1", "x", ""}},
      {"http-redirect-code", {"303", "200", ""}},
      {"http2-max-concurrent-streams", {"0", "1001"}},
      {"keep-alive", {"0", "", "soon"}},
      {"keep-alive-requests", {"0", "4294967296"}},
      {"large-client-header-buffers", {"4", "4 100", "0 8k", "1024 8k", "8k 4", "4 8k 3", ""}},
      {"no-tls-redirect-locations", {"ping", "/a//b", "/a,b"}},
      {"proxy-body-size", {"big", "1t"}},
      {"proxy-real-ip-cidr", {"", "10.0.0.0/33", "any", "10.0.0.0/8;11.0.0.0/8"}},
      {"ssl-protocols", {"", "TLSv1", "TLSv1.2,TLSv1.3", "SSLv9 TLSv1.3"}},
      {"upstream-keepalive-connections", {"0", "x"}},
      {"use-http2", {"yes", "True", ""}},
      {"use-proxy-protocol", {"1", "on"}},
  };
  const GlobalSettings defaults = read({}).settings;
  for (const auto& [key, texts] : cases) {
    for (const char* text : texts) {
      const Read got = read({{key, text}});
      ASSERT_THAT(got.problems, SizeIs(1)) << key << " " << text;
      EXPECT_EQ(got.problems[0].severity, model::Severity::kError);
      EXPECT_EQ(got.problems[0].field, "data[" + std::string(key) + "]");
      EXPECT_THAT(got.problems[0].message, HasSubstr("must be"));
      EXPECT_EQ(got.settings.http.SerializeAsString(), defaults.http.SerializeAsString());
      EXPECT_EQ(got.settings.pool.ByteSizeLong(), 0u);
      EXPECT_THAT(got.settings.proxy_real_ip_cidrs, IsEmpty());
      EXPECT_EQ(got.settings.use_proxy_protocol, std::nullopt);
    }
  }
}

TEST(ConfigMap, VersionsOfTlsThatAreNotSpokenAreSaid) {
  const Read old = read({{"ssl-protocols", "TLSv1 TLSv1.1 TLSv1.2 TLSv1.3"}});
  EXPECT_EQ(old.settings.tls_version_min, v1::TLS_VERSION_1_2);
  ASSERT_THAT(old.problems, SizeIs(1));
  EXPECT_EQ(old.problems[0].severity, model::Severity::kWarning);
}

TEST(ConfigMap, WhatHasNoEffectIsSaidOnceEach) {
  const Read got = read({{"server-snippet", "deny all;"},
                         {"whitelist-source-range", "10.0.0.0/8"},
                         {"log-format-upstream", "$x"},
                         {"no-such-key", "1"}});
  ASSERT_THAT(got.problems, SizeIs(4));
  std::map<std::string, std::string> said;
  for (const auto& problem : got.problems) {
    EXPECT_EQ(problem.severity, model::Severity::kWarning);
    EXPECT_EQ(problem.reason, model::Reason::kUnsupportedKey);
    said[problem.field] = problem.message;
  }
  EXPECT_THAT(said["data[server-snippet]"], HasSubstr("refused"));
  EXPECT_THAT(said["data[whitelist-source-range]"], HasSubstr("WITHOUT"));
  EXPECT_THAT(said["data[log-format-upstream]"], HasSubstr("not supported"));
  EXPECT_THAT(said["data[no-such-key]"], HasSubstr("not a key of ingress-nginx"));
}

TEST(ConfigMap, WhatIsSoAnywayOrTheChartsIsNoProblem) {
  EXPECT_THAT(read({{"use-gzip", "false"},
                    {"server-tokens", "false"},
                    {"proxy-buffering", "off"},
                    {"worker-processes", "4"},
                    {"worker-shutdown-timeout", "240s"},
                    {"disable-access-log", "true"}})
                  .problems,
              IsEmpty());
  EXPECT_THAT(read({{"use-gzip", "true"}}).problems, SizeIs(1));
}

TEST(ConfigMap, EveryKeyIsDocumentedAndNoOther) {
  std::ifstream in(SOURCE_DIR "/docs/configmap.md");
  std::stringstream text;
  text << in.rdbuf();
  const std::string documentation = text.str();
  for (const std::string_view key : config_map_keys()) {
    EXPECT_THAT(documentation, HasSubstr("\n| `" + std::string(key) + "` |"));
  }
  size_t rows = 0;
  for (size_t at = 0; (at = documentation.find("\n| `", at)) != std::string::npos; ++at) ++rows;
  EXPECT_EQ(rows, config_map_keys().size());
}

}  // namespace
}  // namespace ringway::translate
