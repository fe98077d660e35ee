#include "dataplane/proxy/downstream.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>

#include "dataplane/http/text.h"
#include "dataplane/proxy/h2_downstream.h"
#include "dataplane/tls/server_context.h"

namespace ringway::proxy {
namespace {

constexpr uint64_t kLingerNs = 2 * kNsPerSecond;      // As nginx's lingering_timeout is meant: long enough for our answer to arrive.
constexpr uint32_t kLingerBytesMax = 16 * 1024 * 1024;   // Above what is refused by size most of the time; kLingerNs bounds it too.

uint8_t format_peer(const io::SocketAddress& peer, std::span<char> out) {
  const void* address = peer.family() == AF_INET6 ? static_cast<const void*>(&peer.v6.sin6_addr) : &peer.v4.sin_addr;
  int family = peer.family();
  if (family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&peer.v6.sin6_addr)) {
    address = &peer.v6.sin6_addr.s6_addr[12];   // A dual-stack listener's IPv4 client.
    family = AF_INET;
  }
  if (family != AF_INET && family != AF_INET6) return static_cast<uint8_t>(std::string_view("unix").copy(out.data(), 4));
  if (inet_ntop(family, address, out.data(), out.size()) == nullptr) return 0;
  return static_cast<uint8_t>(std::strlen(out.data()));
}

}  // namespace

Downstream::Downstream(Context& context, AcceptedOwner& owner, std::shared_ptr<const config::Listener> listener)
    : context_(context), owner_(owner), listener_(std::move(listener)), transport_(context, *this),
      codec_(*this, transport_.output(), context.ring.output_pool(), listener_->http->limits) {
  timer_.bind<&Downstream::on_timer>(*this);
}

Downstream::~Downstream() = default;

void Downstream::start(io::Socket socket, const io::SocketAddress& peer, io::SliceQueue early) {
  std::array<char, INET6_ADDRSTRLEN> text;
  peer_size_ = format_peer(peer, text);
  if (peer_size_ > peer_text_.size()) peer_long_ = std::make_unique<char[]>(peer_size_);
  std::copy_n(text.data(), peer_size_, peer_long_ == nullptr ? peer_text_.data() : peer_long_.get());
  port_size_ = static_cast<uint8_t>(
      std::to_chars(port_text_.data(), port_text_.data() + port_text_.size(), listener_->public_port).ptr -
      port_text_.data());
  ++context_.stats.connections_active;
  if (listener_->kind == config::ListenerKind::kHttps) {
    state_ = State::kHandshaking;
    transport_.start(socket, tls::Session::accept(listener_->tls, context_.ring.output_pool()));
    wait_for(Waiting::kHandshake, policy().tls_handshake_timeout_ns);
  } else {
    transport_.start(socket, nullptr);
    wait_for(Waiting::kHead, policy().header_timeout_ns);
  }
  transport_.inject(std::move(early));
}

bool Downstream::last_request() const {
  // After a half-close what was pipelined before it is still answered.
  return context_.draining || requests_ >= policy().keep_alive_requests_max ||
         (transport_.input_ended() && codec_.buffered() == 0);
}

bool Downstream::misdirected(std::string_view authority) const {
  const std::string_view made_for = server_name();
  if (made_for.empty()) return false;
  const size_t colon = authority.rfind(':');   // What follows is a port, but in an IPv6 literal, which no certificate is chosen by.
  const std::string_view host = colon == std::string_view::npos ? authority : authority.substr(0, colon);
  return !http::equals_ignoring_case(host, made_for) && !listener_->tls->covers(made_for, host);
}

void Downstream::close_tunnels(uint64_t grace_ns) {
  if (state_ != State::kServing) return;
  if (h2_ != nullptr) return h2_->close_tunnels(grace_ns);
  if (exchange_ != nullptr) exchange_->close_tunnel(grace_ns);
}

// ---- events of the transport ----

void Downstream::on_transport_open() {
  ++context_.stats.tls_handshakes;
  if (transport_.tls()->resumed()) ++context_.stats.tls_resumptions;
  state_ = State::kServing;
  protocol_known_ = true;
  wait_for(Waiting::kHead, policy().header_timeout_ns);
  if (transport_.tls()->alpn() == "h2") begin_http2();
}

