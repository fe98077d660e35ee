#include "dataplane/config/discovery/testing/client_harness.h"

#include <algorithm>

#include "base/check.h"
#include "base/clock.h"

namespace ringway::config::testing {
namespace {

io::RingOptions small_ring() {
  io::RingOptions options;
  options.entries = 64;
  options.sockets_max = 64;
  options.small = {4096, 64, 64};
  options.bulk = {65536, 2, 2};
  options.output = {4096, 16, 64};
  return options;
}

}  // namespace

std::expected<void, Rejection> RecordingSink::apply(Transaction&& transaction) {
  for (const v1::Resource& resource : transaction.upserts) {
    if (!refuse) break;
    if (std::string reason = refuse(resource); !reason.empty()) {
      return std::unexpected(
          Rejection{resource_type(resource), resource.name(), std::move(reason)});
    }
  }
  for (const v1::Resource& resource : transaction.upserts)
    state[{resource_type(resource), resource.name()}] = resource;
  for (const ResourceKey& key : transaction.removals) CHECK(state.erase(key) == 1);
  applied.push_back(std::move(transaction));
  return {};
}

void RecordingSink::on_accepted(const ResourceSet& set) {
  set_size = set.size();
  CHECK(set.size() == state.size());
}

ClientHarness::ClientHarness(DiscoveryOptions options, ResourceSet held, io::Backend backend)
    : ring(io::make_ring(backend, small_ring())),
      wheel(monotonic_ns()),
      client(*ring, wheel, random, std::move(options), std::move(held), sink) {
  for (const auto& [key, entry] : client.resources().entries())
    sink.state[key] = *client.resources().resource(key);
  ring->turn(0);
  client.start();
}

ClientHarness::~ClientHarness() { stop(); }

void ClientHarness::stop() {
  client.stop();
  CHECK(until([this] { return client.stopped(); }, 5000));
}

bool ClientHarness::until(const std::function<bool()>& condition, uint64_t timeout_ms) {
  const uint64_t end_ns = monotonic_ns() + timeout_ms * kNsPerMs;
  while (!condition()) {
    if (monotonic_ns() >= end_ns) return false;
    ring->turn(std::min({end_ns, wheel.next_deadline_ns(), monotonic_ns() + 20 * kNsPerMs}));
    wheel.advance(monotonic_ns());
  }
  return true;
}

DiscoveryOptions quick_options(const std::string& address) {
  DiscoveryOptions options;
  options.address = address;
  options.node_id = "test-node";
  options.times = {.connect_ms = 2000,
                   .transaction_ms = 2000,
                   .ping_ms = 2000,
                   .ping_timeout_ms = 500,
                   .backoff_min_ms = 20,
                   .backoff_max_ms = 100};
  return options;
}

}  // namespace ringway::config::testing
