#include "controlplane/kube/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "base/clock.h"
#include "controlplane/kube/backoff.h"
#include "controlplane/kube/token.h"

namespace ringway::kube {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class ConfigTest : public testing::Test {
 protected:
  ConfigTest() {
    std::string path = testing::TempDir() + "kube_config_XXXXXX";
    root_ = ::mkdtemp(path.data());
  }
  ~ConfigTest() override { fs::remove_all(root_); }

  std::string write(const std::string& name, const std::string& text) {
    fs::create_directories((fs::path(root_) / name).parent_path());
    std::ofstream(fs::path(root_) / name) << text;
    return (fs::path(root_) / name).string();
  }
  std::string error(const std::string& text) {
    const auto config = kubeconfig({write("config", text)}, "", true);
    return config ? "none" : config.error();
  }

  std::string root_;
};

constexpr const char* kTwoContexts = R"(
apiVersion: v1
kind: Config
current-context: kind
clusters:
- name: kind
  cluster: {server: "https://127.0.0.1:6443/", certificate-authority-data: Q0E=}
- name: far
  cluster: {server: "https://far.example", tls-server-name: api, insecure-skip-tls-verify: true, proxy-url: "http://proxy:3128"}
users:
- name: admin
  user: {client-certificate-data: Q0VSVA==, client-key-data: S0VZ}
- name: robot
  user: {token: abc, tokenFile: tokens/robot}
contexts:
- name: kind
  context: {cluster: kind, user: admin, namespace: shop}
- name: far
  context: {cluster: far, user: robot}
)";

TEST_F(ConfigTest, TakesTheCurrentContext) {
  const auto config = kubeconfig({write("config", kTwoContexts)}, "", true);
  ASSERT_TRUE(config.has_value()) << config.error();
  EXPECT_EQ(config->server, "https://127.0.0.1:6443");
  EXPECT_EQ(config->ca.data, "CA");
  EXPECT_EQ(config->certificate.data, "CERT");
  EXPECT_EQ(config->key.data, "KEY");
  EXPECT_EQ(config->ns, "shop");
  EXPECT_FALSE(config->insecure);
  EXPECT_THAT(config->origin, HasSubstr("context kind"));
}

TEST_F(ConfigTest, TakesANamedContext) {
  const auto config = kubeconfig({write("sub/config", kTwoContexts)}, "far", true);
  ASSERT_TRUE(config.has_value()) << config.error();
  EXPECT_EQ(config->server, "https://far.example");
  EXPECT_EQ(config->tls_server_name, "api");
  EXPECT_EQ(config->proxy_url, "http://proxy:3128");
  EXPECT_TRUE(config->insecure);
  EXPECT_EQ(config->token, "abc");
  EXPECT_EQ(config->token_file, root_ + "/sub/tokens/robot");
}

TEST_F(ConfigTest, MergesFilesTheFirstCounts) {
  const std::string first = write("a", R"(
current-context: far
clusters: [{name: far, cluster: {server: "https://first"}}]
)");
  const std::string second = write("b", kTwoContexts);
  const auto config = kubeconfig({root_ + "/absent", first, second}, "", false);
  ASSERT_TRUE(config.has_value()) << config.error();
  EXPECT_EQ(config->server, "https://first");
  EXPECT_EQ(config->token, "abc");
  EXPECT_FALSE(kubeconfig({root_ + "/absent"}, "", true).has_value());
}

