// A discovery client on a real ring, driven step by step by a test.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "dataplane/config/discovery/discovery_client.h"

namespace ringway::config::testing {

// Accepts everything but what `refuse` names; remembers what it was given.
class RecordingSink final : public TransactionSink {
 public:
  std::expected<void, Rejection> apply(Transaction&& transaction) override;
  void on_accepted(const ResourceSet& set) override;

  std::function<std::string(const v1::Resource&)> refuse;  // A reason, or "".
  std::vector<Transaction> applied;
  std::map<ResourceKey, v1::Resource> state;  // By the transactions alone: must equal the set.
  size_t set_size = 0;
};

class ClientHarness {
 public:
  explicit ClientHarness(DiscoveryOptions options, ResourceSet held = {},
                         io::Backend backend = io::Backend::kEpoll);
  ~ClientHarness();  // Stops the client.

  // Drives the loop until `condition`, at most `timeout_ms`. True when it came.
  bool until(const std::function<bool()>& condition, uint64_t timeout_ms = 10'000);
  void turn_for(uint64_t ms) {
    until([] { return false; }, ms);
  }
  void stop();

  RecordingSink sink;
  std::unique_ptr<io::Ring> ring;
  io::TimerWheel wheel;
  Random random{1};
  DiscoveryClient client;
};

// Short times, so that tests of faults are quick.
DiscoveryOptions quick_options(const std::string& address);

}  // namespace ringway::config::testing
