#include "dataplane/upstream/endpoint_registry.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <thread>
#include <vector>

namespace ringway::upstream {
namespace {

TEST(EndpointRegistry, OneStatePerAddressPortAndProtocol) {
  EndpointRegistry registry;
  const auto a = *registry.find_or_make("10.0.0.1", 80, Protocol::kHttp1);
  EXPECT_EQ(*registry.find_or_make("10.0.0.1", 80, Protocol::kHttp1), a);
  EXPECT_EQ(*registry.find_or_make("::ffff", 80, Protocol::kHttp1),
            *registry.find_or_make("0:0:0:0:0:0:0:ffff", 80, Protocol::kHttp1));
  EXPECT_NE(*registry.find_or_make("10.0.0.1", 81, Protocol::kHttp1), a);
  const auto tcp = *registry.find_or_make("10.0.0.1", 80, Protocol::kTcp);
  EXPECT_NE(tcp, a);
  EXPECT_EQ(registry.find_or_make(*a, Protocol::kTcp), tcp);
  EXPECT_EQ(a->text, "10.0.0.1:80");
  EXPECT_EQ(registry.live(), 2u);
}

TEST(EndpointRegistry, ReadsAddressesAndRefusesOthers) {
  EndpointRegistry registry;
  const struct {
    std::string_view address;
    uint32_t port;
    std::string_view text;
  } good[] = {{"10.0.0.1", 8080, "10.0.0.1:8080"},
              {"fd00::1", 1, "[fd00::1]:1"},
              {"unix:/run/app.sock", 0, "unix:/run/app.sock"},
              {"unix:@abstract", 0, "unix:@abstract"}};
  for (const auto& c : good) {
    const auto state = registry.find_or_make(c.address, c.port, Protocol::kHttp1);
    ASSERT_TRUE(state.has_value()) << c.address << ": " << state.error();
    EXPECT_EQ((*state)->text, c.text);
    EXPECT_NE((*state)->address.length, 0u);
  }
  const struct {
    std::string_view address;
    uint32_t port;
  } bad[] = {{"", 80},
             {"web.default.svc", 80},
             {"10.0.0", 80},
             {"10.0.0.1:80", 80},
             {"10.0.0.1", 0},
             {"10.0.0.1", 65536},
             {"unix:relative", 0},
             {"unix:@", 0},
             {std::string_view("10.0.0.1\0x", 10), 80}};
  for (const auto& c : bad)
    EXPECT_FALSE(registry.find_or_make(c.address, c.port, Protocol::kHttp1).has_value())
        << c.address;
  EXPECT_FALSE(
      registry.find_or_make("unix:/" + std::string(120, 'x'), 0, Protocol::kHttp1).has_value());
}

TEST(EndpointRegistry, ASlotComesBackWhenTheLastHolderLetsGo) {
  EndpointRegistry registry;
  auto a = *registry.find_or_make("10.0.0.1", 80, Protocol::kHttp1);
  const auto b = *registry.find_or_make("10.0.0.2", 80, Protocol::kHttp1);
  const uint32_t slot = a->slot;
  const uint64_t uid = a->uid;
  auto held_by_a_snapshot = a;
  a.reset();
  EXPECT_NE((*registry.find_or_make("10.0.0.3", 80, Protocol::kHttp1))->slot, slot);
  held_by_a_snapshot.reset();
  EXPECT_EQ(registry.live(), 1u);
  std::set<uint32_t> slots{b->slot};
  std::vector<std::shared_ptr<EndpointState>> more;
  for (int i = 0; i < 2; ++i) {
    more.push_back(*registry.find_or_make("10.0.1." + std::to_string(i), 80, Protocol::kHttp1));
    EXPECT_TRUE(slots.insert(more.back()->slot).second);
    EXPECT_GT(more.back()->uid, uid);
  }
  EXPECT_TRUE(slots.contains(slot));
  EXPECT_LE(registry.slots(), 3u);
}

TEST(EndpointRegistry, StatesMayOutliveIt) {
  std::shared_ptr<EndpointState> state;
  {
    EndpointRegistry registry;
    state = *registry.find_or_make("10.0.0.1", 80, Protocol::kHttp1);
  }
  EXPECT_EQ(state->text, "10.0.0.1:80");
}

TEST(EndpointRegistry, ReleasesOnAnyThread) {
  EndpointRegistry registry;
  for (int round = 0; round < 200; ++round) {
    auto state = *registry.find_or_make("10.0.0.1", 80, Protocol::kHttp1);
    std::thread other([held = std::move(state)]() mutable { held.reset(); });
    const auto again = *registry.find_or_make("10.0.0.1", 80, Protocol::kHttp1);
    EXPECT_EQ(again->text, "10.0.0.1:80");
    other.join();
    EXPECT_EQ(registry.live(), 1u);
  }
  EXPECT_LE(registry.slots(), 2u);
}

}  // namespace
}  // namespace ringway::upstream