void Downstream::on_transport_data(io::Slice data) {
  if (state_ == State::kLingering || closing_) {
    lingered_bytes_ += data.size();
    if (lingered_bytes_ > kLingerBytesMax) drain();
    return;
  }
  if (state_ != State::kServing) return;
  if (!protocol_known_) [[unlikely]] {
    protocol_known_ = !policy().http2;
    if (policy().http2 && detect_http2(data)) return h2_ == nullptr ? void() : feed_http2(std::move(data));
  }
  if (h2_ != nullptr) [[unlikely]] return feed_http2(std::move(data));
  set_idle(false);
  in_codec_ = true;
  codec_.feed(std::move(data));
  in_codec_ = false;
  after_event();
  // A request behind the one being served waits in the codec, in receive buffers that all connections live on: what comes behind
  // it waits in the kernel.
  if (state_ == State::kServing && exchange_ != nullptr && exchange_->request_ended() && codec_.buffered() > 0) {
    transport_.pause_reading();
  }
}

void Downstream::on_transport_end() {
  if (state_ == State::kLingering || state_ == State::kHandshaking) return drain();
  if (closing_ || state_ != State::kServing) return;
  if (h2_ != nullptr) {
    in_codec_ = true;
    h2_->codec().on_end_of_input();
    in_codec_ = false;
    return after_http2_event();
  }
  in_codec_ = true;
  codec_.on_end_of_input();
  in_codec_ = false;
  after_event();
  if (state_ == State::kServing && !closing_ && exchange_ == nullptr) begin_closing();
}

void Downstream::on_transport_failed(int) {
  if (state_ == State::kHandshaking) {
    ++context_.stats.tls_failures;
    if (transport_.tls()->failure() == "http_request" && transport_.fall_back_to_clear()) return refuse_plain();
  }
  drain();
}

// Clear-text HTTP where TLS is spoken: told so, as nginx does, which shows people what is wrong.
void Downstream::refuse_plain() {
  state_ = State::kServing;
  protocol_known_ = true;
  in_codec_ = true;
  codec_.refuse_head(http::Error::kPlainOnTls);
  in_codec_ = false;
  after_event();
}

void Downstream::on_transport_sent() {
  if (exchange_ != nullptr && !exchange_->done()) exchange_->on_downstream_sent();
  if (waiting_ == Waiting::kWrite) waiting_ = Waiting::kNothing;   // Progress: the stall is counted anew.
  if (h2_ != nullptr) [[unlikely]] {
    h2_->sent_ns = context_.now_ns();
    return after_http2_event();
  }
  after_event();
}

void Downstream::on_transport_output_ended() {
  if (!closing_) return;                                 // A tunnel's half-close.
  if (transport_.input_ended()) return drain();
  state_ = State::kLingering;
  transport_.resume_reading();
  wait_for(Waiting::kLinger, kLingerNs);
}

void Downstream::on_transport_closed() {
  --context_.stats.connections_active;
  owner_.on_accepted_closed(*this);                      // Frees *this.
}

// ---- events of the codec ----

http::RequestHead* Downstream::new_request_head(http::StreamId stream) {
  CHECK(exchange_ == nullptr);
  exchange_ = context_.take_exchange();
  exchange_->begin(*this, stream);
  return &exchange_->request_head();
}

void Downstream::on_request_head(http::StreamId, http::RequestHead&, bool end) {
  CHECK(exchange_ != nullptr);
  ++requests_;
  timer_.cancel();
  waiting_ = Waiting::kNothing;
  exchange_->on_request_head(end);
}

void Downstream::on_request_body(http::StreamId, io::Slice data, bool end) {
  if (exchange_ != nullptr) exchange_->on_request_body(std::move(data), end);
}

void Downstream::on_request_trailers(http::StreamId, const http::HeaderList& trailers) {
  if (exchange_ != nullptr) exchange_->on_request_trailers(trailers);
}

void Downstream::on_request_error(http::StreamId stream, http::Error error) {
  if (exchange_ == nullptr) new_request_head(stream);
  exchange_->on_request_error(error);
}

// ---- the exchange ----

void Downstream::pause_request(http::StreamId stream) {
  if (h2_ != nullptr) return h2_->codec().pause(stream);   // Its window stays shut; the others go on.
  held_ = true;
  codec_.pause(stream);
  transport_.pause_reading();
}

void Downstream::resume_request(http::StreamId stream) {
  if (h2_ != nullptr) {
    const bool within = std::exchange(in_codec_, true);
    h2_->codec().resume(stream);
    in_codec_ = within;
    return after_http2_event();
  }
  held_ = false;
  const bool nested = std::exchange(in_codec_, true);
  codec_.resume(stream);   // What was kept may be enough to be paused again.
  in_codec_ = nested;
  if (!held_) transport_.resume_reading();
  after_event();
}

void Downstream::on_exchange_done(Exchange& exchange) {
  if (h2_ != nullptr) {
    h2_->on_exchange_done(exchange);
    return after_http2_event();
  }
  DCHECK(exchange_ == &exchange);
  static_cast<void>(exchange);
  after_event();
}

