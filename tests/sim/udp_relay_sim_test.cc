// Datagrams under seeded schedules and faults: clients that come and go, endpoints that answer, are
// silent or refuse, configurations that change, a table that is full. What must hold: an answer
// reaches the client that asked and no other, at most once for each question; sessions stay within
// their bound; what is counted adds up; everything comes back (the stage checks). The printed seed
// replays a failure.
#include <arpa/inet.h>
#include <gtest/gtest.h>

#include <set>

#include "dataplane/worker/test_stage.h"
#include "tests/sim/seeds.h"

namespace ringway::worker {
namespace {

using observe::DatagramDrop;

constexpr uint32_t kClients = 30;
constexpr uint32_t kServers = 3;
constexpr uint32_t kSessionsMax = 20;

io::SocketAddress address_of_client(uint32_t index) {
  io::SocketAddress out;
  out.v4.sin_family = AF_INET;
  out.v4.sin_addr.s_addr = htonl(0x0A010001 + index);
  out.v4.sin_port = htons(5000);
  out.length = sizeof out.v4;
  return out;
}

class DatagramWorld {
 public:
  explicit DatagramWorld(uint64_t seed) : random_(seed), stage_(options(seed)) {
    for (uint32_t i = 0; i < kClients; ++i) {
      stage_.ring.serve_datagrams(address_of_client(i),
                                  [this, i](const io::SocketAddress& from, std::string_view text) {
                                    EXPECT_EQ(from, stage_.address);
                                    on_answer(i, text);
                                  });
    }
    for (uint32_t i = 0; i < kServers; ++i) set_server(i, i == 1 ? 1 : 0);
  }

  uint64_t answers() const { return answers_; }

  void run() {
    for (int step = 0; step < 150; ++step) {
      ask(random_.below(kClients));
      if (random_.chance(5)) stage_.publish(random_.below(kServers + 1));
      if (random_.chance(5)) set_server(random_.below(kServers), random_.below(3));
      if (random_.chance(30)) stage_.run(random_.below(300) * kMs);
      EXPECT_LE(stream().sessions_active, kSessionsMax);
    }
    stage_.ring.faults() = {};
    stage_.run(2 * kSecond);
    check();
  }

 private:
  static StageOptions options(uint64_t seed) {
    StageOptions options;
    options.seed = seed;
    options.kind = config::ListenerKind::kUdp;
    options.servers = kServers;
    options.stream.connections_max = kSessionsMax;
    options.stream.idle_timeout_ns = kSecond;
    options.stream.udp_responses = seed % 3 == 0 ? 2 : 0;
    options.faults = {.late = 20,
                      .open_exhausted = 5,
                      .datagram_lost = 10,
                      .segments_refused = 20,
                      .buffers_exhausted = 5};
    options.ring = {.sockets_max = 128,
                    .small = {1024, 32, 32},
                    .bulk = {16384, 8, 8},
                    .output = {1024, 16, 256}};
    return options;
  }

  const observe::StreamStats& stream() const { return stage_.stats().stream; }

  void ask(uint32_t client) {
    std::string text = std::to_string(client) + "/" + std::to_string(next_question_++) + "/";
    text.append(random_.below(random_.chance(5) ? 18'000 : 900), 'x');
    stage_.ring.datagram_to_proxy(address_of_client(client), stage_.address, text);
    open_.insert(std::move(text));
  }

  void on_answer(uint32_t client, std::string_view text) {
    EXPECT_TRUE(text.starts_with(std::to_string(client) + "/")) << text.substr(0, 20);
    EXPECT_EQ(open_.erase(std::string(text)), 1u) << text.substr(0, 20);
    ++answers_;
  }

  // `mode`: 0 says back what comes, 1 is silent, 2 refuses.
  void set_server(uint32_t index, uint32_t mode) {
    const io::SocketAddress address = stage_.servers[index]->address;
    if (mode == 2) return stage_.ring.stop_serving_datagrams(address);
    stage_.ring.serve_datagrams(
        address, [this, address, mode](const io::SocketAddress& from, std::string_view text) {
          if (mode == 0) stage_.ring.datagram_to_proxy(address, from, text);
        });
  }

  void check() {
    EXPECT_EQ(stream().sessions_active, 0u);
    EXPECT_LE(stream().datagrams_sent, stream().datagrams_received);
    EXPECT_LE(answers_, stream().datagrams_sent);
    EXPECT_EQ(stream().datagram_drops[static_cast<size_t>(DatagramDrop::kSendFailed)], 0u);
    EXPECT_EQ(stream().datagram_drops[static_cast<size_t>(DatagramDrop::kSendFull)], 0u);
  }

  Random random_;
  uint64_t next_question_ = 0;
  uint64_t answers_ = 0;
  std::set<std::string> open_;  // Questions without an answer.
  Stage stage_;
};

TEST(UdpRelaySim, AnswersReachWhoAskedAndEverythingComesBack) {
  const sim::Seeds range = sim::seeds(200);
  uint64_t answers = 0;
  for (uint64_t seed = range.first; seed < range.end() && !HasFailure(); ++seed) {
    SCOPED_TRACE(seed);
    DatagramWorld world(seed);
    world.run();
    answers += world.answers();
  }
  // The faults are the exception: otherwise nothing was tested.
  EXPECT_TRUE(range.count < 100 || answers > range.count * 10) << answers;
}

}  // namespace
}  // namespace ringway::worker
