#include "dataplane/proxy/upstream_connection.h"

#include <cerrno>

#include "dataplane/proxy/exchange.h"
#include "dataplane/proxy/upstream_pool.h"

namespace ringway::proxy {
namespace {

// Responses are checked against the limits of RFC 9112 section 3 sizes; they are not configurable per route.
constexpr http::Limits kResponseLimits{.headers_bytes_max = 65536, .header_bytes_max = 32768, .headers_max = 128};

}  // namespace

UpstreamConnection::UpstreamConnection(Context& context, UpstreamPool& pool, PoolEntry& entry)
    : context_(context), pool_(pool), entry_(entry), transport_(context, *this),
      codec_(*this, transport_.output(), context.ring.output_pool(), kResponseLimits) {
  io::bind<&UpstreamConnection::on_connect>(connect_, *this);
}

bool UpstreamConnection::connect(Exchange& exchange) {
  CHECK(state_ == State::kConnecting && !connect_.in_flight);
  const io::SocketAddress& target = entry_.endpoint->address;
  const auto socket = context_.ring.open_stream(target.family(), {});
  if (!socket) return false;
  socket_ = *socket;
  created_ns_ = context_.now_ns();
  exchange_ = &exchange;
  ++context_.stats.upstream_connects;
  context_.ring.connect(connect_, socket_, target);
  return true;
}

void UpstreamConnection::on_connect(io::Completion&& completion) {
  if (state_ == State::kDraining) {
    transport_.hold(socket_);
    return transport_.drain();
  }
  DCHECK(state_ == State::kConnecting && exchange_ != nullptr);
  if (completion.result < 0) {
    ++context_.stats.upstream_connect_failures;
    Exchange& exchange = *exchange_;
    exchange_ = nullptr;
    state_ = State::kDraining;
    transport_.hold(socket_);
    transport_.drain();
    return exchange.on_upstream_failed(upstream::Outcome::kConnectFailure, http::Error::kNone);
  }
  transport_.start(socket_, nullptr);
  state_ = State::kIdle;
  Exchange& exchange = *exchange_;
  attach(exchange);
  exchange.on_upstream_ready(*this);
}

void UpstreamConnection::attach(Exchange& exchange) {
  CHECK(state_ == State::kIdle && codec_.available());
  exchange_ = &exchange;
  state_ = State::kBusy;
  received_anything_ = false;
  release_pending_ = false;
  ++requests_;
  stream_ = codec_.open();
}

void UpstreamConnection::release(bool reuse) {
  if (state_ == State::kConnecting) {
    exchange_ = nullptr;
    return drain();
  }
  DCHECK(state_ == State::kBusy || state_ == State::kDraining);
  exchange_ = nullptr;
  release_pending_ = true;
  reuse_ = reuse;
  if (!in_codec_) settle();
}

void UpstreamConnection::settle() {
  if (!release_pending_ || state_ != State::kBusy) return;
  release_pending_ = false;
  transport_.prefer_bulk(false);
  transport_.resume_reading();
  if (!reuse_ || !codec_.reusable() || transport_.input_ended() || transport_.draining()) return drain();
  state_ = State::kIdle;
  idle_since_ns_ = context_.now_ns();
  pool_.put_idle(*this);
}

void UpstreamConnection::drain() {
  if (state_ == State::kDraining) return;
  if (state_ == State::kIdle) pool_.remove_idle(*this);
  const bool was_connecting = state_ == State::kConnecting;
  state_ = State::kDraining;
  exchange_ = nullptr;
  if (was_connecting) {
    if (connect_.in_flight) context_.ring.cancel(connect_);   // Goes on in on_connect.
    return;
  }
  transport_.drain();
}

void UpstreamConnection::pause_response() {
  held_ = true;
  codec_.pause(stream_);
  transport_.pause_reading();
}

void UpstreamConnection::resume_response() {
  held_ = false;
  in_codec_ = true;
  codec_.resume(stream_);   // May deliver what was kept, which may be enough to be paused again.
  in_codec_ = false;
  if (!held_) transport_.resume_reading();
  settle();
}

void UpstreamConnection::on_transport_data(io::Slice data) {
  if (state_ != State::kBusy || exchange_ == nullptr) {
    if (state_ == State::kIdle) {
      ++context_.stats.response_errors[static_cast<size_t>(http::Error::kBadResponse)];
      drain();
    }
    return;
  }
  received_anything_ = true;
  in_codec_ = true;
  codec_.feed(std::move(data));
  in_codec_ = false;
  settle();
}

void UpstreamConnection::on_transport_end() {
  if (state_ == State::kIdle) return drain();
  if (state_ != State::kBusy) return;
  in_codec_ = true;
  codec_.on_end_of_input();
  in_codec_ = false;
  if (exchange_ == nullptr) settle();
}

void UpstreamConnection::on_transport_failed(int) {
  Exchange* exchange = exchange_;
  const bool busy = state_ == State::kBusy;
  exchange_ = nullptr;
  if (state_ != State::kDraining) drain();
  if (busy && exchange != nullptr) exchange->on_upstream_failed(upstream::Outcome::kReset, http::Error::kTruncated);
}

void UpstreamConnection::on_transport_sent() {
  if (exchange_ != nullptr) exchange_->on_upstream_sent();
}

void UpstreamConnection::on_transport_output_ended() {
  if (exchange_ != nullptr) exchange_->on_upstream_output_ended();
}

void UpstreamConnection::on_transport_closed() { pool_.forget(*this); }  // Frees *this.

http::ResponseHead* UpstreamConnection::new_response_head(http::StreamId) {
  return exchange_ == nullptr ? nullptr : &exchange_->response_head();
}

void UpstreamConnection::on_interim_response(http::StreamId, http::ResponseHead& head) {
  if (exchange_ != nullptr) exchange_->on_interim_response(head);
}

void UpstreamConnection::on_response_head(http::StreamId, http::ResponseHead& head, bool end) {
  if (exchange_ != nullptr) exchange_->on_response_head(head, end);
}

void UpstreamConnection::on_response_body(http::StreamId, io::Slice data, bool end) {
  if (exchange_ != nullptr) exchange_->on_response_body(std::move(data), end);
}

void UpstreamConnection::on_response_trailers(http::StreamId, const http::HeaderList& trailers) {
  if (exchange_ != nullptr) exchange_->on_response_trailers(trailers);
}

void UpstreamConnection::on_response_error(http::StreamId, http::Error error) {
  ++context_.stats.response_errors[static_cast<size_t>(error)];
  if (exchange_ == nullptr) return;
  Exchange& exchange = *exchange_;
  exchange_ = nullptr;
  release_pending_ = true;
  reuse_ = false;
  // A peer that closed without a byte is the same event as a reset: the request may not have been read.
  exchange.on_upstream_failed(upstream::Outcome::kReset, error);
}

}  // namespace ringway::proxy
