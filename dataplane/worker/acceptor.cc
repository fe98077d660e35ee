#include "dataplane/worker/acceptor.h"

#include <algorithm>

namespace ringway::worker {

Acceptor::Acceptor(proxy::Context& context, std::shared_ptr<const config::Listener> listener, std::string address,
                   io::Socket socket, uint32_t workers)
    : context_(context), listener_(std::move(listener)), address_(std::move(address)), socket_(socket),
      workers_(workers) {
  CHECK(workers > 0 && socket.valid());
  io::bind<&Acceptor::on_accept>(accept_, *this);
  io::bind<&Acceptor::on_close>(close_, *this);
  retry_.bind<&Acceptor::on_retry>(*this);
}

Acceptor::~Acceptor() { CHECK(connections_ == 0 && first_ == nullptr); }

void Acceptor::start() {
  CHECK(state_ == State::kPaused);
  state_ = State::kAccepting;
  context_.ring.accept(accept_, socket_);
}

void Acceptor::update(std::shared_ptr<const config::Listener> listener) { listener_ = std::move(listener); }

bool Acceptor::full() const {
  return connections_ >= std::max(listener_->http->connections_max / workers_, 1u) ||
         context_.stats.connections_active >= context_.connections_max;
}

void Acceptor::on_accept(io::Completion&& completion) {
  if (completion.result >= 0) {
    ++context_.stats.connections_accepted;
    // Also one that overtook a cancel: its client is connected and is served.
    admit(io::Socket{completion.result});
  }
  if (accept_.in_flight) {
    if (state_ == State::kAccepting && full()) {
      state_ = State::kPaused;
      ++context_.stats.accept_paused;
      context_.ring.cancel(accept_);
    }
    return;
  }
  if (state_ == State::kStopping) {
    context_.ring.close(close_, socket_);
    return;
  }
  if (state_ == State::kAccepting) {   // EMFILE and the like.
    state_ = State::kPaused;
    ++context_.stats.accept_paused;
  }
  context_.timers.arm(retry_, context_.now_ns() + kRetryNs);
}

void Acceptor::on_retry() {
  if (state_ != State::kPaused || accept_.in_flight) return;
  if (full()) {
    context_.timers.arm(retry_, context_.now_ns() + kRetryNs);
    return;
  }
  start();
}

bool Acceptor::over_address_limit(std::string_view address) const {
  const uint32_t limit = listener_->http->connections_per_address_max;
  if (limit == 0) return false;
  const auto found = by_address_.find(std::string(address));
  // Workers do not share counts: each admits its share of the limit, rounded up.
  return found != by_address_.end() && found->second >= (limit + workers_ - 1) / workers_;
}

void Acceptor::admit(io::Socket socket) {
  auto* downstream = new proxy::Downstream(context_, *this, listener_);   // Freed in on_downstream_closed.
  downstream->next = first_;
  if (first_ != nullptr) first_->previous = downstream;
  first_ = downstream;
  ++connections_;
  downstream->start(socket, accept_.peer);
  const std::string_view peer = downstream->peer_text();
  const bool over = over_address_limit(peer);
  if (listener_->http->connections_per_address_max != 0) ++by_address_[std::string(peer)];
  if (over) {
    ++context_.stats.connections_refused;
    downstream->drain();
  }
}

void Acceptor::on_downstream_closed(proxy::Downstream& downstream) {
  (downstream.previous == nullptr ? first_ : downstream.previous->next) = downstream.next;
  if (downstream.next != nullptr) downstream.next->previous = downstream.previous;
  CHECK(connections_ > 0);
  --connections_;
  if (!by_address_.empty()) {
    const auto found = by_address_.find(std::string(downstream.peer_text()));
    if (found != by_address_.end() && --found->second == 0) by_address_.erase(found);
  }
  delete &downstream;
}

void Acceptor::stop_accepting() {
  if (state_ == State::kStopping || state_ == State::kClosed) return;
  state_ = State::kStopping;
  retry_.cancel();
  if (accept_.in_flight) {
    context_.ring.cancel(accept_);   // Goes on in on_accept.
  } else {
    context_.ring.close(close_, socket_);
  }
}

void Acceptor::on_close(io::Completion&&) { state_ = State::kClosed; }

void Acceptor::drain_gracefully() {
  for (proxy::Downstream* at = first_; at != nullptr; at = at->next) at->drain_gracefully();
}

void Acceptor::drain() {
  for (proxy::Downstream* at = first_; at != nullptr; at = at->next) at->drain();
}

}  // namespace ringway::worker
