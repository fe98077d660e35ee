#include "controlplane/serve/proxy_stream.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "base/clock.h"
#include "base/log.h"

namespace ringway::serve {
namespace {

PeerIdentity identify(const grpc::CallbackServerContext& context) {
  PeerIdentity identity;
  identity.peer = context.peer();
  const auto auth = context.auth_context();
  if (auth == nullptr || !auth->IsPeerAuthenticated()) return identity;
  identity.tls = true;
  for (const grpc::string_ref& name : auth->GetPeerIdentity())
    identity.names.emplace_back(name.data(), name.size());
  return identity;
}

}  // namespace

bool StreamRegistry::add(ProxyStream& stream) {
  const std::lock_guard lock(mutex_);
  if (streams_.size() >= options_.proxies_max) return false;
  streams_.insert(&stream);
  ++gone_.connects;
  return true;
}

void StreamRegistry::remove(ProxyStream& stream) {
  const std::lock_guard lock(mutex_);
  if (streams_.erase(&stream) == 0) return;
  const ProxyStatus status = stream.report();
  gone_.acks += status.acks;
  gone_.nacks += status.nacks;
  gone_.transactions += status.transactions;
  gone_.bytes_sent += status.bytes_sent;
}

void StreamRegistry::publish() {
  const std::lock_guard lock(mutex_);
  open_.store(true);
  // Read before the cursors: a stream that starts meanwhile starts later than this.
  uint64_t needed = store_.sequence();
  for (ProxyStream* stream : streams_) {
    stream->send_due();
    needed = std::min(needed, stream->floor().value_or(needed));
  }
  store_.forget_removals(needed);
}

bool StreamRegistry::open() const { return open_.load(); }

void StreamRegistry::check_deadlines(uint64_t now_ns) {
  const std::lock_guard lock(mutex_);
  for (ProxyStream* stream : streams_) stream->check_deadline(now_ns);
}

void StreamRegistry::send_away(const std::string& why) {
  const std::lock_guard lock(mutex_);
  for (ProxyStream* stream : streams_) stream->send_away(why);
}

std::vector<ProxyStatus> StreamRegistry::proxies() const {
  std::vector<ProxyStatus> out;
  {
    const std::lock_guard lock(mutex_);
    for (const ProxyStream* stream : streams_) out.push_back(stream->report());
  }
  std::erase_if(out, [](const ProxyStatus& status) {
    return status.node_id.empty();
  });  // Hello has not come.
  std::ranges::sort(out, {}, [](const ProxyStatus& status) {
    return std::tie(status.node_id, status.connected_at_s);
  });
  return out;
}

DiscoveryServer::Totals StreamRegistry::totals() const {
  const std::lock_guard lock(mutex_);
  DiscoveryServer::Totals totals = gone_;
  totals.refused = refused_.load(std::memory_order_relaxed);
  for (const ProxyStream* stream : streams_) {
    const ProxyStatus status = stream->report();
    totals.acks += status.acks;
    totals.nacks += status.nacks;
    totals.transactions += status.transactions;
    totals.bytes_sent += status.bytes_sent;
  }
  return totals;
}

void StreamRegistry::count_refused() { refused_.fetch_add(1, std::memory_order_relaxed); }

ProxyStream::ProxyStream(StreamRegistry& registry, grpc::CallbackServerContext& context)
    : registry_(registry),
      context_(context),
      cursor_(registry.store()),
      identity_(identify(context)),
      deadline_ns_(monotonic_ns() + registry.options().hello_timeout_ms * kNsPerMs) {
  status_.peer = identity_.peer;
  if (!identity_.names.empty()) status_.identity = identity_.names.front();
  status_.connected_at_s = wall_clock_ns() / static_cast<int64_t>(kNsPerSecond);
  const bool admitted =
      registry.add(*this);  // Others see the stream from here on; it is quiet until Hello.
  const std::lock_guard lock(mutex_);
  if (!admitted) {
    finish({grpc::StatusCode::RESOURCE_EXHAUSTED, "too many proxies are connected"});
    return;
  }
  StartSendInitialMetadata();  // The proxy learns at once that it reached a controller.
  StartRead(&incoming_);
}

void ProxyStream::OnReadDone(bool ok) {
  const std::lock_guard lock(mutex_);
  if (finished_ || ending_) return;
  if (!ok) return finish(grpc::Status::OK);
  grpc::Status status = take(incoming_);
  if (!status.ok()) {
    registry_.count_refused();
    log_warning("proxy \"{}\" ({}) is refused: {}", status_.node_id, status_.peer,
                status.error_message());
    return finish(std::move(status));
  }
  pump();
  if (!finished_) StartRead(&incoming_);
}

grpc::Status ProxyStream::take(const v1::ProxyMessage& message) {
  if (!greeted_) {
    if (!message.has_hello())
      return {grpc::StatusCode::INVALID_ARGUMENT, "the first message must be Hello"};
    return take_hello(message.hello());
  }
  switch (message.message_case()) {
    case v1::ProxyMessage::kHello:
      return {grpc::StatusCode::INVALID_ARGUMENT, "a second Hello"};
    case v1::ProxyMessage::kAck:
      if (!cursor_.on_ack(message.ack()))
        return {grpc::StatusCode::INVALID_ARGUMENT, "Ack of a transaction that is not open"};
      break;
    case v1::ProxyMessage::kNack:
      if (!cursor_.on_nack(message.nack()))
        return {grpc::StatusCode::INVALID_ARGUMENT, "Nack of a transaction that is not open"};
      log_nack();
      break;
    case v1::ProxyMessage::kSubscribe:
      cursor_.on_subscribe(message.subscribe());
      break;
    case v1::ProxyMessage::MESSAGE_NOT_SET:
      break;  // Of a later version of the protocol.
  }
  return grpc::Status::OK;
}

grpc::Status ProxyStream::take_hello(const v1::Hello& hello) {
  const ServerOptions& options = registry_.options();
  status_.node_id = hello.node_id();
  if (hello.node_id().empty()) return {grpc::StatusCode::INVALID_ARGUMENT, "Hello without node_id"};
  if (!hello.class_().empty() && hello.class_() != options.config_class) {
    return {grpc::StatusCode::NOT_FOUND,
            "class \"" + hello.class_().substr(0, 100) + "\" is not served here"};
  }
  if (options.authenticate) {
    if (auto allowed = options.authenticate(identity_, hello); !allowed) {
      return {grpc::StatusCode::PERMISSION_DENIED, allowed.error()};
    }
  }
  greeted_ = true;
  deadline_ns_ = kNever;
  cursor_.on_hello(hello);
  cursor_.report(status_);
  log_info(
      "proxy \"{}\" ({}) connected: version {}, holds {} resources of configuration \"{}\"{}",
      status_.node_id, status_.peer, status_.proxy_version, hello.held_size(),
      status_.acked_version,
      hello.error().empty() ? "" : "; it had lost its controller: " + status_.reconnect_reason);
  return grpc::Status::OK;
}

void ProxyStream::log_nack() const {
  ProxyStatus status;
  cursor_.report(status);
  log_warning("proxy \"{}\" refuses configuration {}: {}: {}", status.node_id, status.nack_version,
              status.nack_resource, status.nack_reason);
}

void ProxyStream::pump() {
  if (finished_ || ending_ || write_in_flight_ || !registry_.open()) return;
  if (!cursor_.writing() && !cursor_.begin()) {
    if (greeted_ && !cursor_.awaiting_answer()) deadline_ns_ = kNever;
    return;
  }
  outgoing_.Clear();
  cursor_.next_message(*outgoing_.mutable_transaction());
  write_in_flight_ = true;
  deadline_ns_ = monotonic_ns() + registry_.options().answer_timeout_ms * kNsPerMs;
  StartWrite(&outgoing_);
}

void ProxyStream::OnWriteDone(bool ok) {
  const std::lock_guard lock(mutex_);
  write_in_flight_ = false;
  if (ending_) return finish(*std::exchange(ending_, std::nullopt));
  if (!ok) return finish(grpc::Status::OK);
  pump();
}

void ProxyStream::OnCancel() {
  const std::lock_guard lock(mutex_);
  finish(grpc::Status::CANCELLED);
}

void ProxyStream::finish(grpc::Status status) {
  if (finished_ || ending_) return;
  if (write_in_flight_) {
    // Flow control may hold the write for ever: cancelling ends it.
    ending_ = std::move(status);
    context_.TryCancel();
    return;
  }
  finished_ = true;
  Finish(std::move(status));
}

void ProxyStream::send_due() {
  const std::lock_guard lock(mutex_);
  if (greeted_) pump();
}

void ProxyStream::check_deadline(uint64_t now_ns) {
  const std::lock_guard lock(mutex_);
  if (finished_ || ending_ || now_ns < deadline_ns_) return;
  log_warning("proxy \"{}\" ({}) is disconnected: no {} in time", status_.node_id, status_.peer,
              greeted_ ? "answer" : "Hello");
  finish({grpc::StatusCode::DEADLINE_EXCEEDED,
          greeted_ ? "no answer to a transaction in time" : "no Hello in time"});
}

void ProxyStream::send_away(const std::string& why) {
  const std::lock_guard lock(mutex_);
  finish({grpc::StatusCode::UNAVAILABLE, why});
}

ProxyStatus ProxyStream::report() const {
  const std::lock_guard lock(mutex_);
  ProxyStatus status = status_;
  cursor_.report(status);
  return status;
}

std::optional<uint64_t> ProxyStream::floor() const {
  const std::lock_guard lock(mutex_);
  return cursor_.floor();
}

void ProxyStream::OnDone() {
  if (greeted_) log_info("proxy \"{}\" ({}) disconnected", status_.node_id, status_.peer);
  registry_.remove(*this);
  delete this;
}

}  // namespace ringway::serve
