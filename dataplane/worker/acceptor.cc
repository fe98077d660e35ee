#include "dataplane/worker/acceptor.h"

#include <algorithm>

#include "dataplane/net/address.h"
#include "dataplane/proxy/tcp_relay.h"

namespace ringway::worker {

Acceptor::Acceptor(proxy::Context& context, std::shared_ptr<const config::Listener> listener, std::string address,
                   io::Socket socket, uint32_t workers)
    : context_(context), listener_(std::move(listener)), address_(std::move(address)), socket_(socket),
      workers_(workers) {
  CHECK(workers > 0 && socket.valid());
  io::bind<&Acceptor::on_accept>(accept_, *this);
  io::bind<&Acceptor::on_close>(close_, *this);
  retry_.bind<&Acceptor::on_retry>(*this);
  if (const auto local = net::parse_address(address_)) local_ = *local;
}

Acceptor::~Acceptor() { CHECK(connections_ == 0 && first_ == nullptr); }

void Acceptor::start() {
  CHECK(state_ == State::kPaused);
  state_ = State::kAccepting;
  context_.ring.accept(accept_, socket_);
}

void Acceptor::update(std::shared_ptr<const config::Listener> listener) { listener_ = std::move(listener); }

bool Acceptor::full() const {
  return connections_ >= std::max(listener_->connections_max() / workers_, 1u) ||
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
  const uint32_t limit = listener_->connections_per_address_max();
  if (limit == 0) return false;
  const auto found = by_address_.find(std::string(address));
  // Workers do not share counts: each admits its share of the limit, rounded up.
  return found != by_address_.end() && found->second >= (limit + workers_ - 1) / workers_;
}

void Acceptor::limit_address(proxy::Accepted& connection) {
  if (listener_->connections_per_address_max() == 0) return;
  const std::string_view peer = connection.peer_text();
  const bool over = over_address_limit(peer);
  ++by_address_[std::string(peer)];
  connection.counted = true;
  if (!over) return;
  ++context_.stats.connections_refused;
  connection.drain();
}

void Acceptor::admit(io::Socket socket) {
  ++connections_;
  const proxy::Client client{.peer = accept_.peer, .local = local_, .server_name = {}};
  if (listener_->prelude == nullptr) {
    return serve(listener_, listener_->is_http() ? nullptr : &listener_->stream_cluster, socket, client, {});
  }
  auto* prelude = new proxy::Prelude(context_, *this, listener_);   // Freed in on_prelude_read or on_accepted_closed.
  link(*prelude);
  prelude->start(socket, client);
}

bool Acceptor::on_prelude_read(proxy::Prelude& prelude, io::Socket socket, const proxy::Client& client,
                               std::string_view server_name, io::SliceQueue& early) {
  const std::shared_ptr<const config::Listener> listener = prelude.listener();
  const config::ClusterTarget* relay_to = listener->is_http() ? nullptr : &listener->stream_cluster;
  if (listener->passthrough != nullptr) {
    if (const auto* passes = listener->passthrough->find(server_name)) relay_to = passes;
  }
  if (relay_to != nullptr && relay_to->slot == route::kNoCluster) return false;
  proxy::Client named = client;
  named.server_name = server_name;
  unlink(prelude);
  serve(listener, relay_to, socket, named, std::move(early));
  delete &prelude;
  return true;
}

// `relay_to`: nullptr for HTTP. Each is freed in on_accepted_closed.
void Acceptor::serve(std::shared_ptr<const config::Listener> listener, const config::ClusterTarget* relay_to,
                     io::Socket socket, const proxy::Client& client, io::SliceQueue early) {
  if (relay_to == nullptr) {
    auto* downstream = new proxy::Downstream(context_, *this, std::move(listener));
    link(*downstream);
    downstream->start(socket, client.peer, std::move(early));
    return limit_address(*downstream);
  }
  auto* relay = new proxy::TcpRelay(context_, *this, std::move(listener), *relay_to);
  link(*relay);
  relay->start(socket, client, std::move(early));
  limit_address(*relay);
}

void Acceptor::link(proxy::Accepted& connection) {
  connection.next = first_;
  if (first_ != nullptr) first_->previous = &connection;
  first_ = &connection;
}

void Acceptor::unlink(proxy::Accepted& connection) {
  (connection.previous == nullptr ? first_ : connection.previous->next) = connection.next;
  if (connection.next != nullptr) connection.next->previous = connection.previous;
}

void Acceptor::on_accepted_closed(proxy::Accepted& connection) {
  unlink(connection);
  CHECK(connections_ > 0);
  --connections_;
  if (connection.counted) {
    const auto found = by_address_.find(std::string(connection.peer_text()));
    if (found != by_address_.end() && --found->second == 0) by_address_.erase(found);
  }
  delete &connection;
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
  for (proxy::Accepted* at = first_; at != nullptr; at = at->next) at->drain_gracefully();
}

void Acceptor::close_tunnels(uint64_t grace_ns) {
  for (proxy::Accepted* at = first_; at != nullptr; at = at->next) at->close_tunnels(grace_ns);
}

void Acceptor::drain() {
  for (proxy::Accepted* at = first_; at != nullptr; at = at->next) at->drain();
}

}  // namespace ringway::worker
