#include "dataplane/upstream/health_probe.h"

#include <utility>

#include "dataplane/tls/client_context.h"

namespace ringway::upstream {

HealthProbe::HealthProbe(io::Ring& ring, const HealthCheckPolicy& policy,
                         const EndpointState& endpoint, Owner& owner)
    : ring_(ring), policy_(policy), endpoint_(endpoint), owner_(owner) {
  io::bind<&HealthProbe::on_connect>(connect_, *this);
  io::bind<&HealthProbe::on_send>(send_, *this);
  io::bind<&HealthProbe::on_recv>(recv_, *this);
  io::bind<&HealthProbe::on_close>(close_, *this);
}

HealthProbe::~HealthProbe() { CHECK(state_ == State::kNew || state_ == State::kDone); }

void HealthProbe::start() {
  CHECK(state_ == State::kNew);
  const auto socket = ring_.open_stream(endpoint_.address.family(), {});
  if (!socket) {
    state_ = State::kDone;
    return owner_.on_probe_done(*this, Verdict::kUnknown, "no socket");  // May destroy *this.
  }
  socket_ = *socket;
  state_ = State::kConnecting;
  ring_.connect(connect_, socket_, endpoint_.address);
}

void HealthProbe::time_out() { conclude(Verdict::kFail, "timeout"); }
void HealthProbe::drain() { conclude(Verdict::kUnknown, "drained"); }

void HealthProbe::on_connect(io::Completion&& completion) {
  if (state_ == State::kClosing) return close_if_quiet();
  if (completion.result < 0) return conclude(Verdict::kFail, "connect failed");
  if (policy_.kind == HealthCheckPolicy::Kind::kTcp) return conclude(Verdict::kPass, "");
  begin_exchange();
}

void HealthProbe::begin_exchange() {
  state_ = State::kExchanging;
  exchange_ = std::make_unique<HealthExchange>(ring_, policy_, endpoint_);
  if (is_tls(endpoint_.protocol)) {
    tls_ = tls::Session::connect(tls::ClientContext::of_upstreams(is_http2(endpoint_.protocol)),
                                 ring_.output_pool(), nullptr);
    tls_->start(cipher_);
  } else {
    exchange_->begin();
  }
  ring_.recv(recv_, socket_, io::RecvMode::kOnce);
  send();
}

// What there is to send, one send at a time.
void HealthProbe::send() {
  if (send_.in_flight) return;
  if (tls_ != nullptr && tls_->state() == tls::SessionState::kOpen && !exchange_->output.empty() &&
      !tls_->send(exchange_->output, cipher_)) {
    return conclude(Verdict::kFail, "TLS failed");
  }
  const io::SliceQueue& queue = tls_ == nullptr ? exchange_->output : cipher_;
  if (queue.empty()) return;
  const io::Slice& first = queue.front();
  vector_ = {const_cast<std::byte*>(first.data()), first.size()};
  ring_.send(send_, socket_, {&vector_, 1});
}

void HealthProbe::on_send(io::Completion&& completion) {
  if (state_ == State::kClosing) return close_if_quiet();
  if (completion.result <= 0) return;  // The receive tells why, or an answer that came before.
  io::SliceQueue& queue = tls_ == nullptr ? exchange_->output : cipher_;
  queue.consume(static_cast<size_t>(completion.result));
  send();
}

void HealthProbe::on_recv(io::Completion&& completion) {
  if (state_ == State::kClosing) return close_if_quiet();
  if (completion.result < 0) return conclude(Verdict::kFail, "connection broken");
  if (completion.result == 0) {
    exchange_->on_end_of_input();
  } else if (tls_ == nullptr) {
    exchange_->feed(std::move(completion.data));
  } else if (!receive_tls(std::move(completion.data))) {
    return conclude(Verdict::kFail, "TLS failed");
  }
  if (exchange_->verdict) return conclude(*exchange_->verdict, exchange_->reason);
  ring_.recv(recv_, socket_, io::RecvMode::kOnce);
  send();
}

bool HealthProbe::receive_tls(io::Slice data) {
  io::SliceQueue plain;
  const bool was_open = tls_->state() == tls::SessionState::kOpen;
  const tls::SessionState now = tls_->receive(std::move(data), plain, cipher_);
  if (now == tls::SessionState::kFailed) return false;
  if (!was_open && now == tls::SessionState::kOpen) exchange_->begin();
  while (!plain.empty()) exchange_->feed(plain.pop());
  if (now == tls::SessionState::kClosed) exchange_->on_end_of_input();
  return true;
}

void HealthProbe::conclude(Verdict verdict, std::string_view reason) {
  if (state_ == State::kClosing || state_ == State::kDone) return;
  CHECK(state_ != State::kNew);
  verdict_ = verdict;
  reason_ = reason;
  state_ = State::kClosing;
  if (connect_.in_flight) ring_.cancel(connect_);
  if (send_.in_flight) ring_.cancel(send_);
  if (recv_.in_flight) ring_.cancel(recv_);
  close_if_quiet();
}

void HealthProbe::close_if_quiet() {
  if (connect_.in_flight || send_.in_flight || recv_.in_flight || close_.in_flight) return;
  exchange_.reset();
  cipher_.clear();
  ring_.close(close_, socket_);
}

void HealthProbe::on_close(io::Completion&&) {
  state_ = State::kDone;
  owner_.on_probe_done(*this, verdict_, reason_);  // May destroy *this.
}

}  // namespace ringway::upstream