void Downstream::after_event() {
  if (in_codec_ || state_ != State::kServing) return;
  // A pipelining client that does not read gets no further answers queued.
  while (exchange_ != nullptr && exchange_->done() && !closing_ &&
         (transport_.queued() < context_.high_water() || codec_.wants_close())) {
    finish_done_exchange();
    if (state_ != State::kServing) return;
  }
  watch();
}

void Downstream::finish_done_exchange() {
  Exchange* done = std::exchange(exchange_, nullptr);
  const http::StreamId stream = done->stream();
  context_.give_exchange(done);
  transport_.prefer_bulk(false);
  if (codec_.wants_close()) return begin_closing();
  in_codec_ = true;
  codec_.finish(stream);       // The next pipelined request may begin in here.
  in_codec_ = false;
  if (exchange_ == nullptr || !exchange_->request_ended() || codec_.buffered() == 0) transport_.resume_reading();
  if (exchange_ == nullptr && (context_.draining || transport_.input_ended() || codec_.wants_close())) begin_closing();
}

void Downstream::begin_closing() {
  if (closing_) return;
  closing_ = true;
  set_idle(false);
  // After a tunnel's half-close our side has ended already, and nothing will tell again.
  if (transport_.output_ended()) return on_transport_output_ended();
  transport_.end_output();
  transport_.resume_reading();
  wait_for(Waiting::kWrite, policy().write_stall_timeout_ns);
}

void Downstream::drain_gracefully() {
  if (state_ == State::kHandshaking) return drain();
  if (state_ != State::kServing || closing_) return;
  if (h2_ != nullptr) return drain_http2();
  codec_.drain();
  if (exchange_ == nullptr && codec_.idle()) begin_closing();
}

void Downstream::drain() {
  if (state_ == State::kDraining) return;
  state_ = State::kDraining;
  set_idle(false);
  timer_.cancel();
  if (h2_ != nullptr) h2_->drop_exchanges();
  if (exchange_ != nullptr) {
    exchange_->on_downstream_gone();
    context_.give_exchange(std::exchange(exchange_, nullptr));
  }
  transport_.drain();
}

// ---- time ----

void Downstream::set_idle(bool idle) {
  if (idle_ == idle) return;
  idle_ = idle;
  idle ? ++context_.stats.connections_idle : --context_.stats.connections_idle;
}

void Downstream::watch() {
  if (closing_) {
    if (waiting_ == Waiting::kNothing) wait_for(Waiting::kWrite, policy().write_stall_timeout_ns);
    return;
  }
  if (exchange_ != nullptr && exchange_->head_seen() && !exchange_->done()) return;   // Its own timer watches.
  if (transport_.queued() > 0 && exchange_ != nullptr && exchange_->done()) {
    if (waiting_ != Waiting::kWrite) wait_for(Waiting::kWrite, policy().write_stall_timeout_ns);
    return;
  }
  if (exchange_ != nullptr || !codec_.idle()) {
    // The head as a whole has one deadline: more bytes do not put it off (slowloris).
    if (waiting_ != Waiting::kHead) wait_for(Waiting::kHead, policy().header_timeout_ns);
    return;
  }
  if (requests_ > 0 && waiting_ != Waiting::kIdle) {
    set_idle(true);
    wait_for(Waiting::kIdle, policy().idle_timeout_ns);
  }
}

void Downstream::wait_for(Waiting what, uint64_t timeout_ns) {
  waiting_ = what;
  context_.timers.arm(timer_, context_.now_ns() + timeout_ns);
}

void Downstream::on_timer() {
  const Waiting what = std::exchange(waiting_, Waiting::kNothing);
  if (h2_ != nullptr && !closing_ && state_ == State::kServing) return on_http2_timer(what);
  switch (what) {
    case Waiting::kNothing:
      return;
    case Waiting::kHandshake:
      ++context_.stats.timeouts_handshake;
      return drain();
    case Waiting::kHead:
      ++context_.stats.timeouts_header;
      if (exchange_ == nullptr && codec_.idle()) return drain();   // Not a byte came: nothing to answer.
      in_codec_ = true;
      codec_.refuse_head(http::Error::kTimeout);
      in_codec_ = false;
      return after_event();
    case Waiting::kIdle:
      ++context_.stats.timeouts_idle;
      return begin_closing();
    case Waiting::kWrite:
      ++context_.stats.timeouts_write;
      return drain();
    case Waiting::kLinger:
      return drain();
    case Waiting::kStall:
    case Waiting::kGoaway:
      return;   // HTTP/2's.
  }
}

}  // namespace ringway::proxy
