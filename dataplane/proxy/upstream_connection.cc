#include "dataplane/proxy/upstream_connection.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "dataplane/http/h1_client_codec.h"
#include "dataplane/http/h2_client_codec.h"
#include "dataplane/proxy/exchange.h"
#include "dataplane/proxy/upstream_pool.h"

namespace ringway::proxy {
namespace {

// Responses are checked against the limits of RFC 9112 section 3 sizes; they are not configurable
// per route.
constexpr http::Limits kResponseLimits{
    .headers_bytes_max = 65536, .header_bytes_max = 32768, .headers_max = 128};

}  // namespace

UpstreamConnection::UpstreamConnection(Context& context, UpstreamPool& pool, PoolEntry& entry,
                                       bool for_upgrade)
    : context_(context),
      pool_(pool),
      entry_(entry),
      transport_(context, *this),
      for_upgrade_(for_upgrade) {
  io::bind<&UpstreamConnection::on_connect>(connect_, *this);
}

UpstreamConnection::~UpstreamConnection() = default;

bool UpstreamConnection::multiplexed() const { return entry_.multiplexed() && !for_upgrade_; }

// ---- connecting ----

bool UpstreamConnection::connect(Exchange* exchange) {
  CHECK(state_ == State::kConnecting && !connect_.in_flight);
  CHECK((exchange == nullptr) == multiplexed());
  const io::SocketAddress& target = entry_.endpoint->address;
  const auto socket = context_.ring.open_stream(target.family(), {});
  if (!socket) return false;
  socket_ = *socket;
  created_ns_ = context_.now_ns();
  opened_for_ = exchange;
  ++context_.stats.upstream_connects;
  context_.ring.connect(connect_, socket_, target);
  return true;
}

void UpstreamConnection::on_connect(io::Completion&& completion) {
  if (state_ == State::kDraining) {
    transport_.hold(socket_);
    return transport_.drain();
  }
  DCHECK(state_ == State::kConnecting);
  if (completion.result < 0) {
    transport_.hold(socket_);
    return fail_connecting();
  }
  if (entry_.tls == nullptr) {
    transport_.start(socket_, nullptr);
    return established();
  }
  state_ = State::kHandshaking;
  // The entry's session is one of its own protocol.
  transport_.start(
      socket_,
      for_upgrade_
          ? tls::Session::connect(entry_.tls, context_.ring.output_pool(), nullptr, "http/1.1")
          : tls::Session::connect(entry_.tls, context_.ring.output_pool(), &entry_.tls_session));
}

void UpstreamConnection::on_transport_open() {
  if (state_ == State::kHandshaking) established();
}

void UpstreamConnection::established() {
  if (multiplexed()) {
    http::ClientSink& sink = *this;
    auto codec = std::make_unique<http::H2ClientCodec>(
        sink, transport_.output(), context_.ring.output_pool(), kResponseLimits,
        http::H2ClientCodec::Options{.tls = transport_.tls() != nullptr});
    h2_ = codec.get();
    codec_ = std::move(codec);
    mark_dirty();
    return pool_.on_established(*this);
  }
  http::ClientSink& sink = *this;
  codec_ = std::make_unique<http::H1ClientCodec>(sink, transport_.output(),
                                                 context_.ring.output_pool(), kResponseLimits);
  state_ = State::kIdle;
  Exchange& exchange = *std::exchange(opened_for_, nullptr);
  attach(exchange);
  exchange.on_upstream_ready();
}

// The transport has the socket already.
void UpstreamConnection::fail_connecting() {
  ++context_.stats.upstream_connect_failures;
  Exchange* const exchange = std::exchange(opened_for_, nullptr);
  state_ = State::kDraining;
  transport_.drain();
  if (exchange == nullptr) return pool_.on_connect_failed(*this);
  exchange->on_upstream_failed(upstream::Outcome::kConnectFailure, http::Error::kNone);
}

void UpstreamConnection::give_up_connecting() {
  CHECK(connecting());
  ++context_.stats.upstream_connect_failures;
  Exchange* const exchange = std::exchange(opened_for_, nullptr);
  CHECK((exchange == nullptr) == multiplexed());
  drain();
  if (exchange == nullptr) return pool_.on_connect_failed(*this);
  exchange->on_upstream_failed(upstream::Outcome::kConnectFailure, http::Error::kNone);
}

// A server may ping now and then for as long as the connection lasts.
void UpstreamConnection::on_second() {
  constexpr uint32_t kGlitchesPerSecond = 4;
  if (h2_ != nullptr) h2_->forgive(kGlitchesPerSecond);
}

// ---- streams ----

bool UpstreamConnection::has_room() const {
  return (state_ == State::kIdle || (state_ == State::kBusy && h2_ != nullptr)) && !retired_ &&
         codec_->available();
}

void UpstreamConnection::attach(Exchange& exchange) {
  CHECK(has_room());
  state_ = State::kBusy;
  release_pending_ = false;
  ++requests_;
  ++active_;
  const http::StreamId stream = codec_->open();
  if (stream >= streams_.size()) streams_.resize(stream + 1);
  CHECK(streams_[stream].exchange == nullptr);
  streams_[stream] = {.exchange = &exchange, .received_before = received_};
  exchange.on_upstream_attached(*this, stream);
}

void UpstreamConnection::release(http::StreamId stream, bool reuse) {
  if (connecting()) {
    opened_for_ = nullptr;
    return drain();
  }
  if (streams_[stream].exchange != nullptr) {
    streams_[stream].exchange = nullptr;
    --active_;
  }
  if (state_ == State::kDraining) return;
  DCHECK(state_ == State::kBusy);
  release_pending_ = true;
  reuse_ = reuse;
  if (h2_ != nullptr) {
    h2_->release(stream);
    mark_dirty();
  }
  if (!in_codec_) settle();
}

void UpstreamConnection::settle() {
  if (in_codec_) return;
  h2_ == nullptr ? settle_single() : settle_shared();
}

void UpstreamConnection::settle_single() {
  if (!release_pending_ || state_ != State::kBusy) return;
  release_pending_ = false;
  transport_.prefer_bulk(false);
  transport_.resume_reading();
  if (!reuse_ || retired_ || for_upgrade_ || !codec_->reusable() || transport_.input_ended() ||
      transport_.draining()) {
    return drain();
  }
  become_idle();
}

void UpstreamConnection::become_idle() {
  state_ = State::kIdle;
  idle_since_ns_ = context_.now_ns();
  pool_.put_idle(*this);
}

void UpstreamConnection::settle_shared() {
  if (state_ != State::kBusy && state_ != State::kIdle) return;
  if (active_ == 0) {
    if (retired_ || !codec_->reusable()) return close_politely();
    if (state_ == State::kIdle) return;
    release_pending_ = false;
    transport_.prefer_bulk(false);
    return become_idle();
  }
  if (entry_.pending > 0 && has_room()) pool_.serve_pending(entry_);
}

// ---- the end ----

void UpstreamConnection::retire() {
  retired_ = true;
  if (state_ != State::kIdle) return;
  h2_ == nullptr ? drain() : close_politely();
}

void UpstreamConnection::close_politely() {
  CHECK(h2_ != nullptr && active_ == 0);
  if (state_ == State::kIdle) pool_.remove_idle(*this);
  pool_.remove_shared(*this);
  state_ = State::kClosing;
  idle_since_ns_ = context_.now_ns();
  h2_->shut_down();
  transport_.end_output();
}

void UpstreamConnection::drain() {
  if (state_ == State::kDraining) return;
  const State was = std::exchange(state_, State::kDraining);
  opened_for_ = nullptr;
  if (was == State::kConnecting) {
    if (connect_.in_flight) context_.ring.cancel(connect_);  // Goes on in on_connect.
    return;
  }
  if (was == State::kIdle) pool_.remove_idle(*this);
  if (was == State::kIdle || was == State::kBusy) pool_.remove_shared(*this);
  transport_.drain();
}

// The exchanges of a connection that is gone. Each may try again from inside the call.
void UpstreamConnection::fail_streams(http::Error error) {
  DCHECK(state_ == State::kDraining);
  for (size_t i = 0; i < streams_.size(); ++i) {
    Exchange* const exchange = std::exchange(streams_[i].exchange, nullptr);
    if (exchange == nullptr) continue;
    --active_;
    exchange->on_upstream_failed(upstream::Outcome::kReset, error);
  }
}

// ---- what an exchange asks ----

size_t UpstreamConnection::queued(http::StreamId stream) const {
  return h2_ == nullptr ? transport_.queued() : h2_->queued(stream);
}

void UpstreamConnection::pause_response(http::StreamId stream) {
  streams_[stream].held = true;
  codec_->pause(stream);
  if (h2_ == nullptr) transport_.pause_reading();
}

void UpstreamConnection::resume_response(http::StreamId stream) {
  streams_[stream].held = false;
  const bool nested = std::exchange(in_codec_, true);
  codec_->resume(stream);  // May deliver what was kept, which may be enough to be paused again.
  in_codec_ = nested;
  if (h2_ != nullptr) {
    mark_dirty();
  } else if (!streams_[stream].held) {
    transport_.resume_reading();
  }
  settle();
}

void UpstreamConnection::end_output(http::StreamId) {
  if (h2_ == nullptr) transport_.end_output();  // HTTP/2: the last DATA frame said so.
}

bool UpstreamConnection::output_ended(http::StreamId stream) const {
  return h2_ == nullptr ? transport_.output_ended() : h2_->request_ended(stream);
}

Upgrades UpstreamConnection::upgrades() const {
  if (h2_ == nullptr) return Upgrades::kYes;
  if (!h2_->settings_known()) return Upgrades::kUnknown;
  return h2_->extended_connect() ? Upgrades::kYes : Upgrades::kNo;
}

// Who waits for them is told once; each may try again, on this connection too, from inside the
// call.
void UpstreamConnection::learn_settings() {
  settings_learned_ = true;
  entry_.refuses_upgrades = !h2_->extended_connect();
  for (size_t i = 0; i < streams_.size(); ++i) {
    if (!std::exchange(streams_[i].waits, false) || streams_[i].exchange == nullptr) continue;
    streams_[i].exchange->on_upstream_ready();
    if (state_ == State::kDraining) return;
  }
}

bool UpstreamConnection::stale(http::StreamId stream) const {
  const uint64_t before = streams_[stream].received_before;
  return before > 0 && before == received_;
}

Exchange* UpstreamConnection::exchange_of(http::StreamId stream) const {
  return stream < streams_.size() ? streams_[stream].exchange : nullptr;
}

// ---- events of the transport ----

void UpstreamConnection::on_transport_data(io::Slice data) {
  const bool expected = h2_ != nullptr ? state_ == State::kBusy || state_ == State::kIdle
                                       : state_ == State::kBusy && active_ > 0;
  if (!expected) {
    if (state_ == State::kIdle) {
      ++context_.stats.response_errors[static_cast<size_t>(http::Error::kBadResponse)];
      drain();
    }
    return;
  }
  received_ += data.size();
  in_codec_ = true;
  codec_->feed(std::move(data));
  in_codec_ = false;
  if (h2_ != nullptr) {
    if (h2_->broken()) {
      drain();
      return fail_streams(http::Error::kBadResponse);
    }
    if (!settings_learned_ && h2_->settings_known()) [[unlikely]]
      learn_settings();
    entry_.streams_expected = std::max(1u, h2_->streams_allowed());
    if (!transport_.output().empty()) mark_dirty();
  }
  settle();
}

void UpstreamConnection::on_transport_end() {
  switch (state_) {
    case State::kHandshaking:
      return fail_connecting();
    case State::kIdle:
    case State::kClosing:
      return drain();
    case State::kConnecting:
    case State::kDraining:
      return;
    case State::kBusy:
      break;
  }
  if (h2_ != nullptr) {
    drain();
    return fail_streams(http::Error::kTruncated);
  }
  in_codec_ = true;
  codec_->on_end_of_input();
  in_codec_ = false;
  if (active_ == 0) settle();
}

void UpstreamConnection::on_transport_failed(int) {
  if (state_ == State::kHandshaking) return fail_connecting();
  drain();
  fail_streams(http::Error::kTruncated);
}

void UpstreamConnection::on_transport_sent() {
  if (h2_ != nullptr) {
    h2_->on_output_sent();
    return settle();
  }
  if (Exchange* exchange = exchange_of(0)) exchange->on_upstream_sent();
}

void UpstreamConnection::on_transport_output_ended() {
  if (state_ == State::kClosing) return drain();
  if (Exchange* exchange = exchange_of(0)) exchange->on_upstream_output_ended();
}

void UpstreamConnection::on_transport_closed() { pool_.forget(*this); }  // Frees *this.

// ---- events of the codec ----

http::ResponseHead* UpstreamConnection::new_response_head(http::StreamId stream) {
  Exchange* exchange = exchange_of(stream);
  return exchange == nullptr ? nullptr : &exchange->response_head();
}

void UpstreamConnection::on_interim_response(http::StreamId stream, http::ResponseHead& head) {
  if (Exchange* exchange = exchange_of(stream)) exchange->on_interim_response(head);
}

void UpstreamConnection::on_response_head(http::StreamId stream, http::ResponseHead& head,
                                          bool end) {
  if (Exchange* exchange = exchange_of(stream)) exchange->on_response_head(head, end);
}

void UpstreamConnection::on_response_body(http::StreamId stream, io::Slice data, bool end) {
  if (Exchange* exchange = exchange_of(stream)) exchange->on_response_body(std::move(data), end);
}

void UpstreamConnection::on_response_trailers(http::StreamId stream,
                                              const http::HeaderList& trailers) {
  if (Exchange* exchange = exchange_of(stream)) exchange->on_response_trailers(trailers);
}

void UpstreamConnection::on_response_error(http::StreamId stream, http::Error error) {
  ++context_.stats.response_errors[static_cast<size_t>(error)];
  Exchange* const exchange = exchange_of(stream);
  if (exchange == nullptr) return;
  streams_[stream].exchange = nullptr;
  --active_;
  release_pending_ = true;
  reuse_ = false;
  if (h2_ != nullptr) h2_->release(stream);
  // A peer that closed without a byte is the same event as a reset: the request may not have been
  // read.
  exchange->on_upstream_failed(upstream::Outcome::kReset, error);
}

void UpstreamConnection::on_request_sent(http::StreamId stream) {
  Exchange* const exchange = exchange_of(stream);
  if (exchange == nullptr) return;
  exchange->on_upstream_sent();
  if (output_ended(stream)) exchange->on_upstream_output_ended();
}

}  // namespace ringway::proxy
