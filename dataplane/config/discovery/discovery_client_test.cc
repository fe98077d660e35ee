// The client against a real grpc++ server in another process.
#include "dataplane/config/discovery/discovery_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "base/clock.h"
#include "dataplane/config/discovery/testing/certificates.h"
#include "dataplane/config/discovery/testing/client_harness.h"
#include "dataplane/config/discovery/testing/test_server.h"

namespace ringway::config {
namespace {

using testing::ClientHarness;
using ::testing::HasSubstr;
using testing::quick_options;
using testing::TestCa;
using testing::TestServer;

class DiscoveryClientTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::access(TestServer::program().c_str(), X_OK) != 0)
      GTEST_SKIP() << "discovery_test_server is not built";
    char name[] = "/tmp/ringway-discovery-XXXXXX";
    folder_ = ::mkdtemp(name);
  }
  void TearDown() override {
    if (!folder_.empty()) std::filesystem::remove_all(folder_);
  }
  std::string socket() const { return "unix:" + folder_ + "/controller"; }
  static bool synced(TestServer& server) {
    return server.command("status").find("\"inSync\": true") != std::string::npos;
  }

  std::string folder_;
};

const ResourceKey kClusterA{v1::RESOURCE_TYPE_CLUSTER, "a"};

TEST_F(DiscoveryClientTest, TakesTheStateAndThenDifferences) {
  for (const io::Backend backend : {io::Backend::kEpoll, io::Backend::kUring}) {
    SCOPED_TRACE(io::backend_name(backend));
    if (backend == io::Backend::kUring && !io::choose_backend(io::BackendChoice::kUring)) continue;
    TestServer server({socket()});
    server.command("put cluster a one");
    server.command("put route_table set/host host");
    const std::string version = server.command("commit");
    ClientHarness proxy(quick_options(socket()), {}, backend);
    ASSERT_TRUE(proxy.until([&] { return proxy.sink.applied.size() == 1; }));
    EXPECT_TRUE(proxy.sink.applied[0].full);
    EXPECT_EQ(proxy.sink.applied[0].version, version);
    EXPECT_EQ(proxy.sink.state.size(), 2u);
    ASSERT_TRUE(proxy.until([&] { return synced(server); }));

    server.command("put cluster a two");
    server.command("del route_table set/host");
    server.command("commit");
    ASSERT_TRUE(proxy.until([&] { return proxy.sink.applied.size() == 2; }));
    EXPECT_FALSE(proxy.sink.applied[1].full);
    EXPECT_EQ(proxy.sink.applied[1].upserts.size(), 1u);
    EXPECT_EQ(proxy.sink.applied[1].removals.size(), 1u);
    EXPECT_EQ(proxy.sink.state.at(kClusterA).cluster().metadata().service(), "two");
    EXPECT_EQ(proxy.client.resources().size(), 1u);
    proxy.stop();
    server.kill();
    std::filesystem::remove(folder_ + "/controller");
  }
}

TEST_F(DiscoveryClientTest, AnEmptyConfigurationIsAFullTransactionToo) {
  TestServer server({socket()});
  server.command("commit");
  ClientHarness proxy(quick_options(socket()));
  ASSERT_TRUE(proxy.until([&] { return proxy.sink.applied.size() == 1; }));
  EXPECT_TRUE(proxy.sink.applied[0].full);
}

TEST_F(DiscoveryClientTest, NothingIsSentBeforeTheControllerHasReadItsObjects) {
  TestServer server({socket()});
  ResourceSet held;
  v1::Resource cluster;
  cluster.set_name("a");
  cluster.set_version(7);
  cluster.mutable_cluster();
  held.upsert(cluster);
  ClientHarness proxy(quick_options(socket()), std::move(held));
  ASSERT_TRUE(proxy.until([&] { return proxy.client.status().connects == 1; }));
  proxy.turn_for(200);
  EXPECT_EQ(proxy.sink.applied.size(), 0u);
  EXPECT_EQ(proxy.client.resources().size(), 1u);
}

