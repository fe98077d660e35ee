#include "controlplane/snapshot/transaction_writer.h"

#include <utility>

#include "base/check.h"

namespace ringway::snapshot {
namespace {

constexpr size_t kFieldBytes = 12;  // Tag and length of one repeated element, at most.
constexpr size_t kHeadBytes = 128;  // Version, nonce, flags and the message around them.

void set_name(v1::ResourceName& name, const Key& key) {
  name.set_type(key.type);
  name.set_name(key.name);
}

}  // namespace

TransactionWriter::TransactionWriter(Difference difference, std::string nonce,
                                     size_t message_bytes_max)
    : difference_(std::move(difference)),
      nonce_(std::move(nonce)),
      message_bytes_max_(message_bytes_max) {}

// Appends elements until the message is full; false when it is. `append_one` returns the bytes of
// an element, and writes it if told.
template <typename List, typename Append>
bool TransactionWriter::append(const List& list, size_t& at, size_t& bytes, Append&& append_one) {
  for (; at < list.size(); ++at) {
    const size_t more = append_one(list[at], false) + kFieldBytes;
    if (bytes > kHeadBytes && bytes + more > message_bytes_max_) return false;
    append_one(list[at], true);
    bytes += more;
  }
  return true;
}

void TransactionWriter::next(v1::Transaction& message) {
  CHECK(!done_);
  message.Clear();
  message.set_version(difference_.version);
  message.set_nonce(nonce_);
  message.set_full(difference_.full);
  size_t bytes = kHeadBytes;
  done_ = append(difference_.unchanged, unchanged_, bytes,
                 [&](const Key& key, bool write) {
                   if (write) set_name(*message.add_unchanged_held(), key);
                   return key.name.size() + kFieldBytes;
                 }) &&
          append(difference_.upserts, upserts_, bytes,
                 [&](const ResourcePtr& resource, bool write) {
                   if (write) *message.add_upserts() = *resource;
                   return write ? size_t{0} : resource->ByteSizeLong();
                 }) &&
          append(difference_.removals, removals_, bytes, [&](const Key& key, bool write) {
            if (write) set_name(*message.add_removals(), key);
            return key.name.size() + kFieldBytes;
          });
  message.set_last(done_);
}

}  // namespace ringway::snapshot
