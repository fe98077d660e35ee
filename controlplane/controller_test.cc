// Flags, and the pipeline between a scripted source and a server without proxies.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <deque>

#include "controlplane/controller_flags.h"
#include "controlplane/pipeline.h"

namespace ringway {
namespace {

using ::testing::HasSubstr;

std::expected<ControllerOptions, std::string> parse(std::vector<std::string> flags) {
  flags.insert(flags.begin(), "ringway-controller");
  std::vector<char*> argv;
  for (std::string& flag : flags) argv.push_back(flag.data());
  return parse_controller_flags(static_cast<int>(argv.size()), argv.data());
}

TEST(ControllerFlagsTest, WrongOnesAreOneLine) {
  struct Case {
    std::vector<std::string> flags;
    const char* error;
  };
  const std::vector<std::string> good = {"--source", "dir:/tmp", "--listen", "unix:/tmp/x"};
  for (Case c :
       {Case{{"--nope"}, "unknown flag \"--nope\""}, Case{{"stray"}, "unknown flag"},
        Case{{"--http-port"}, "value is missing"},
        Case{{"--http-port", "99999"}, "--http-port \"99999\""},
        Case{{"--http-port=-1"}, "want a port"}, Case{{"--source", "ftp:x"}, "want dir:DIRECTORY"},
        Case{{"--default-backend", "web"}, "namespace/service:port"},
        Case{{"--listen", "0.0.0.0:1"}, "not loopback"},
        Case{{"--listen", "nonsense"}, "want unix:/path"}, Case{{"--tls-cert", "/x"}, "all three"},
        Case{{"--admin", "here"}, "--admin"}, Case{{"--log-level", "loud"}, "--log-level"},
        Case{{"--removal-hold-ms", "x"}, "milliseconds"},
        Case{{"--watch-namespace", "A b"}, "a namespace"}, Case{{"--secrets=some"}, "referenced"},
        Case{{"--controller-class", "nginx"}, "DOMAIN/NAME"},
        Case{{"--configmap", "x"}, "namespace/name"}, Case{{"--compare-seconds=1"}, "seconds"},
        Case{{"--ingress-class-by-name=maybe"}, "true or false"},
        Case{{"--watch-namespace=a", "--watch-namespace-selector=b"}, "only one"}}) {
    std::vector<std::string> flags = good;
    flags.insert(flags.end(), c.flags.begin(), c.flags.end());
    const auto parsed = parse(flags);
    ASSERT_FALSE(parsed.has_value()) << c.error;
    EXPECT_THAT(parsed.error(), HasSubstr(c.error));
    EXPECT_EQ(parsed.error().find('\n'), std::string::npos);
  }
  EXPECT_THAT(parse({}).error(), HasSubstr("--source is missing"));
}

TEST(ControllerFlagsTest, LabelsOfMetrics) {
  const auto parse = [](std::vector<const char*> more) {
    std::vector<const char*> all{"ringway-controller", "--source=dir:/m", "--listen=unix:/s"};
    all.insert(all.end(), more.begin(), more.end());
    return parse_controller_flags(static_cast<int>(all.size()), const_cast<char**>(all.data()));
  };
  const auto plain = parse({});
  ASSERT_TRUE(plain.has_value()) << plain.error();
  EXPECT_TRUE(plain->nginx_metrics.on);
  EXPECT_EQ(plain->nginx_metrics.controller_class, "ringway.dev/ingress");
  EXPECT_FALSE(plain->nginx_metrics.controller_pod.empty());
  const auto options =
      parse({"--nginx-metrics=off", "--metrics-namespace=edge", "--metrics-pod=controller-0"});
  ASSERT_TRUE(options.has_value()) << options.error();
  EXPECT_FALSE(options->nginx_metrics.on);
  EXPECT_EQ(options->nginx_metrics.controller_namespace, "edge");
  EXPECT_EQ(options->nginx_metrics.controller_pod, "controller-0");
  EXPECT_FALSE(parse({"--nginx-metrics=maybe"}).has_value());
}

TEST(ControllerFlagsTest, PortsBecomeAddressesAndRedirects) {
  const auto parsed = parse(
      {"--source=dir:/m", "--listen=unix:/tmp/x", "--http-port=8080", "--https-port", "8443"});
  ASSERT_TRUE(parsed.has_value()) << parsed.error();
  EXPECT_EQ(parsed->translate.http_addresses, std::vector<std::string>{"0.0.0.0:8080"});
  EXPECT_EQ(parsed->translate.redirect_https_port, 8443u);
  const auto off = parse(
      {"--source=dir:/m", "--listen=unix:/tmp/x", "--https-port=0", "--http-address", "[::]:80"});
  EXPECT_TRUE(off->translate.https_addresses.empty());
  EXPECT_EQ(off->translate.http_addresses, std::vector<std::string>{"[::]:80"});
  EXPECT_EQ(off->translate.redirect_https_port, 443u);
}

TEST(ControllerFlagsTest, AClusterIsReadAsIngressNginxIsTold) {
  const auto parsed = parse({"--source=kubernetes", "--listen=unix:/tmp/x", "--http-port=8080",
                             "--controller-class=ringway.dev/ingress",
                             "--controller-class=k8s.io/ingress-nginx", "--ingress-class=nginx",
                             "--ingress-class-by-name=true", "--watch-ingress-without-class=true",
                             "--watch-namespace=shop,blog", "--configmap=sys/ringway",
                             "--disable-svc-external-name=true", "--annotations-prefix=a.example",
                             "--secrets", "all", "--kubeconfig", "/k", "--context=c"});
  ASSERT_TRUE(parsed.has_value()) << parsed.error();
  EXPECT_TRUE(parsed->kubernetes);
  const translate::Options& translate = parsed->translate;
  EXPECT_EQ(translate.controller_names,
            (std::vector<std::string>{"ringway.dev/ingress", "k8s.io/ingress-nginx"}));
  EXPECT_EQ(translate.class_name, "nginx");
  EXPECT_TRUE(translate.class_by_name);
  EXPECT_EQ(translate.classless, translate::Classless::kServed);
  EXPECT_FALSE(translate.external_names);
  EXPECT_FALSE(translate.loopback_endpoints);
  EXPECT_EQ(translate.annotation_prefix, "a.example/");
  EXPECT_EQ(translate.redirect_https_port, 443u);
  EXPECT_EQ(parsed->kube.source.namespaces, (std::vector<std::string>{"shop", "blog"}));
  EXPECT_EQ(parsed->kube.source.configmaps, (std::vector<std::string>{"sys/ringway"}));
  EXPECT_TRUE(parsed->kube.source.all_secrets);
  EXPECT_EQ(parsed->kube.api.kubeconfig, "/k");
  EXPECT_EQ(parsed->kube.api.context, "c");
  const auto plain = parse({"--source=kubernetes", "--listen=unix:/tmp/x"});
  EXPECT_EQ(plain->translate.classless, translate::Classless::kIgnored);
  EXPECT_FALSE(plain->kube.source.all_secrets);
  const auto directory = parse({"--source=dir:/m", "--listen=unix:/tmp/x"});
  EXPECT_EQ(directory->translate.classless, translate::Classless::kServedWithoutClasses);
  EXPECT_TRUE(directory->translate.loopback_endpoints);
}

class ScriptedSource final : public source::Source {
 public:
  explicit ScriptedSource(std::atomic<bool>& stopping) : stopping_(stopping) {}
  std::optional<source::Batch> next(std::chrono::milliseconds) override {
    if (batches.empty()) {
      stopping_ = true;
      return std::nullopt;
    }
    source::Batch batch = std::move(batches.front());
    batches.pop_front();
    return batch;
  }
  void stop() override {}
  std::deque<source::Batch> batches;