TEST_F(DiscoveryClientTest, ConnectsWhenTheServerComesLater) {
  ClientHarness proxy(quick_options(socket()));
  proxy.turn_for(100);
  EXPECT_GE(proxy.client.status().failures, 1u);
  TestServer server({socket()});
  server.command("put cluster a one");
  server.command("commit");
  EXPECT_TRUE(proxy.until([&] { return proxy.sink.applied.size() == 1; }));
}

TEST_F(DiscoveryClientTest, SentAwayItConnectsAgainAndKeepsWhatItHas) {
  TestServer server({socket()});
  server.command("put cluster a one");
  server.command("commit");
  ClientHarness proxy(quick_options(socket()));
  ASSERT_TRUE(proxy.until([&] { return synced(server); }));
  EXPECT_EQ(server.command("away"), "ok");
  ASSERT_TRUE(proxy.until([&] { return proxy.client.status().connects == 2; }));
  EXPECT_THAT(proxy.client.status().last_error, HasSubstr("go elsewhere"));
  EXPECT_EQ(proxy.client.resources().size(), 1u);
  server.command("put cluster a two");
  server.command("commit");
  ASSERT_TRUE(proxy.until(
      [&] { return proxy.sink.state.at(kClusterA).cluster().metadata().service() == "two"; }));
}

TEST_F(DiscoveryClientTest, AfterARestartOnlyTheDifferenceIsSent) {
  const auto fill = [](TestServer& server, int first) {
    for (int i = first; i < 500; ++i)
      server.command("put cluster shop/" + std::to_string(i) + " one");
    server.command("put certificate shop/tls one");
  };
  auto server = std::make_unique<TestServer>(std::vector<std::string>{socket()});
  fill(*server, 0);
  server->command("commit");
  ClientHarness proxy(quick_options(socket()));
  ASSERT_TRUE(proxy.until([&] { return proxy.sink.applied.size() == 1; }));
  const DiscoveryStatus first = proxy.client.status();
  EXPECT_EQ(first.resources_received, 501u);

  server->kill();
  server = std::make_unique<TestServer>(std::vector<std::string>{socket()});
  fill(*server, 1);  // shop/0 is gone.
  server->command("put cluster shop/7 two");
  server->command("commit");
  ASSERT_TRUE(proxy.until([&] { return proxy.sink.applied.size() == 2; }));
  const DiscoveryStatus second = proxy.client.status();
  EXPECT_EQ(second.resources_received - first.resources_received,
            1u);  // shop/7; shop/0 is not named any more.
  EXPECT_EQ(proxy.sink.applied[1].upserts.size(), 1u);
  EXPECT_EQ(proxy.sink.applied[1].removals,
            std::vector{(ResourceKey{v1::RESOURCE_TYPE_CLUSTER, "shop/0"})});
  EXPECT_LT(second.bytes_received - first.bytes_received, first.bytes_received);
  EXPECT_EQ(second.connects, 2u);
  EXPECT_NE(second.last_error, "");
}

TEST_F(DiscoveryClientTest, ARefusedResourceIsWithheldAndItsNeighboursGoOn) {
  TestServer server({socket()});
  server.command("put cluster good one");
  server.command("put cluster bad poison");
  server.command("commit");
  ClientHarness proxy(quick_options(socket()));
  proxy.sink.refuse = [](const v1::Resource& resource) {
    return resource.cluster().metadata().service() == "poison" ? std::string("does not \xff taste")
                                                               : std::string();
  };
  ASSERT_TRUE(proxy.until([&] { return proxy.sink.applied.size() == 1; }));
  EXPECT_EQ(proxy.client.status().rejected, 1u);
  EXPECT_EQ(proxy.sink.state.size(), 1u);
  proxy.turn_for(200);
  EXPECT_EQ(proxy.client.status().rejected, 1u)
      << "a refused transaction must not come again unchanged";
  const std::string status = server.command("status");
  EXPECT_THAT(status, HasSubstr("does not ? taste"));
  EXPECT_THAT(status, HasSubstr("cluster bad"));
  EXPECT_THAT(status, HasSubstr("\"withheld\": 1"));

  server.command("put cluster other one");
  server.command("commit");
  ASSERT_TRUE(proxy.until([&] { return proxy.sink.applied.size() == 2; }));
  EXPECT_EQ(proxy.client.status().rejected, 1u);
  server.command("put cluster bad healed");
  server.command("commit");
  ASSERT_TRUE(proxy.until([&] { return proxy.sink.applied.size() == 3; }));
  EXPECT_EQ(proxy.sink.state.size(), 3u);
  ASSERT_TRUE(proxy.until([&] { return synced(server); }));
}

