// The life of an authority, with the clock as an argument.
#include "controlplane/identity/authority.h"

#include <gtest/gtest.h>

#include <set>

namespace ringway::identity {
namespace {

constexpr int64_t kStart = 1'800'000'000;
constexpr int64_t kHour = 3600, kDay = 24 * kHour;
constexpr Lifetimes kTimes{.leaf_s = kDay, .authority_s = 365 * kDay, .spread_s = kHour};
const Subject kProxy{.common_name = "p", .uris = {"spiffe://ringway/proxy"}, .client = true};

TEST(AuthorityTest, IsKeptInASecretAsItIs) {
  Authority authority = advance(std::nullopt, kTimes, kStart).value();
  EXPECT_EQ(read_authority(write_authority(authority)).value(), authority);
  authority.next = make_authority("next", {kStart, kStart + kDay});
  authority.previous = make_authority("previous", {kStart, kStart + kDay}).certificate;
  EXPECT_EQ(read_authority(write_authority(authority)).value(), authority);
  EXPECT_EQ(split(authority.bundle()).size(), 3u);
  for (const char* broken : {"tls.crt", "tls.key", "next.crt", "next.key"}) {
    SecretData data = write_authority(authority);
    data[broken] = "junk";
    EXPECT_FALSE(read_authority(data).has_value()) << broken;
    data.erase(broken);
    EXPECT_FALSE(read_authority(data).has_value()) << broken;
  }
}

TEST(AuthorityTest, NothingIsDoneWhileItIsYoung) {
  const Authority authority = advance(std::nullopt, kTimes, kStart).value();
  for (const int64_t day : {0, 1, 100, 242}) {
    EXPECT_EQ(advance(authority, kTimes, kStart + day * kDay), std::nullopt) << day;
  }
}

TEST(AuthorityTest, TheNextIsTrustedBeforeItSigns) {
  const Authority first = advance(std::nullopt, kTimes, kStart).value();
  const int64_t due = kStart + 244 * kDay;
  const Authority second = advance(first, kTimes, due).value();
  EXPECT_EQ(second.current, first.current);
  ASSERT_TRUE(second.next.has_value());
  EXPECT_EQ(advance(second, kTimes, due + kHour - 1), std::nullopt);
  const Authority third = advance(second, kTimes, due + kHour).value();
  EXPECT_EQ(third.current, *second.next);
  EXPECT_EQ(third.next, std::nullopt);
  EXPECT_EQ(third.previous, first.current.certificate);
  EXPECT_EQ(write_authority(third).contains("next.key"), false);
  const Authority fourth = advance(third, kTimes, kStart + 366 * kDay).value();
  EXPECT_EQ(fourth.previous, "") << "expired";
  EXPECT_EQ(fourth.current, third.current);
}

TEST(AuthorityTest, OneThatExpiredUnattendedIsReplacedAtOnce) {
  const Authority first = advance(std::nullopt, kTimes, kStart).value();
  const Authority after = advance(first, kTimes, kStart + 800 * kDay).value();
  EXPECT_NE(after.current, first.current);
  EXPECT_EQ(after.next, std::nullopt);
  EXPECT_EQ(after.previous, "");
}

TEST(AuthorityTest, ALeafIsDueAtTwoThirds) {
  const Authority authority = advance(std::nullopt, kTimes, kStart).value();
  KeyPair leaf{"", make_key()};
  leaf.certificate = issue(authority, leaf.key, kProxy, kTimes, kStart).value();
  EXPECT_FALSE(leaf_is_due(leaf, authority, kProxy, kStart));
  EXPECT_FALSE(leaf_is_due(leaf, authority, kProxy, kStart + 15 * kHour));
  EXPECT_TRUE(leaf_is_due(leaf, authority, kProxy, kStart + 16 * kHour));
  EXPECT_TRUE(leaf_is_due({}, authority, kProxy, kStart));
  EXPECT_TRUE(leaf_is_due({leaf.certificate, make_key()}, authority, kProxy, kStart));
  EXPECT_TRUE(leaf_is_due(leaf, authority, {.common_name = "p"}, kStart)) << "other names";
  const Authority other = advance(std::nullopt, kTimes, kStart).value();
  EXPECT_TRUE(leaf_is_due(leaf, other, kProxy, kStart)) << "nobody trusts it";
}

TEST(AuthorityTest, ALeafNeverOutlivesItsAuthority) {
  const Authority authority = advance(std::nullopt, kTimes, kStart).value();
  const std::string leaf =
      issue(authority, make_key(), kProxy, {.leaf_s = 1000 * kDay}, kStart).value();
  EXPECT_EQ(validity_of(leaf)->not_after_s, kStart + 365 * kDay);
}

// Looked at every hour by a controller; a proxy that has what the Secret held at the look
// before must always be able to talk to it, both ways. Shorter lives, so that there are many.
TEST(AuthorityTest, OldAndNewAlwaysTrustEachOther) {
  std::optional<Authority> held;
  KeyPair controller{"", make_key()}, proxy{"", make_key()};
  struct Mounted {
    KeyPair leaf;
    std::string bundle;
  };
  std::optional<Mounted> before, mounted;
  std::set<std::string> authorities;
  constexpr int64_t kStep = kHour;
  constexpr Lifetimes kShort{.leaf_s = 9 * kHour, .authority_s = 3 * kDay, .spread_s = 2 * kHour};
  for (int64_t now = kStart; now < kStart + 10 * kDay; now += kStep) {
    if (auto next = advance(held, kShort, now)) held = *std::move(next);
    if (leaf_is_due(controller, *held, kProxy, now))
      controller.certificate = issue(*held, controller.key, kProxy, kShort, now).value();
    if (leaf_is_due(proxy, *held, kProxy, now))
      proxy.certificate = issue(*held, proxy.key, kProxy, kShort, now).value();
    authorities.insert(held->current.certificate);
    // The proxy holds what was there a step ago.
    if (mounted) {
      ASSERT_TRUE(signed_by_one_of(controller.certificate, mounted->bundle)) << now - kStart;
      ASSERT_TRUE(signed_by_one_of(mounted->leaf.certificate, held->bundle())) << now - kStart;
      ASSERT_GT(validity_of(mounted->leaf.certificate)->not_after_s, now);
    }
    ASSERT_GT(validity_of(controller.certificate)->not_after_s, now);
    mounted = Mounted{proxy, held->bundle()};
  }
  EXPECT_GE(authorities.size(), 5u);
}

}  // namespace
}  // namespace ringway::identity