TEST_F(ConfigTest, SaysWhatIsWrong) {
  const auto with = [](const std::string& cluster, const std::string& user) {
    return "current-context: c\nclusters: [{name: k, cluster: " + cluster +
           "}]\nusers: [{name: u, user: " + user +
           "}]\ncontexts: [{name: c, context: {cluster: k, user: u}}]\n";
  };
  EXPECT_THAT(error("a: [b"), HasSubstr("config:"));
  EXPECT_THAT(error("[]"), HasSubstr("not a kubeconfig"));
  EXPECT_THAT(error(""), HasSubstr("no current-context"));
  EXPECT_THAT(error("current-context: x"), HasSubstr("no context \"x\""));
  EXPECT_THAT(error("current-context: c\ncontexts: [{name: c, context: {cluster: k}}]"),
              HasSubstr("no cluster \"k\""));
  EXPECT_THAT(error(with("{server: \"ftp://x\"}", "{}")), HasSubstr("https://"));
  EXPECT_THAT(error(with("{server: \"https://x\"}", "{exec: {command: aws}}")),
              HasSubstr("\"exec\" is not supported"));
  EXPECT_THAT(error(with("{server: \"https://x\"}", "{client-key-data: S0VZ}")),
              HasSubstr("go together"));
  EXPECT_THAT(error(with("{server: \"https://x\", certificate-authority: nope.pem}", "{}")),
              HasSubstr("there is no"));
  EXPECT_THAT(error(with("{server: \"https://x\", certificate-authority-data: \"!\"}", "{}")),
              HasSubstr("not base64"));
  EXPECT_THAT(error(with("{server: \"http://10.0.0.1\"}", "{token: abc}")),
              HasSubstr("clear text"));
  EXPECT_EQ(error(with("{server: \"http://127.0.0.1:8001\"}", "{token: abc}")), "none");
}

TEST_F(ConfigTest, InClusterNeedsTokenAndCa) {
  EXPECT_THAT(in_cluster_config(root_, "10.0.0.1", "443").error(), HasSubstr("no token"));
  write("token", "secret\n");
  EXPECT_THAT(in_cluster_config(root_, "10.0.0.1", "443").error(), HasSubstr("no CA"));
  write("ca.crt", "pem");
  write("namespace", "ringway-system\n");
  const auto config = in_cluster_config(root_, "fd00::1", "443");
  ASSERT_TRUE(config.has_value()) << config.error();
  EXPECT_EQ(config->server, "https://[fd00::1]:443");
  EXPECT_EQ(config->ca.file, root_ + "/ca.crt");
  EXPECT_EQ(config->ns, "ringway-system");
  EXPECT_THAT(in_cluster_config(root_, "", "").error(), HasSubstr("--kubeconfig"));
}

TEST_F(ConfigTest, ATokenFileIsReadAgainAfterAMinuteOrWhenRefused) {
  Config config;
  config.token_file = write("token", "one\n");
  Token token(config);
  const uint64_t start = 1000 * kNsPerSecond;
  EXPECT_EQ(token.at(start), "one");
  write("token", "two");
  EXPECT_EQ(token.at(start + 59 * kNsPerSecond), "one");
  EXPECT_EQ(token.at(start + 60 * kNsPerSecond), "two");
  write("token", "three");
  EXPECT_TRUE(token.expire());
  EXPECT_EQ(token.at(start + 61 * kNsPerSecond), "three");
}

TEST_F(ConfigTest, ATokenFileThatIsGoneOrDirtyKeepsTheTokenBefore) {
  Config config;
  config.token_file = write("token", "one");
  Token token(config);
  EXPECT_EQ(token.at(1), "one");
  write("token", "evil\r\nX-Remote-User: admin");
  token.expire();
  EXPECT_EQ(token.at(2), "one");
  fs::remove(config.token_file);
  token.expire();
  EXPECT_EQ(token.at(3), "one");
  EXPECT_FALSE(Token(Config{.token = "fixed"}).expire());
}

TEST(BackoffTest, DoublesItsBoundUpToTheMostAndWaitsRetryAfterInFull) {
  using std::chrono::milliseconds;
  Random random(7);
  Backoff backoff({.first = milliseconds(100), .most = milliseconds(1000)}, random);
  for (const int bound : {100, 200, 400, 800, 1000, 1000}) {
    EXPECT_LE(backoff.next(), milliseconds(bound));
  }
  EXPECT_GE(backoff.next(milliseconds(5000)), milliseconds(5000));
  backoff.reset();
  EXPECT_LE(backoff.next(), milliseconds(100));
  // Spread over the whole range, not around a point.
  milliseconds least(1000), most(0);
  for (int i = 0; i < 200; ++i) {
    const milliseconds wait = backoff.next();
    least = std::min(least, wait);
    most = std::max(most, wait);
  }
  EXPECT_LT(least, milliseconds(100));
  EXPECT_GT(most, milliseconds(900));
}

}  // namespace
}  // namespace ringway::kube