TEST_F(DiscoveryClientTest, TakesAHundredThousandEndpointsInManyMessages) {
  TestServer server({"127.0.0.1:0"});
  server.command("bulk 1000 100");
  server.command("commit");
  ClientHarness proxy(quick_options("127.0.0.1:" + std::to_string(server.port())));
  ASSERT_TRUE(proxy.until([&] { return proxy.sink.applied.size() == 1; }, 60'000));
  EXPECT_EQ(proxy.client.resources().size(), 1000u);
  EXPECT_GT(proxy.client.status().bytes_received, 1u << 20);
  const uint64_t before = proxy.client.status().bytes_received;
  server.command("put endpoints bulk/500 99");
  server.command("commit");
  ASSERT_TRUE(proxy.until([&] { return proxy.sink.applied.size() == 2; }));
  EXPECT_LT(proxy.client.status().bytes_received - before, 10'000u);
}

TEST_F(DiscoveryClientTest, ATransactionAboveTheLimitIsRefusedByConnectionAndTheSetStays) {
  TestServer server({socket()});
  server.command("put cluster a one");
  server.command("commit");
  DiscoveryOptions options = quick_options(socket());
  options.limits.transaction_bytes_max = 100'000;
  ClientHarness proxy(options);
  ASSERT_TRUE(proxy.until([&] { return proxy.sink.applied.size() == 1; }));
  server.command("bulk 100 100");
  server.command("commit");
  ASSERT_TRUE(proxy.until([&] { return proxy.client.status().failures >= 1; }));
  EXPECT_THAT(proxy.client.status().last_error, HasSubstr("size limit"));
  EXPECT_EQ(proxy.client.resources().size(), 1u);
}

TEST_F(DiscoveryClientTest, AChangeArrivesWithinMilliseconds) {
  TestServer server({socket()});
  server.command("bulk 2000 10");
  server.command("commit");
  ClientHarness proxy(quick_options(socket()));
  ASSERT_TRUE(proxy.until([&] { return proxy.sink.applied.size() == 1; }));
  std::vector<uint64_t> took_us;
  for (size_t i = 0; i < 100; ++i) {
    server.command("put endpoints bulk/7 " + std::to_string(20 + i));
    const uint64_t start_ns = monotonic_ns();
    server.command("commit");
    ASSERT_TRUE(proxy.until([&] { return proxy.sink.applied.size() == 2 + i; }));
    took_us.push_back((monotonic_ns() - start_ns) / 1000);
  }
  std::ranges::sort(took_us);
  RecordProperty("median_us", std::to_string(took_us[50]));
  std::printf("from commit to applied: median %llu us, 99th percentile %llu us\n",
              static_cast<unsigned long long>(took_us[50]),
              static_cast<unsigned long long>(took_us[98]));
  EXPECT_LT(took_us[50], 20'000u);
}

TEST_F(DiscoveryClientTest, OnDemandNamesOnly) {
  TestServer server({socket()});
  for (const char* name : {"a", "b", "c"})
    server.command(std::string("put cluster ") + name + " one");
  server.command("commit");
  DiscoveryOptions options = quick_options(socket());
  options.wildcard = false;
  ClientHarness proxy(options);
  proxy.client.subscribe(v1::RESOURCE_TYPE_CLUSTER, {"a"});
  ASSERT_TRUE(proxy.until([&] { return proxy.client.resources().find(kClusterA) != nullptr; }));
  proxy.client.subscribe(v1::RESOURCE_TYPE_CLUSTER, {"b", "missing"});
  ASSERT_TRUE(proxy.until([&] { return proxy.client.resources().size() == 2; }));
  proxy.client.unsubscribe(v1::RESOURCE_TYPE_CLUSTER, {"a"});
  ASSERT_TRUE(proxy.until([&] { return proxy.client.resources().size() == 1; }));
  EXPECT_EQ(proxy.client.resources().find(kClusterA), nullptr);
  server.command("put cluster missing now");
  server.command("put cluster c two");
  server.command("commit");
  ASSERT_TRUE(proxy.until([&] { return proxy.client.resources().size() == 2; }));
}

TEST_F(DiscoveryClientTest, ResolvesNamesWithoutBlocking) {
  TestServer server({"127.0.0.1:0"});
  server.command("put cluster a one");
  server.command("commit");
  for (const io::Backend backend : {io::Backend::kEpoll, io::Backend::kUring}) {
    if (backend == io::Backend::kUring && !io::choose_backend(io::BackendChoice::kUring)) continue;
    ClientHarness proxy(quick_options("localhost:" + std::to_string(server.port())), {}, backend);
    ASSERT_TRUE(proxy.until([&] { return proxy.sink.applied.size() == 1; }));
  }
  ClientHarness lost(quick_options("no-such-host.invalid:1"));
  ASSERT_TRUE(lost.until([&] { return lost.client.status().failures == 1; }));
  EXPECT_THAT(lost.client.status().last_error,
              ::testing::AnyOf(HasSubstr("is not found"), HasSubstr("took too long")));
  ClientHarness leaves(quick_options("no-such-host.invalid:1"));  // Stopped while the lookup runs.
}

class DiscoveryTlsTest : public DiscoveryClientTest {
 protected:
  // What a client with `tls` makes of a server with `certificate`: its first transaction, or the
  // error of its first try.
  std::string outcome(const testing::CertificateFiles& certificate, const TestCa& client_ca,
                      const DiscoveryTls& tls) {
    TestServer server({"127.0.0.1:0", certificate.certificate, certificate.key, client_ca.file()});
    server.command("put certificate shop/tls one");
    server.command("commit");
    DiscoveryOptions options = quick_options("127.0.0.1:" + std::to_string(server.port()));
    options.tls = tls;
    EXPECT_TRUE(DiscoveryClient::check(options));
    ClientHarness proxy(options);
    proxy.until(
        [&] { return proxy.sink.applied.size() == 1 || proxy.client.status().failures > 0; });
    return proxy.sink.applied.size() == 1 ? "applied" : proxy.client.status().last_error;
  }
};

TEST_F(DiscoveryTlsTest, BothEndsAreChecked) {
  const TestCa ours(folder_, "ours"), theirs(folder_, "theirs");
  const auto server = ours.sign("127.0.0.1"), named = ours.sign("controller.test"),
             expired = ours.sign("127.0.0.1", -1);
  const auto client = ours.sign("proxy.test"), stranger = theirs.sign("proxy.test"),
             late = ours.sign("proxy.test", -1);
  const auto with = [](const TestCa& ca, const testing::CertificateFiles& own,
                       const char* name = "") {
    return DiscoveryTls{ca.file(), own.certificate, own.key, name};
  };
  EXPECT_EQ(outcome(server, ours, with(ours, client)), "applied");
  EXPECT_EQ(outcome(named, ours, with(ours, client, "controller.test")), "applied");
  EXPECT_THAT(outcome(named, ours, with(ours, client)), HasSubstr("TLS handshake"));
  EXPECT_THAT(outcome(named, ours, with(ours, client, "other.test")), HasSubstr("TLS handshake"));
  EXPECT_THAT(outcome(server, ours, with(theirs, client)), HasSubstr("TLS handshake"));
  EXPECT_THAT(outcome(expired, ours, with(ours, client)), HasSubstr("expired"));
  // TLS 1.3: the client's certificate is judged after its handshake is done, so it may learn by an
  // alert or a closed connection.
  EXPECT_NE(outcome(server, ours, with(ours, stranger)), "applied");
  EXPECT_NE(outcome(server, ours, with(ours, late)), "applied");
  EXPECT_NE(outcome(server, ours, DiscoveryTls{ours.file(), "", "", ""}), "applied");
}

TEST_F(DiscoveryTlsTest, FilesThatChangeMakeANewConnectionAndUnusableOnesDoNot) {
  const TestCa ours(folder_, "ours");
  const auto server_files = ours.sign("127.0.0.1");
  const auto first = ours.sign("first.test"), second = ours.sign("second.test");
  TestServer server({"127.0.0.1:0", server_files.certificate, server_files.key, ours.file()});
  server.command("put cluster a one");
  server.command("commit");
  // As a kubelet does it: the folder is a link, and swapped whole.
  namespace fs = std::filesystem;
  const auto mount = [&](const char* name, const testing::CertificateFiles& files,
                         const std::string& key) {
    const std::string folder = folder_ + "/" + name;
    fs::create_directory(folder);
    fs::copy_file(files.certificate, folder + "/tls.crt");
    fs::copy_file(key, folder + "/tls.key");
    fs::create_directory_symlink(folder, folder_ + "/next");
    fs::rename(folder_ + "/next", folder_ + "/mounted");
  };
  mount("a", first, first.key);
  DiscoveryOptions options = quick_options("127.0.0.1:" + std::to_string(server.port()));
  options.tls =
      DiscoveryTls{ours.file(), folder_ + "/mounted/tls.crt", folder_ + "/mounted/tls.key", ""};
  options.times.files_ms = 20;
  ClientHarness proxy(options);
  ASSERT_TRUE(proxy.until([&] { return proxy.sink.applied.size() == 1; }));
  proxy.turn_for(200);
  EXPECT_EQ(proxy.client.status().connects, 1u) << "nothing changed";
  mount("b", second, first.key);
  proxy.turn_for(200);
  EXPECT_EQ(proxy.client.status().connects, 1u) << "certificate and key do not match";
  mount("c", second, second.key);
  ASSERT_TRUE(proxy.until([&] { return proxy.client.status().connects == 2; }));
  EXPECT_EQ(proxy.client.status().failures, 0u);
  proxy.turn_for(200);
  EXPECT_EQ(proxy.client.status().connects, 2u);
  server.command("put cluster a two");
  server.command("commit");
  EXPECT_TRUE(proxy.until(
      [&] { return proxy.sink.applied.back().version != "" && proxy.sink.applied.size() >= 2; }));
}

TEST_F(DiscoveryTlsTest, PlainTextToATlsServerFailsAndRecoversNothing) {
  const TestCa ours(folder_, "ours");
  const auto server_files = ours.sign("127.0.0.1");
  TestServer server({"127.0.0.1:0", server_files.certificate, server_files.key, ours.file()});
  server.command("commit");
  ClientHarness proxy(quick_options("127.0.0.1:" + std::to_string(server.port())));
  EXPECT_TRUE(proxy.until([&] { return proxy.client.status().failures >= 2; }));
  EXPECT_EQ(proxy.sink.applied.size(), 0u);
}

TEST(DiscoveryOptionsTest, SaysWhatIsWrong) {
  struct Case {
    const char* address;
    bool tls;
    const char* error;  // "" = fine.
  };
  for (const Case& c :
       {Case{"unix:/run/x", false, ""}, Case{"127.0.0.1:18000", false, ""},
        Case{"[::1]:18000", false, ""}, Case{"controller.ringway.svc:18000", false, ""},
        Case{"unix:", false, "1 to 107"}, Case{"unix:/run/x", true, "Unix socket"},
        Case{"host", false, "want unix:"}, Case{":80", false, "want unix:"},
        Case{"host:0", false, "want unix:"}, Case{"host:70000", false, "want unix:"},
        Case{"host:8a", false, "want unix:"}, Case{"::1:80", false, "want unix:"},
        Case{"[host]:80", false, "want unix:"}, Case{"host:80", true, "CA file"}}) {
    SCOPED_TRACE(c.address);
    DiscoveryOptions options = quick_options(c.address);
    if (c.tls) options.tls.emplace();
    const auto checked = DiscoveryClient::check(options);
    EXPECT_EQ(checked.has_value(), std::string(c.error).empty());
    if (!checked) {
      EXPECT_THAT(checked.error(), HasSubstr(c.error));
    }
  }
}

}  // namespace
}  // namespace ringway::config