 private:
  std::atomic<bool>& stopping_;
};

class PipelineTest : public ::testing::Test {
 protected:
  PipelineTest() {
    serve::ServerOptions options;
    options.listen = "unix:/tmp/ringway-pipeline-" + std::to_string(::getpid());
    server_ = std::move(*serve::DiscoveryServer::start(options, store_));
  }
  void run(std::deque<source::Batch> batches) {
    ScriptedSource source(stopping_);
    source.batches = std::move(batches);
    Pipeline(source, {}, {}, store_, *server_, stats_).run(stopping_);
  }
  static source::Batch unreadable() {
    source::Batch batch;
    batch.problems.push_back(
        {.reason = model::Reason::kUnreadable, .message = "No such file or directory"});
    return batch;
  }
  std::atomic<bool> stopping_ = false;
  snapshot::Store store_;
  serve::PipelineStats stats_;
  std::unique_ptr<serve::DiscoveryServer> server_;
};

TEST_F(PipelineTest, AnUnreadableSourceIsNotAnEmptyOne) {
  run({unreadable(), unreadable()});
  EXPECT_FALSE(stats_.first_batch_done) << "proxies must keep what they hold";
  EXPECT_EQ(store_.size(), 0u);
  EXPECT_EQ(stats_.problems_errors, 1u);
}

TEST_F(PipelineTest, AnEmptySourceMakesProxiesReady) {
  run({source::Batch{.full = true}});
  EXPECT_TRUE(stats_.first_batch_done);
  EXPECT_EQ(store_.size(), 2u) << "the listeners depend on no object";
  EXPECT_EQ(stats_.problems_errors, 0u);
}

TEST_F(PipelineTest, AReadableSourceAfterAllIsTaken) {
  run({unreadable(), source::Batch{}});
  EXPECT_TRUE(stats_.first_batch_done);
  EXPECT_EQ(stats_.problems_errors, 0u);
}

}  // namespace
}  // namespace ringway
