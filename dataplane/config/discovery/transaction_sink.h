// What the control thread implements to be configured: one transaction at a time, whole or not at
// all.
#pragma once

#include <expected>
#include <string>
#include <vector>

#include "dataplane/config/discovery/resource_set.h"

namespace ringway::config {

// A difference to the ResourceSet that was accepted last, whatever form the controller sent it in:
// a full state is already turned into upserts and removals. Keys are unique over both lists;
// upserts have a body and a name; removals name resources that are held.
struct Transaction {
  std::string version;  // Of the configuration after this transaction.
  bool full =
      false;  // The sender described the whole state: after it the proxy may call itself ready.
  std::vector<v1::Resource> upserts;  // Sorted by type (order of ResourceType), then name.
  std::vector<ResourceKey> removals;
};

struct Rejection {
  v1::ResourceType type =
      v1::RESOURCE_TYPE_UNSPECIFIED;  // The resource at fault, when there is one.
  std::string name;
  std::string reason;  // One line for people; no secrets.
};

class TransactionSink {
 public:
  virtual ~TransactionSink() = default;
  // Applies all of it, or nothing. Control thread; called from Ring::turn(). Must not call the
  // client back.
  virtual std::expected<void, Rejection> apply(Transaction&& transaction) = 0;
  // After apply() succeeded and the set has taken the transaction: the moment to keep it
  // (StateStore::save).
  virtual void on_accepted(const ResourceSet&) {}
};

// The whole set as one full transaction, for a start from kept state (memory file or disk). Keyless
// certificates are left out: a sink treats a listener's reference to an unknown certificate as "not
// there yet".
Transaction whole_transaction(const ResourceSet& set);

}  // namespace ringway::config
