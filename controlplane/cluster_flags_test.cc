#include "controlplane/cluster_flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controlplane/controller_flags.h"

namespace ringway {
namespace {

using ::testing::HasSubstr;

std::expected<ControllerOptions, std::string> parse(std::vector<std::string> flags) {
  for (const char* flag : {"--listen=unix:/tmp/x", "--source=dir:/tmp", "ringway-controller"})
    flags.insert(flags.begin(), flag);
  std::vector<char*> argv;
  for (std::string& flag : flags) argv.push_back(flag.data());
  return parse_controller_flags(static_cast<int>(argv.size()), argv.data());
}

TEST(ClusterFlagsTest, WrongOnesAreOneLine) {
  struct Case {
    std::vector<std::string> flags;
    const char* error;
  };
  for (const Case& c : {
           Case{{"--validating-webhook=:8443"}, "--validating-webhook-certificate"},
           Case{{"--validating-webhook-certificate=/c"}, "HOST:PORT is missing"},
           Case{{"--validating-webhook=here", "--validating-webhook-certificate=/c",
                 "--validating-webhook-key=/k"},
                "want host:port"},
           Case{{"--validating-webhook=h:99999", "--validating-webhook-certificate=/c",
                 "--validating-webhook-key=/k"},
                "want host:port"},
           Case{{"--validating-webhook="}, "want a value"},
           Case{{"--validating-webhook=:1", "--validating-webhook-service=a/b"},
                "needs --link-secrets"},
           Case{{"--validating-webhook=:1", "--validating-webhook-service=a/b",
                 "--link-secrets=a/b", "--validating-webhook-key=/k"},
                "or else"},
           Case{{"--link-secrets=ringway"}, "want NAMESPACE/PREFIX"},
           Case{{"--link-secrets=ns/A b"}, "want NAMESPACE/PREFIX"},
           Case{{"--link-secrets=ns/ringway"}, "for a TCP address"},
           Case{{"--link-lifetime=1"}, "want a time"},
           Case{{"--link-lifetime=1s"}, "from 30s"},
           Case{{"--link-lifetime=99999999999999999999d"}, "want a time"},
           Case{{"--link-lifetime=2d", "--link-authority-lifetime=1d"}, "is longer than"},
           Case{{"--link-names=a,,b"}, "DNS names"},
           Case{{"--publish-service=web"}, "want NAMESPACE/SERVICE"},
           Case{{"--publish-service=a/b/c"}, "want NAMESPACE/SERVICE"},
           Case{{"--publish-nodes=a"}, "LABEL=VALUE"},
           Case{{"--publish-status-address=a b"}, "separated by commas"},
           Case{{"--update-status=maybe"}, "want true or false"},
           Case{{"--election-ttl=1s"}, "want a time such as 15s"},
           Case{{"--election-id=A"}, "name of a Lease"},
       }) {
    const auto parsed = parse(c.flags);
    ASSERT_FALSE(parsed.has_value()) << c.error;
    EXPECT_THAT(parsed.error(), HasSubstr(c.error));
    EXPECT_EQ(parsed.error().find('\n'), std::string::npos);
  }
}

TEST(ClusterFlagsTest, TheWebhookListensWhereIngressNginxDoes) {
  const auto parsed = parse({"--validating-webhook", ":8443", "--validating-webhook-certificate=/c",
                             "--validating-webhook-key=/k", "--validating-webhook-client-ca=/a"});
  ASSERT_TRUE(parsed.has_value()) << parsed.error();
  EXPECT_EQ(parsed->cluster.webhook.address, "0.0.0.0:8443");
  EXPECT_EQ(parsed->cluster.webhook.tls.client_ca, "/a");
}

TEST(ClusterFlagsTest, WhatTheyMean) {
  const auto parsed =
      parse({"--publish-service=edge/proxy", "--report-node-internal-ip", "--update-status=false",
             "--update-status-on-shutdown=false", "--election-id=x", "--election-namespace=edge",
             "--election-ttl=30s", "--disable-leader-election"});
  ASSERT_TRUE(parsed.has_value()) << parsed.error();
  const ClusterOptions& cluster = parsed->cluster;
  EXPECT_EQ(cluster.publish.service_ns, "edge");
  EXPECT_EQ(cluster.publish.service_name, "proxy");
  EXPECT_TRUE(cluster.publish.node_internal);
  EXPECT_FALSE(cluster.writer.update_status);
  EXPECT_FALSE(cluster.writer.on_shutdown);
  EXPECT_EQ(cluster.election.id, "x");
  EXPECT_EQ(cluster.election.ttl_s, 30u);
  EXPECT_FALSE(cluster.election.enabled);
  EXPECT_TRUE(cluster.writes_back);
  EXPECT_TRUE(cluster.needs_api());
  EXPECT_FALSE(parse({}).value().cluster.needs_api());
}

TEST(ClusterFlagsTest, ALinkNeedsNoFiles) {
  const auto parsed = parse({"--listen=0.0.0.0:18000", "--link-secrets=edge/ringway",
                             "--link-lifetime=12h", "--link-names=10.0.0.1,edge.example.com"});
  ASSERT_TRUE(parsed.has_value()) << parsed.error();
  EXPECT_EQ(parsed->cluster.link_ns, "edge");
  EXPECT_EQ(parsed->cluster.link.prefix, "ringway");
  EXPECT_EQ(parsed->cluster.link.lifetimes.leaf_s, 12 * 3600);
  EXPECT_EQ(parsed->cluster.link.names.size(), 2u);
  EXPECT_THAT(
      parse({"--listen=0.0.0.0:18000", "--link-secrets=edge/ringway", "--tls-cert=/c"}).error(),
      HasSubstr("exclude each other"));
}

TEST(ClusterFlagsTest, AWebhookNeedsNoFilesEither) {
  const auto parsed = parse({"--link-secrets=edge/ringway", "--validating-webhook=:8443",
                             "--validating-webhook-service=edge/admission",
                             "--validating-webhook-configuration=ringway-admission"});
  ASSERT_TRUE(parsed.has_value()) << parsed.error();
  EXPECT_EQ(parsed->cluster.webhook_service_name, "admission");
  EXPECT_EQ(parsed->cluster.webhook_configuration, "ringway-admission");
}

TEST(ClusterFlagsTest, ToTakeOutAddressesTheyMustBeNamed) {
  EXPECT_THAT(parse({"--take-out-status"}).error(), HasSubstr("which addresses?"));
  const auto parsed = parse({"--take-out-status", "--publish-service=edge/proxy"});
  ASSERT_TRUE(parsed.has_value()) << parsed.error();
  EXPECT_TRUE(parsed->cluster.take_out);
  EXPECT_FALSE(parse({"--publish-service=edge/proxy"})->cluster.take_out);
}

TEST(ClusterFlagsTest, EveryFlagIsInTheHelp) {
  const std::string usage = controller_usage();
  for (const char* flag :
       {"--validating-webhook ", "--validating-webhook-certificate", "--validating-webhook-key",
        "--validating-webhook-client-ca", "--link-secrets", "--link-names", "--link-lifetime",
        "--link-authority-lifetime", "--election-id", "--election-namespace", "--election-ttl",
        "--disable-leader-election", "--publish-service", "--publish-status-address",
        "--publish-nodes", "--report-node-internal-ip",
        "--update-status=", "--update-status-on-shutdown", "--take-out-status"}) {
    EXPECT_THAT(usage, HasSubstr(flag));
  }
}

}  // namespace
}  // namespace ringway
