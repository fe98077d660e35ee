#include "dataplane/process/flags.h"

#include <gtest/gtest.h>

namespace ringway::process {
namespace {

std::expected<ProxyOptions, std::string> parse(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "ringway-proxy");
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  return parse_flags(static_cast<int>(arguments.size()), argv.data());
}

TEST(FlagsTest, Defaults) {
  const auto options = parse({"--controller", "unix:/run/ringway.sock"});
  ASSERT_TRUE(options.has_value()) << options.error();
  EXPECT_EQ(options->controller, "unix:/run/ringway.sock");
  EXPECT_EQ(options->admin, "127.0.0.1:10254");
  EXPECT_EQ(options->workers, 0u);
  EXPECT_EQ(options->io, io::BackendChoice::kAuto);
  EXPECT_EQ(options->access_log, "off");
  EXPECT_TRUE(options->supervisor);
  EXPECT_FALSE(options->core_dumps);
  EXPECT_FALSE(options->transparent_source);
  EXPECT_EQ(options->drain_timeout_seconds, 30u);
  EXPECT_FALSE(options->node_id.empty());
}

TEST(FlagsTest, LabelsOfMetrics) {
  const auto plain = parse({"--controller=a:1", "--node-id=pod-1"});
  EXPECT_TRUE(plain->nginx_metrics && plain->metrics_per_host);
  EXPECT_EQ(plain->metrics_pod, "pod-1");
  EXPECT_EQ(plain->metrics_class, "ringway.dev/ingress");
  const auto options = parse({"--controller=a:1", "--nginx-metrics=off", "--metrics-per-host=off",
                              "--metrics-namespace=edge", "--metrics-class=k8s.io/ingress-nginx",
                              "--metrics-pod=proxy-0"});
  ASSERT_TRUE(options.has_value()) << options.error();
  EXPECT_FALSE(options->nginx_metrics || options->metrics_per_host);
  EXPECT_EQ(options->metrics_namespace, "edge");
  EXPECT_EQ(options->metrics_class, "k8s.io/ingress-nginx");
  EXPECT_EQ(options->metrics_pod, "proxy-0");
  EXPECT_FALSE(parse({"--controller=a:1", "--nginx-metrics=yes"}).has_value());
}

TEST(FlagsTest, MetricsOfGrpcMethods) {
  EXPECT_EQ(parse({"--controller=a:1"})->grpc_method_metrics, 0u);
  EXPECT_EQ(parse({"--controller=a:1", "--grpc-method-metrics=0"})->grpc_method_metrics, 0u);
  EXPECT_EQ(parse({"--controller=a:1", "--grpc-method-metrics", "10000"})->grpc_method_metrics,
            10'000u);
}

TEST(FlagsTest, EveryOption) {
  const auto options = parse({"--controller=controller:18000",
                              "--controller-ca=ca.pem",
                              "--controller-cert=c.pem",
                              "--controller-key=k.pem",
                              "--controller-name=ringway",
                              "--admin=0.0.0.0:9000",
                              "--workers=3",
                              "--pin-workers",
                              "--io=epoll",
                              "--state-dir=/var/lib/ringway",
                              "--node-id=pod-1",
                              "--class=internal",
                              "--access-log=/tmp/a.log",
                              "--access-log-format=combined",
                              "--transparent-source",
                              "--drain-timeout=240",
                              "--log-level=debug",
                              "--log-format=json",
                              "--no-supervisor",
                              "--core-dumps",
                              "--buffers-small=4096",
                              "--buffers-bulk=128",
                              "--connections-max=1000"});
  ASSERT_TRUE(options.has_value()) << options.error();
  EXPECT_EQ(options->controller, "controller:18000");
  EXPECT_EQ(options->controller_ca, "ca.pem");
  EXPECT_EQ(options->controller_certificate, "c.pem");
  EXPECT_EQ(options->controller_key, "k.pem");
  EXPECT_EQ(options->controller_name, "ringway");
  EXPECT_EQ(options->admin, "0.0.0.0:9000");
  EXPECT_EQ(options->workers, 3u);
  EXPECT_TRUE(options->pin_workers);
  EXPECT_EQ(options->io, io::BackendChoice::kEpoll);
  EXPECT_EQ(options->state_dir, "/var/lib/ringway");
  EXPECT_EQ(options->node_id, "pod-1");
  EXPECT_EQ(options->config_class, "internal");
  EXPECT_EQ(options->access_log, "/tmp/a.log");
  EXPECT_EQ(options->access_log_format, observe::AccessLogFormat::kCombined);
  EXPECT_TRUE(options->transparent_source);
  EXPECT_EQ(options->drain_timeout_seconds, 240u);
  EXPECT_EQ(options->log_level, LogLevel::kDebug);
  EXPECT_EQ(options->log_format, LogFormat::kJson);
  EXPECT_FALSE(options->supervisor);
  EXPECT_TRUE(options->core_dumps);
  EXPECT_EQ(options->buffers_small, 4096u);
  EXPECT_EQ(options->buffers_bulk, 128u);
  EXPECT_EQ(options->connections_max, 1000u);
}

TEST(FlagsTest, RefusalsNameTheOptionInOneLine) {
  struct Case {
    std::vector<std::string> arguments;
    const char* part;
  };
  const Case cases[] = {
      {{"--controler=unix:/x"}, "unknown option --controler=unix:/x"},
      {{"--controller"}, "option --controller needs a value"},
      {{"--controller=unix:/x", "--pin-workers=yes"}, "--pin-workers"},
      {{"--controller=unix:/x", "-x"}, "-x"},
      {{"--controller=unix:/x", "extra"}, "unexpected argument extra"},
      {{"--controller=/run/x.sock"},
       "--controller: \"/run/x.sock\": unix:/PATH or HOST:PORT is wanted"},
      {{"--controller=host:0"}, "HOST:PORT"},
      {{"--controller=host:70000"}, "HOST:PORT"},
      {{"--controller=unix:/x", "--workers=0"},
       "--workers: \"0\": auto or a number from 1 to 253 is wanted"},
      {{"--controller=unix:/x", "--workers=two"}, "--workers"},
      {{"--controller=unix:/x", "--io=kqueue"},
       "--io: \"kqueue\": one of auto, uring, epoll is wanted"},
      {{"--controller=unix:/x", "--admin=localhost"}, "--admin"},
      {{"--controller=unix:/x", "--transparent-source=yes"}, "--transparent-source"},
      {{"--controller=unix:/x", "--drain-timeout=-1"}, "--drain-timeout"},
      {{"--controller=unix:/x", "--drain-timeout=5s"}, "--drain-timeout"},
      {{"--controller=unix:/x", "--log-level=loud"}, "--log-level"},
      {{"--controller=unix:/x", "--log-format=xml"}, "--log-format"},
      {{"--controller=unix:/x", "--access-log="}, "--access-log"},
      {{"--controller=unix:/x", "--access-log-format=csv"}, "--access-log-format"},
      {{"--controller=unix:/x", "--grpc-method-metrics=10001"},
       "--grpc-method-metrics: \"10001\": a number from 0 to 10000 is wanted"},
      {{"--controller=unix:/x", "--grpc-method-metrics=on"}, "--grpc-method-metrics"},
      {{"--controller=unix:/x", "--buffers-small=1000"}, "a power of two"},
      {{"--controller=unix:/x", "--buffers-bulk=65536"}, "a power of two"},
      {{"--controller=unix:/x", "--connections-max=1"}, "--connections-max"},
      {{"--controller=h:1", "--controller-ca=ca", "--controller-cert=c"}, "go together"},
      {{"--controller=h:1", "--controller-cert=c", "--controller-key=k"}, "needs --controller-ca"},
      {{"--controller=unix:/x", "--controller-ca=ca"}, "not for a Unix socket"},
      {{}, "--controller or --state-dir is needed"},
  };
  for (const Case& c : cases) {
    const auto options = parse(c.arguments);
    ASSERT_FALSE(options.has_value()) << c.part;
    EXPECT_NE(options.error().find(c.part), std::string::npos)
        << options.error() << " / " << c.part;
    EXPECT_EQ(options.error().find('\n'), std::string::npos);
  }
}

TEST(FlagsTest, HelpNamesEveryOptionAndNeedsNothingElse) {
  EXPECT_TRUE(parse({"--help"})->help);
  EXPECT_TRUE(parse({"--version"})->version);
  const std::string text = usage();
  for (const char* name : {"--controller ",     "--controller-ca",     "--controller-cert",
                           "--controller-key",  "--controller-name",   "--admin",
                           "--workers",         "--pin-workers",       "--io",
                           "--state-dir",       "--node-id",           "--class",
                           "--access-log ",     "--access-log-format", "--drain-timeout",
                           "--log-level",       "--log-format",        "--no-supervisor",
                           "--core-dumps",      "--buffers-small",     "--buffers-bulk",
                           "--connections-max", "--transparent-source"}) {
    EXPECT_NE(text.find(name), std::string::npos) << name;
  }
  EXPECT_EQ(version_line(), "ringway-proxy " RINGWAY_VERSION);
}

}  // namespace
}  // namespace ringway::process
