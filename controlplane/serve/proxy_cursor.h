// What one proxy has, is being sent, and has refused: the decisions of a stream without gRPC.
//
// Not synchronised: the stream's lock.
// Invariants: (1) at most one transaction is unanswered; (2) a refused transaction is not sent
// again unchanged: the resource at fault is withheld in that version, or, when none was named,
// nothing is sent until the configuration is another; (3) after the answer to the last transaction
// the proxy holds the store's state, less what is withheld.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "controlplane/serve/proxy_status.h"
#include "controlplane/snapshot/store.h"
#include "controlplane/snapshot/transaction_writer.h"

namespace ringway::serve {

std::string_view type_name(v1::ResourceType type);  // "route_table"

class ProxyCursor {
 public:
  explicit ProxyCursor(const snapshot::Store& store) : store_(store) {}

  void on_hello(const v1::Hello& hello);
  void on_subscribe(const v1::Subscribe& subscribe);
  // False: the answer is to nothing that was sent; the stream is broken.
  bool on_ack(const v1::Ack& ack);
  bool on_nack(const v1::Nack& nack);

  // Starts the next transaction when one is due: after Hello, when nothing is unanswered and
  // something changed.
  bool begin();
  // The rest of the transaction in flight. REQUIRES: writing().
  void next_message(v1::Transaction& message);
  bool writing() const { return writer_ != nullptr && !writer_->done(); }
  bool awaiting_answer() const { return writer_ != nullptr && writer_->done(); }

  // Removals up to this sequence are not needed any more; nullopt before the first transaction.
  std::optional<uint64_t> floor() const {
    return greeted_ && begun_ ? std::optional(cursor_) : std::nullopt;
  }
  void report(ProxyStatus& status) const;

 private:
  snapshot::Difference difference() const;
  bool wanted(const snapshot::Key& key) const;
  void withhold(snapshot::Difference& difference) const;
  bool answers(const std::string& nonce) const;

  const snapshot::Store& store_;
  bool greeted_ = false;
  bool begun_ = false;        // The first transaction is sent: cursor_ counts.
  bool synced_once_ = false;  // It is accepted: what follows are differences.
  bool wildcard_ = true;
  std::map<snapshot::Key, uint64_t> held_;  // From Hello, until the first transaction is accepted.
  std::set<snapshot::Key> subscribed_;
  std::set<snapshot::Key>
      unanswered_names_;  // On-demand names to be answered or taken back by the next transaction.
  std::set<snapshot::Key> names_in_flight_;
  std::map<snapshot::Key, uint64_t> withheld_;  // Refused, by version.
  uint64_t cursor_ = 0;
  std::string refused_version_;  // Refused without a resource: wait for another.
  uint32_t refusals_in_a_row_ = 0;
  uint64_t nonce_ = 0;
  std::unique_ptr<snapshot::TransactionWriter> writer_;
  ProxyStatus status_;
};

}  // namespace ringway::serve
