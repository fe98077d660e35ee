// Relays under seeded schedules and faults. What must hold: what arrives at either end is a prefix,
// in order, of what the other sent; an end of stream behind an undisturbed relay means all of it;
// every gauge, buffer and socket comes back (the stage checks). The printed seed replays a failure.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>

#include "dataplane/worker/test_stage.h"
#include "tests/sim/seeds.h"

namespace ringway::worker {
namespace {

std::string bytes_of(Random& random, size_t size) {
  std::string out(size, '\0');
  for (char& c : out) c = static_cast<char>('a' + random.below(26));
  return out;
}

struct Talk {
  io::SimPeer* client = nullptr;
  std::string sent;  // By the client, whose first byte is its number.
  bool disturbed = false;
};

class RelayWorld {
 public:
  explicit RelayWorld(uint64_t seed) : random_(seed), stage_(options(seed)) {
    for (const auto& server : stage_.servers) {
      stage_.ring.serve(server->address, [this](io::SimPeer& peer) {
        // Says everything back; ends when the client has.
        peer.on_data = [this](io::SimPeer& at, std::string_view bytes) {
          check_prefix(at.id(), bytes);
          at.write(bytes);
        };
        peer.on_end = [](io::SimPeer& at) { at.half_close(); };
        if (random_.chance(30)) peer.set_window(1 + random_.below(5000));
      });
    }
  }

  void run() {
    for (int step = 0; step < 60; ++step) {
      if (talks_.size() < 12 && random_.chance(40)) open();
      if (!talks_.empty()) act(*talks_[random_.below(static_cast<uint32_t>(talks_.size()))]);
      if (random_.chance(10)) stage_.publish(random_.below(4));
      stage_.run(random_.below(5000) * 1000);
    }
    stage_.ring.faults() = {};
    for (const auto& talk : talks_) {
      talk->client->resume();
      talk->client->half_close();
    }
    stage_.run(2 * kSecond);
    check();
  }

 private:
  static StageOptions options(uint64_t seed) {
    StageOptions options;
    options.kind = config::ListenerKind::kTcp;
    options.servers = 3;
    options.seed = seed;
    options.stream.connect_timeout_ns = 50 * kMs;
    options.stream.send_proxy = seed % 4 == 0 ? net::ProxyVersion::kV2 : net::ProxyVersion::kNone;
    options.faults = {.short_send = 20,
                      .split_receive = 10,
                      .late = 10,
                      .reset_per_10000 = 5,
                      .connect_refused = 10,
                      .connect_lost = 5,
                      .accept_exhausted = 3,
                      .open_exhausted = 3,
                      .buffers_exhausted = 5};
    options.ring = {.sockets_max = 128,
                    .small = {512, 16, 16},
                    .bulk = {4096, 4, 4},
                    .output = {512, 64, 4096}};
    with_header_ = options.stream.send_proxy != net::ProxyVersion::kNone;
    return options;
  }

  void open() {
    auto talk = std::make_unique<Talk>();
    talk->client = &stage_.dial({}, 0x0A010001 + static_cast<uint32_t>(talks_.size()));
    talk->client->set_window(1 + random_.below(100'000));
    talks_.push_back(std::move(talk));
  }

  void act(Talk& talk) {
    io::SimPeer& client = *talk.client;
    if (client.closed() || !client.connected()) return;
    const uint32_t what = random_.below(100);
    if (what < 60) {
      const std::string bytes = bytes_of(random_, random_.below(what < 10 ? 200'000 : 3000));
      talk.sent += bytes;
      client.write(bytes);
    } else if (what < 75) {
      client.pause();
    } else if (what < 92) {
      client.resume();
    } else if (what < 95) {
      talk.disturbed = true;
      client.reset();
    } else {
      talk.disturbed = true;  // Closing on unread bytes resets.
      client.close();
    }
  }

  // At a server: what came is the next part of some client's bytes. Which one shows the first part.
  void check_prefix(uint64_t id, std::string_view bytes) { at_servers_[id] += bytes; }

  void check() {
    const auto& failures = stage_.stats().stream.failures;
    const uint64_t failed = std::accumulate(failures.begin(), failures.end(), uint64_t{0});
    for (const auto& talk : talks_) {
      const std::string& got = talk->client->received();
      const size_t header = with_header_ && got.size() >= 16 ? 28 : 0;  // Echoed with the rest.
      if (with_header_ && got.size() < 28) continue;
      EXPECT_TRUE(std::string_view(talk->sent).starts_with(std::string_view(got).substr(header)));
      const bool clean =
          failed == 0 && !talk->disturbed && talk->client->ended() && !talk->client->was_reset();
      EXPECT_TRUE(!clean || got.size() - header == talk->sent.size());
    }
    for (const auto& [id, got] : at_servers_) {
      if (with_header_ && got.size() < 28) continue;
      const std::string_view text = std::string_view(got).substr(with_header_ ? 28 : 0);
      EXPECT_TRUE(std::ranges::any_of(talks_, [&](const auto& talk) {
        return std::string_view(talk->sent).starts_with(text);
      }));
    }
  }

  static inline bool with_header_ = false;
  Random random_;
  Stage stage_;
  std::vector<std::unique_ptr<Talk>> talks_;
  std::map<uint64_t, std::string> at_servers_;
};

TEST(TcpRelaySim, DeliversAPrefixInOrderAndGivesEverythingBack) {
  const sim::Seeds range = sim::seeds(150);
  for (uint64_t seed = range.first; seed < range.end() && !HasFailure(); ++seed) {
    SCOPED_TRACE(seed);
    RelayWorld world(seed);
    world.run();
  }
}

}  // namespace
}  // namespace ringway::worker
