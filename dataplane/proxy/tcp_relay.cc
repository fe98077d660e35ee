#include "dataplane/proxy/tcp_relay.h"

#include <algorithm>
#include <cerrno>
#include <optional>

#include "dataplane/net/address.h"
#include "dataplane/net/client_source.h"
#include "dataplane/observe/access_log.h"
#include "dataplane/upstream/outlier.h"

namespace ringway::proxy {
namespace {

using observe::StreamFailure;

// A receive that filled its buffer four times in a row is bulk; eight small ones in a row are not.
constexpr uint8_t kFullReceives = 4;
constexpr uint8_t kSmallReceives = 8;
constexpr uint32_t kCopyMax =
    1024;  // Smaller pieces are copied behind what is queued and keep no buffer.
constexpr uint32_t kRetryBudgetPercent = 20;
constexpr uint64_t kFlushNs = 10 * kNsPerSecond;

}  // namespace

TcpRelay::TcpRelay(Context& context, AcceptedOwner& owner,
                   std::shared_ptr<const config::Listener> listener, config::ClusterTarget target)
    : context_(context),
      owner_(owner),
      listener_(std::move(listener)),
      client_(context, *this, true),
      server_(context, *this, false) {
  io::bind<&TcpRelay::on_connect>(connect_, *this);
  io::bind<&TcpRelay::on_try_closed>(close_, *this);
  timer_.bind<&TcpRelay::on_timer>(*this);
  if (context_.snapshots.has_snapshot()) cluster_ = context_.snapshots.current().cluster(target);
}

TcpRelay::~TcpRelay() { CHECK(!try_open_); }

void TcpRelay::start(io::Socket socket, const Client& client, io::SliceQueue early) {
  addresses_ = client;
  server_name_ = client.server_name;
  addresses_.server_name = {};
  const std::string_view text = net::ip_text(client.peer, peer_text_);
  peer_size_ = static_cast<uint8_t>(
      text.empty() ? std::string_view("unix").copy(peer_text_.data(), 4) : text.size());
  ++context_.stats.connections_active;
  ++context_.stats.stream.relays_active;
  ++context_.stats.stream.relays;
  begin_ns_ = activity_ns_ = context_.now_ns();
  client_.started = true;
  if (cluster_ != nullptr) context_.load.note_request(*cluster_, begin_ns_);
  if (listener_->kind == config::ListenerKind::kTls) {
    state_ = State::kHandshaking;
    wait(policy().tls_handshake_timeout_ns);
    client_.transport.start(socket,
                            tls::Session::accept(listener_->tls, context_.ring.output_pool()));
    return client_.transport.inject(std::move(early));
  }
  // Nothing is read before the endpoint is there: the kernel holds what the client sends.
  client_.transport.pause_reading();
  client_.transport.start(socket, nullptr);
  client_.transport.prefer_bulk(false);
  begin_connecting();
  while (!early.empty()) {
    io::Slice data = early.pop();
    client_.received += data.size();
    server_.transport.output().push(std::move(data));
  }
}

// ---- the endpoint ----

void TcpRelay::begin_connecting() {
  if (policy().send_proxy != net::ProxyVersion::kNone) {
    std::array<std::byte, net::kProxyWriteBytesMax> header;
    const size_t bytes =
        net::write_proxy_header(policy().send_proxy, addresses_.peer, addresses_.local, header);
    server_.transport.output().append_copy(context_.ring.output_pool(),
                                           {reinterpret_cast<const char*>(header.data()), bytes});
  }
  start_try();
}

const upstream::EndpointRef* TcpRelay::pick() {
  return cluster_ == nullptr ? nullptr : context_.load.pick(*cluster_, tried(), context_.now_ns());
}

void TcpRelay::start_try() {
  const upstream::EndpointRef* chosen = pick();
  if (chosen == nullptr) return fail(StreamFailure::kNoEndpoint);
  try_endpoint(*chosen);
}

void TcpRelay::try_endpoint(const upstream::EndpointRef& chosen) {
  endpoint_ = chosen.state;
  if (tries_ < kTriedMax) tried_[tries_] = endpoint_.get();
  ++tries_;
  const auto socket = open_socket();
  if (!socket) return fail(StreamFailure::kNoSocket);
  server_socket_ = *socket;
  context_.load.begin(*cluster_, *endpoint_);
  try_open_ = true;
  timed_out_ = false;
  state_ = State::kConnecting;
  ++context_.stats.upstream_connects;
  wait(policy().connect_timeout_ns);
  context_.ring.connect(connect_, server_socket_, endpoint_->address);
}

std::expected<io::Socket, int> TcpRelay::open_socket() {
  std::optional<io::SocketAddress> source;
  if (policy().source == config::StreamSource::kClient) {
    source = net::client_source(addresses_.peer, endpoint_->address);
    if (!source) ++context_.stats.stream.own_sources;
  }
  return context_.ring.open_stream(endpoint_->address.family(),
                                   {.source = source ? &*source : nullptr});
}

void TcpRelay::end_try(upstream::Outcome outcome) {
  if (!try_open_) return;
  try_open_ = false;
  if (context_.load.end(*cluster_, *endpoint_, outcome, context_.now_ns()))
    ++context_.stats.ejections;
}

void TcpRelay::on_connect(io::Completion&& completion) {
  if (state_ == State::kConnecting && completion.result >= 0) return start_relaying();
  if (state_ == State::kConnecting) {
    ++context_.stats.upstream_connect_failures;
    // All ports from this address to the endpoint are taken, by one busy client perhaps: not the
    // endpoint's fault.
    end_try(timed_out_                            ? upstream::Outcome::kTimeout
            : completion.result == -EADDRNOTAVAIL ? upstream::Outcome::kAbandoned
                                                  : upstream::Outcome::kConnectFailure);
    timer_.cancel();
    state_ = State::kClosingTry;
  }
  context_.ring.close(close_, server_socket_);
}

void TcpRelay::on_try_closed(io::Completion&&) {
  if (state_ == State::kDraining) return free_if_gone();
  DCHECK(state_ == State::kClosingTry);
  if (go_on_elsewhere()) return;
  if (may_retry()) {
    ++context_.stats.stream.retries;
    return start_try();
  }
  fail(timed_out_ ? StreamFailure::kConnectTimeout : StreamFailure::kConnect);
}

// No endpoint is asked more often than once this way, so it is no load that the budget would have
// to bound.
bool TcpRelay::go_on_elsewhere() {
  if (timed_out_ || policy().tries <= 1 || tries_ >= kTriedMax || !in_time()) return false;
  const upstream::EndpointRef* next = pick();
  if (next == nullptr || std::ranges::find(tried(), next->state.get()) != tried().end())
    return false;
  ++unsent_;
  ++context_.stats.stream.retries;
  try_endpoint(*next);
  return true;
}

bool TcpRelay::may_retry() {
  if (tries_ - unsent_ >= policy().tries || !in_time()) return false;
  if (context_.load.try_spend_retry(*cluster_, kRetryBudgetPercent, context_.now_ns())) return true;
  ++context_.stats.retry_budget_exhausted;
  return false;
}

bool TcpRelay::in_time() const {
  return policy().tries_timeout_ns == 0 ||
         context_.now_ns() - begin_ns_ < policy().tries_timeout_ns;
}

void TcpRelay::start_relaying() {
  state_ = State::kRelaying;
  connected_ns_ = activity_ns_ = context_.now_ns();
  upstream::note_success(*cluster_, *endpoint_, connected_ns_);
  server_.started = true;
  ++context_.stats.upstream_connections_active;
  server_.transport.start(server_socket_, nullptr);
  if (server_.transport.queued() > 0) server_.transport.mark_dirty();
  if (client_.transport.input_ended()) server_.transport.end_output();
  if (server_.transport.queued() < context_.high_water()) client_.transport.resume_reading();
  client_.transport.prefer_bulk(false);
  wait(policy().idle_timeout_ns);
}

// ---- bytes ----

void TcpRelay::on_open() {
  ++context_.stats.tls_handshakes;
  if (client_.transport.tls()->resumed()) ++context_.stats.tls_resumptions;
  if (state_ == State::kHandshaking) begin_connecting();
}

void TcpRelay::on_data(End& from, io::Slice data) {
  if (state_ == State::kDraining) return;
  activity_ns_ = context_.now_ns();
  const uint32_t bytes = data.size();
  from.received += bytes;
  Transport& to = from.other().transport;
  const bool ready =
      state_ == State::kRelaying || (state_ == State::kFlushing && !from.is_client());
  if (state_ == State::kFlushing && from.is_client()) return;  // There is nobody to send it to.
  if (bytes <= kCopyMax && !to.output().empty()) {
    to.output().append_copy(context_.ring.output_pool(), data.view());
  } else {
    to.output().push(std::move(data));
  }
  if (ready) to.mark_dirty();
  // Before the endpoint is there the bytes of a TLS client wait here, a little of them.
  if (to.queued() >= (ready ? context_.high_water() : kHighWaterMin)) {
    from.transport.pause_reading();
  } else {
    adapt_receive(from, bytes);
  }
}

void TcpRelay::adapt_receive(End& from, uint32_t bytes) {
  const uint32_t small = context_.ring.small_pool().buffer_bytes();
  from.full_receives =
      bytes >= small
          ? static_cast<uint8_t>(std::min<uint32_t>(from.full_receives + 1u, kFullReceives))
          : 0;
  from.small_receives =
      bytes < small
          ? static_cast<uint8_t>(std::min<uint32_t>(from.small_receives + 1u, kSmallReceives))
          : 0;
  if (from.full_receives == kFullReceives) from.transport.prefer_bulk(true);
  if (from.small_receives == kSmallReceives) from.transport.prefer_bulk(false);
}

void TcpRelay::on_sent(End& end) {
  activity_ns_ = context_.now_ns();
  Transport& source = end.other().transport;
  if (state_ == State::kRelaying && source.reading_paused() &&
      end.transport.queued() <= context_.low_water()) {
    source.resume_reading();
  }
}

void TcpRelay::on_end(End& end) {
  if (state_ == State::kHandshaking) return fail(StreamFailure::kTls);
  if (state_ == State::kDraining) return;
  activity_ns_ = context_.now_ns();
  end.other().transport.end_output();  // Before the endpoint is there: start_relaying() does it.
  end_if_through();
}

void TcpRelay::on_output_ended(End&) {
  if (state_ == State::kFlushing) return drain();
  end_if_through();
}

void TcpRelay::end_if_through() {
  if (state_ == State::kRelaying && client_.through() && server_.through()) drain();
}

void TcpRelay::on_failed(End& end) {
  if (state_ == State::kDraining) return;
  if (state_ == State::kHandshaking) {
    ++context_.stats.tls_failures;
    return fail(StreamFailure::kTls);
  }
  if (end.is_client()) return fail(StreamFailure::kClientReset);
  if (state_ == State::kFlushing) return;
  // An endpoint that breaks off without a byte has not served: that counts against it.
  end_try(server_.received == 0 ? upstream::Outcome::kReset : upstream::Outcome::kAbandoned);
  if (client_.transport.queued() == 0) return fail(StreamFailure::kServerReset);
  failure_ = StreamFailure::kServerReset;
  state_ = State::kFlushing;
  wait(kFlushNs);
  server_.transport.drain();
  client_.transport.end_output();
}

// ---- time and the end ----

void TcpRelay::wait(uint64_t timeout_ns) {
  context_.timers.arm(timer_, context_.now_ns() + timeout_ns);
}

void TcpRelay::on_timer() {
  switch (state_) {
    case State::kHandshaking:
      ++context_.stats.timeouts_handshake;
      return fail(StreamFailure::kTls);
    case State::kConnecting:
      ++context_.stats.timeouts_connect;
      timed_out_ = true;
      return context_.ring.cancel(connect_);  // Goes on in on_connect.
    case State::kRelaying: {
      const uint64_t due_ns = activity_ns_ + policy().idle_timeout_ns;
      if (context_.now_ns() < due_ns) return context_.timers.arm(timer_, due_ns);
      ++context_.stats.timeouts_idle;
      return fail(StreamFailure::kIdle);
    }
    case State::kFlushing:
      return drain();
    case State::kClosingTry:
    case State::kDraining:
      return;
  }
}

void TcpRelay::fail(StreamFailure failure) {
  if (state_ == State::kDraining) return;
  if (failure_ == StreamFailure::kNone) failure_ = failure;
  drain();
}

void TcpRelay::drain() {
  if (state_ == State::kDraining) return;
  state_ = State::kDraining;
  timer_.cancel();
  end_try(upstream::Outcome::kAbandoned);
  if (connect_.in_flight) context_.ring.cancel(connect_);  // Its socket is closed in on_connect.
  if (client_.started) client_.transport.drain();
  if (server_.started) server_.transport.drain();
}

void TcpRelay::on_closed(End& end) {
  end.closed = true;
  if (!end.is_client()) --context_.stats.upstream_connections_active;
  free_if_gone();
}

void TcpRelay::free_if_gone() {
  if (state_ != State::kDraining || !client_.closed || (server_.started && !server_.closed)) return;
  if (connect_.in_flight || close_.in_flight) return;
  observe::StreamStats& stats = context_.stats.stream;
  --context_.stats.connections_active;
  --stats.relays_active;
  stats.bytes_received += client_.received;
  stats.bytes_sent += server_.received;
  if (failure_ != StreamFailure::kNone) ++stats.failures[static_cast<size_t>(failure_)];
  if (context_.access_log.enabled()) log_access();
  owner_.on_accepted_closed(*this);  // Frees *this.
}

void TcpRelay::log_access() {
  observe::StreamRecord record;
  record.duration_ns = context_.now_ns() - begin_ns_;
  record.wall_ns = context_.wall_ns() - static_cast<int64_t>(record.duration_ns);
  record.connect_ns = connected_ns_ == 0 ? 0 : connected_ns_ - begin_ns_;
  record.peer = peer_text();
  record.protocol = "TCP";
  record.listener = listener_->name;
  record.server_name = server_name_;
  record.bytes_received = client_.received;
  record.bytes_sent = server_.received;
  if (endpoint_ != nullptr) record.upstream = endpoint_->text;
  if (cluster_ != nullptr) record.cluster = cluster_->name;
  record.tries = tries_;
  record.failure = failure_;
  if (!context_.access_log.append(record)) ++context_.stats.access_log_dropped;
}

}  // namespace ringway::proxy
