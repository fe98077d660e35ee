// Cuts a difference into messages of a bounded size, one at a time, so that a slow proxy costs one
// message of memory and not a copy of the configuration.
#pragma once

#include <cstdint>
#include <string>

#include "controlplane/snapshot/store.h"

namespace ringway::snapshot {

constexpr size_t kMessageBytesMax = 1 << 20;  // A single larger resource goes alone.

class TransactionWriter {
 public:
  TransactionWriter(Difference difference, std::string nonce,
                    size_t message_bytes_max = kMessageBytesMax);

  // Fills the next message. REQUIRES: !done().
  void next(v1::Transaction& message);
  bool done() const { return done_; }
  const Difference& difference() const { return difference_; }
  const std::string& nonce() const { return nonce_; }

 private:
  template <typename List, typename Append>
  bool append(const List& list, size_t& at, size_t& bytes, Append&& append_one);

  const Difference difference_;
  const std::string nonce_;
  const size_t message_bytes_max_;
  size_t upserts_ = 0;  // Written so far.
  size_t removals_ = 0;
  size_t unchanged_ = 0;
  bool done_ = false;
};

}  // namespace ringway::snapshot
