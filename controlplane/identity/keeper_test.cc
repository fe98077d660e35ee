// Replicas around one store that refuses stale writes, as an API server does.
#include "controlplane/identity/keeper.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "base/file_stamp.h"
#include "base/random.h"
#include "controlplane/identity/names.h"

namespace ringway::identity {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kStart = 1'800'000'000;
constexpr int64_t kHour = 3600, kDay = 24 * kHour;

class FakeStore final : public SecretStore {
 public:
  std::expected<std::optional<StoredSecret>, std::string> get(const std::string& name) override {
    if (down) return std::unexpected("connection refused");
    const auto at = secrets.find(name);
    std::optional<StoredSecret> found;
    if (at != secrets.end()) found = at->second;
    if (after_get) std::exchange(after_get, nullptr)();  // Another replica comes in between.
    return found;
  }
  std::expected<bool, std::string> put(const std::string& name, const std::string&,
                                       const SecretData& data,
                                       const std::string& version) override {
    if (down) return std::unexpected("connection refused");
    const auto at = secrets.find(name);
    if ((at == secrets.end() ? "" : at->second.version) != version) {
      ++conflicts;
      return false;
    }
    secrets[name] = {data, std::to_string(++next_version)};
    return true;
  }
  std::map<std::string, StoredSecret> secrets;
  std::function<void()> after_get;
  bool down = false;
  int conflicts = 0;
  int next_version = 0;
};

std::string read(const std::string& path) { return read_file(path, 1 << 20).value_or("?"); }

class KeeperTest : public ::testing::Test {
 protected:
  std::string proxy_entry(const std::string& name) {
    return store_.secrets["ringway-proxy-tls"].data[name];
  }
  void expect_linked(const Keeper& keeper) {
    EXPECT_TRUE(signed_by_one_of(read(keeper.certificate_path()), proxy_entry("ca.crt")));
    EXPECT_TRUE(signed_by_one_of(proxy_entry("tls.crt"), read(keeper.ca_path())));
    EXPECT_TRUE(belong_together({read(keeper.certificate_path()), read(keeper.key_path())}));
  }
  FakeStore store_;
  KeeperOptions options_{.names = {"ctl.ns.svc"}};
};

TEST_F(KeeperTest, MakesEverythingOnceAndThenWritesNothing) {
  Keeper keeper(store_, options_);
  EXPECT_FALSE(keeper.ready());
  ASSERT_TRUE(keeper.step(kStart).has_value());
  EXPECT_TRUE(keeper.ready());
  expect_linked(keeper);
  EXPECT_EQ(keeper.writes(), 2u);
  for (int64_t minute = 10; minute <= 600; minute += 10)
    ASSERT_TRUE(keeper.step(kStart + minute * 60).has_value());
  EXPECT_EQ(keeper.writes(), 2u);
  EXPECT_TRUE(store_.secrets["ringway-ca"].data.contains("tls.key"));
  EXPECT_FALSE(store_.secrets["ringway-proxy-tls"].data.contains("next.key"));
}

TEST_F(KeeperTest, ReplicasAgreeWhoeverIsFirst) {
  Keeper a(store_, options_), b(store_, options_);
  // B comes between A's read and A's write, twice: for the authority and for the proxies' Secret.
  store_.after_get = [&] { ASSERT_TRUE(b.step(kStart).has_value()); };
  ASSERT_TRUE(a.step(kStart).has_value());
  EXPECT_EQ(store_.conflicts, 1);
  EXPECT_EQ(a.writes(), 0u);
  EXPECT_EQ(b.writes(), 2u);
  expect_linked(a);
  expect_linked(b);
  EXPECT_EQ(read(a.ca_path()), read(b.ca_path()));
}

TEST_F(KeeperTest, TwoReplicasThatComeAndGo) {
  Random random(3);
  options_.lifetimes = {.leaf_s = kDay, .authority_s = 4 * kDay, .spread_s = 4 * kHour};
  std::optional<Keeper> replicas[2];
  for (int64_t now = kStart; now < kStart + 9 * kDay; now += 2 * kHour) {
    for (auto& replica : replicas) {
      if (!replica || random.chance(3)) replica.emplace(store_, options_);
      ASSERT_TRUE(replica->step(now).has_value());
    }
    for (auto& replica : replicas) expect_linked(*replica);
    ASSERT_GT(validity_of(proxy_entry("tls.crt"))->not_after_s, now + 5 * kHour);
  }
}

TEST_F(KeeperTest, WithoutTheApiServerTheOwnCertificateIsStillRenewed) {
  Keeper keeper(store_, options_);
  store_.down = true;
  EXPECT_THAT(keeper.step(kStart).error(), HasSubstr("connection refused"));
  EXPECT_FALSE(keeper.ready());
  store_.down = false;
  ASSERT_TRUE(keeper.step(kStart).has_value());
  store_.down = true;
  EXPECT_FALSE(keeper.step(kStart + 3 * kDay).has_value());
  EXPECT_GT(validity_of(read(keeper.certificate_path()))->not_after_s, kStart + 3 * kDay);
}

TEST_F(KeeperTest, ABrokenAuthorityIsNotThrownAway) {
  store_.secrets["ringway-ca"] = {{{"tls.crt", "x"}, {"tls.key", "y"}}, "7"};
  Keeper keeper(store_, options_);
  EXPECT_THAT(keeper.step(kStart).error(), HasSubstr("Secret ringway-ca"));
  EXPECT_EQ(store_.secrets["ringway-ca"].version, "7");
}

TEST_F(KeeperTest, EmptySecretsAreFilledAndDeletedOnesComeBack) {
  store_.secrets["ringway-ca"] = {{}, "7"};
  store_.secrets["ringway-proxy-tls"] = {{{"tls.crt", ""}, {"tls.key", ""}}, "8"};
  Keeper keeper(store_, options_);
  ASSERT_TRUE(keeper.step(kStart).has_value());
  expect_linked(keeper);
  store_.secrets.erase("ringway-proxy-tls");
  ASSERT_TRUE(keeper.step(kStart + 60).has_value());
  expect_linked(keeper);
}

TEST_F(KeeperTest, TheWebhooksCertificateIsMadeWhereItIsAskedFor) {
  options_.proxies = false;
  options_.webhook_names = {"admission.ns.svc"};
  Keeper keeper(store_, options_);
  ASSERT_TRUE(keeper.step(kStart).has_value());
  const std::string leaf = read(keeper.webhook_certificate_path());
  EXPECT_TRUE(names_are(leaf, {.names = {"admission.ns.svc"}}));
  EXPECT_TRUE(belong_together({leaf, read(keeper.webhook_key_path())}));
  EXPECT_TRUE(signed_by_one_of(leaf, keeper.bundle()));
  EXPECT_FALSE(store_.secrets.contains("ringway-proxy-tls")) << "nobody needs it";
  ASSERT_TRUE(keeper.step(kStart + 16 * kHour).has_value());
  EXPECT_NE(read(keeper.webhook_certificate_path()), leaf);
}

TEST_F(KeeperTest, ADeletedAuthorityIsMadeAnewWithAllThatHangsOnIt) {
  Keeper keeper(store_, options_);
  ASSERT_TRUE(keeper.step(kStart).has_value());
  const std::string before = read(keeper.ca_path());
  store_.secrets.erase("ringway-ca");
  ASSERT_TRUE(keeper.step(kStart + 60).has_value());
  EXPECT_NE(read(keeper.ca_path()), before);
  expect_linked(keeper);
}

}  // namespace
}  // namespace ringway::identity
