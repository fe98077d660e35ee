// Turns the messages of one transaction into one difference to the set that is held, or into the
// reason why it cannot be.
//
// A malformed transaction (two versions under one nonce, a size above the limit) is a fault of the
// stream: it ends. A resource that is malformed (no body, no name, twice) is a reason to refuse the
// transaction: Nack.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "dataplane/config/discovery/resource_set.h"
#include "dataplane/config/discovery/transaction_sink.h"

namespace ringway::config {

// A transaction that is ready for the sink, and what the set takes when the sink accepts it.
struct AssembledTransaction {
  Transaction transaction;
  std::string nonce;
  std::vector<std::pair<ResourceKey, ResourceSet::Entry>> entries;  // Of transaction.upserts.
  std::vector<ResourceKey> removals;  // transaction.removals and keyless certificates.

  // REQUIRES: `set` is the one it was assembled against. Call after the sink accepted.
  void commit_to(ResourceSet& set) &&;
};

struct RefusedTransaction {
  std::string version;
  std::string nonce;
  Rejection rejection;
};

class TransactionAssembly {
 public:
  TransactionAssembly(uint32_t bytes_max, uint32_t resources_max)
      : bytes_max_(bytes_max), resources_max_(resources_max) {}

  enum class Progress : uint8_t { kMore, kComplete, kBroken };
  // Takes one message of `wire_bytes`. kBroken: fault() says why; the stream must end.
  Progress add(v1::Transaction&& message, size_t wire_bytes);
  std::string_view fault() const { return fault_; }
  bool open() const { return open_; }  // Messages came and the last has not.

  // After kComplete: the difference to `set`. The assembly is empty again.
  std::expected<AssembledTransaction, RefusedTransaction> finish(const ResourceSet& set);
  void clear();

 private:
  const uint32_t bytes_max_;
  const uint32_t resources_max_;
  bool open_ = false;
  bool full_ = false;
  size_t bytes_ = 0;
  size_t resources_ = 0;
  std::string version_;
  std::string nonce_;
  std::vector<v1::Resource> upserts_;
  std::vector<ResourceKey> removals_;
  std::vector<ResourceKey> unchanged_;
  std::string_view fault_;
};

}  // namespace ringway::config
