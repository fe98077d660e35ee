#include "controlplane/serve/proxy_cursor.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "controlplane/base/hash.h"

namespace ringway::serve {
namespace {

using snapshot::Difference;
using snapshot::Key;

// A proxy that refuses one resource after the other is waited for, instead of being sent everything
// for every one.
constexpr uint32_t kRefusalsMax = 64;
constexpr size_t kReasonBytesMax = 300;

std::string one_line(std::string_view text) {
  std::string out(text.substr(0, kReasonBytesMax));
  std::ranges::replace_if(out, [](unsigned char c) { return c < 0x20 || c == 0x7f; }, ' ');
  return out;
}

}  // namespace

std::string_view type_name(v1::ResourceType type) {
  switch (type) {
    case v1::RESOURCE_TYPE_LISTENER:
      return "listener";
    case v1::RESOURCE_TYPE_ROUTE_TABLE:
      return "route_table";
    case v1::RESOURCE_TYPE_CLUSTER:
      return "cluster";
    case v1::RESOURCE_TYPE_ENDPOINTS:
      return "endpoints";
    case v1::RESOURCE_TYPE_CERTIFICATE:
      return "certificate";
    default:
      return "resource";
  }
}

void ProxyCursor::on_hello(const v1::Hello& hello) {
  CHECK(!greeted_);
  greeted_ = true;
  wildcard_ = hello.wildcard();
  for (const v1::ResourceVersion& held : hello.held())
    held_[{held.type(), held.name()}] = held.version();
  status_.node_id = one_line(hello.node_id());
  status_.proxy_version = one_line(hello.proxy_version());
  status_.reconnect_reason = one_line(hello.error());
  status_.acked_version = one_line(hello.last_version());
  status_.wildcard = wildcard_;
}

void ProxyCursor::on_subscribe(const v1::Subscribe& subscribe) {
  for (const std::string& name : subscribe.add()) {
    const Key key{subscribe.type(), name};
    subscribed_.insert(key);
    unanswered_names_.insert(key);
  }
  for (const std::string& name : subscribe.remove()) {
    const Key key{subscribe.type(), name};
    if (subscribed_.erase(key) != 0) unanswered_names_.insert(key);
  }
}

bool ProxyCursor::wanted(const Key& key) const { return wildcard_ || subscribed_.contains(key); }

Difference ProxyCursor::difference() const {
  snapshot::Filter filter;
  if (!wildcard_) filter = [this](const Key& key) { return wanted(key); };
  Difference out = synced_once_ ? store_.since(cursor_, filter) : store_.against(held_, filter);
  if (synced_once_ && !wildcard_ && !unanswered_names_.empty()) {
    std::set<Key> answered;
    for (const Key& key : unanswered_names_) {
      if (wanted(key)) {
        answered.insert(key);
      } else {
        out.removals.push_back(key);
      }
    }
    store_.add_named(answered, out);
  }
  withhold(out);
  return out;
}

// Takes out what was refused in this very version. A full state keeps the proxy's older version of
// it, if it has one.
void ProxyCursor::withhold(Difference& difference) const {
  if (withheld_.empty()) return;
  uint64_t taken_out = 0;
  std::erase_if(difference.upserts, [&](const snapshot::ResourcePtr& resource) {
    const Key key{snapshot::type_of(*resource), resource->name()};
    const auto found = withheld_.find(key);
    if (found == withheld_.end() || found->second != resource->version()) return false;
    if (difference.full && held_.contains(key)) difference.unchanged.push_back(key);
    taken_out += content_hash(key.name) ^ found->second;
    return true;
  });
  if (taken_out == 0) return;
  difference.version +=
      "-less-" + std::to_string(taken_out % 1'000'000);  // Another content, another version.
}

bool ProxyCursor::begin() {
  if (!greeted_ || writer_ != nullptr) return false;
  const uint64_t now = store_.sequence();
  if (synced_once_ && now == cursor_ && unanswered_names_.empty()) return false;
  if (!refused_version_.empty() && store_.version() == refused_version_ &&
      unanswered_names_.empty())
    return false;
  if (!begun_) cursor_ = now;  // floor() protects what the first transaction will be followed by.
  begun_ = true;
  Difference next = difference();
  if (synced_once_ && next.empty()) {
    cursor_ = next.sequence;
    unanswered_names_.clear();
    return false;
  }
  names_in_flight_ = std::exchange(unanswered_names_, {});
  ++status_.transactions;
  status_.resources_sent += next.upserts.size() + next.removals.size();
  status_.sent_version = next.version;
  writer_ =
      std::make_unique<snapshot::TransactionWriter>(std::move(next), std::to_string(++nonce_));
  return true;
}

void ProxyCursor::next_message(v1::Transaction& message) {
  CHECK(writing());
  writer_->next(message);
  status_.bytes_sent += message.ByteSizeLong();
}

bool ProxyCursor::answers(const std::string& nonce) const {
  return awaiting_answer() && writer_->nonce() == nonce;
}

bool ProxyCursor::on_ack(const v1::Ack& ack) {
  if (!answers(ack.nonce())) return false;
  const Difference& sent = writer_->difference();
  cursor_ = sent.sequence;
  for (const snapshot::ResourcePtr& resource : sent.upserts)
    withheld_.erase({snapshot::type_of(*resource), resource->name()});
  for (const Key& key : sent.removals) withheld_.erase(key);
  synced_once_ = true;
  held_.clear();
  names_in_flight_.clear();
  refused_version_.clear();
  refusals_in_a_row_ = 0;
  ++status_.acks;
  status_.acked_version = sent.version;
  if (withheld_.empty()) status_.nack_reason = status_.nack_resource = status_.nack_version = "";
  writer_.reset();
  return true;
}

bool ProxyCursor::on_nack(const v1::Nack& nack) {
  if (!answers(nack.nonce())) return false;
  const Difference& sent = writer_->difference();
  ++status_.nacks;
  status_.nack_reason = one_line(nack.reason());
  status_.nack_version = sent.version;
  status_.nack_resource = std::string(type_name(nack.type())) + " " + one_line(nack.name());
  const auto at_fault =
      std::ranges::find_if(sent.upserts, [&](const snapshot::ResourcePtr& resource) {
        return snapshot::type_of(*resource) == nack.type() && resource->name() == nack.name();
      });
  if (at_fault != sent.upserts.end() && ++refusals_in_a_row_ <= kRefusalsMax) {
    withheld_[{nack.type(), nack.name()}] = (*at_fault)->version();
  } else {
    refused_version_ = sent.version.substr(0, 16);  // The store's, without what was taken out.
    refusals_in_a_row_ = 0;
  }
  // Names stay to be answered, but a name alone does not make the refused transaction another one.
  if (refused_version_.empty()) unanswered_names_.merge(names_in_flight_);
  names_in_flight_.clear();
  writer_.reset();
  return true;
}

void ProxyCursor::report(ProxyStatus& status) const {
  const std::string peer = status.peer, identity = status.identity;
  const int64_t connected_at_s = status.connected_at_s;
  status = status_;
  status.peer = peer;
  status.identity = identity;
  status.connected_at_s = connected_at_s;
  status.awaiting_answer = writer_ != nullptr;
  status.withheld = withheld_.size();
  status.in_sync =
      synced_once_ && writer_ == nullptr && cursor_ == store_.sequence() && withheld_.empty();
}

}  // namespace ringway::serve
