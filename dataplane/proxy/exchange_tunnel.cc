// The tunnel after 101: bytes both ways, and its end. Frames of a WebSocket are followed (not read)
// so that a Close frame of ours can go between two of them: docs/design/0028-websocket.md.
#include <algorithm>

#include "dataplane/http/hop_by_hop.h"
#include "dataplane/http/text.h"
#include "dataplane/proxy/downstream.h"
#include "dataplane/proxy/exchange.h"
#include "dataplane/proxy/upstream_connection.h"

namespace ringway::proxy {
namespace {

// For both sides to say Close too, when a timeout ends a WebSocket.
constexpr uint64_t kCloseGraceNs = 2 * kNsPerSecond;

template <size_t kBytes>
io::Slice slice_of(const std::array<char, kBytes>& bytes, io::BufferPool& pool) {
  io::SliceQueue queue;
  queue.append_copy(pool, {bytes.data(), bytes.size()});
  return queue.pop();
}

}  // namespace

bool WebSocketTunnel::Way::pass(io::Slice& data, bool closing) {
  const std::string_view bytes = data.view();
  if (said) {
    frames.follow(bytes);
    data.reset();
    return false;
  }
  const size_t before = frames.follow(bytes, closing);
  if (!closing || !frames.at_boundary() || frames.close_seen()) {
    frames.follow(bytes.substr(before));
    return false;
  }
  frames.follow(bytes.substr(before));
  before == 0 ? data.reset() : data.truncate(static_cast<uint32_t>(before));
  said = true;
  return true;
}

void Exchange::start_tunnel() {
  tunnel_ = true;
  response_started_ = true;
  request_ended_ = false;  // From here on the client's end is its half-close.
  tunnel_begin_ns_ = context_.now_ns();
  if (http::equals_ignoring_case(request_.upgrade_protocol, "websocket")) {
    websocket_ = std::make_unique<WebSocketTunnel>();
  }
  ++context_.stats.tunnels_active;
  http::ServerCodec& codec = downstream_->codec();
  if (!response_.headers.has(http::HeaderName::kDate))
    response_.headers.add(http::HeaderName::kDate, context_.date());
  http::remove_hop_by_hop(response_);
  codec.send_head(stream_, response_, false, false);
  downstream_->mark_dirty();
  arm_timer();
  upstream_->codec().switch_to_tunnel(upstream_stream_);
  codec.switch_to_tunnel(
      stream_);  // May deliver what the client sent early, for which it was not read any further.
  if (phase_ != Phase::kDone && !request_paused_) downstream_->resume_request(stream_);
}

void Exchange::on_tunnel_request(io::Slice data, bool end) {
  if (request_ended_) return;  // Behind its answer to our Close.
  WebSocketTunnel::Way* way = websocket_ == nullptr ? nullptr : &websocket_->up;
  const bool says_close =
      way != nullptr && way->pass(data, tunnel_close_by_ns_ != 0 && !websocket_->peers_close());
  if (way != nullptr && way->answered()) end = true;
  request_ended_ = end;
  if (!data.empty() || (end && !says_close)) forward_body(std::move(data), end && !says_close);
  if (says_close) say_close_up(end);
  pause_request_if_full();
  end_tunnel_if_through();
}

void Exchange::on_tunnel_response(io::Slice data, bool end) {
  if (response_ended_) return;
  WebSocketTunnel::Way* way = websocket_ == nullptr ? nullptr : &websocket_->down;
  const bool says_close =
      way != nullptr && way->pass(data, tunnel_close_by_ns_ != 0 && !websocket_->peers_close());
  if (way != nullptr && way->answered()) end = true;
  if (!data.empty() || (end && !says_close))
    downstream_->codec().send_body(stream_, std::move(data), end && !says_close);
  if (says_close) say_close_down(end);
  downstream_->mark_dirty();
  if (end) return on_response_end();
  pause_response_if_full();
}

void Exchange::say_close_up(bool end) {
  websocket_->up.said = true;
  const auto frame =
      http::websocket_going_away_masked(static_cast<uint32_t>(context_.random.next()));
  forward_body(slice_of(frame, context_.ring.output_pool()), end);
}

void Exchange::say_close_down(bool end) {
  websocket_->down.said = true;
  downstream_->codec().send_body(
      stream_, slice_of(http::websocket_going_away(), context_.ring.output_pool()), end);
  downstream_->mark_dirty();
}

void Exchange::close_tunnel(uint64_t grace_ns) {
  if (!tunnel_ || phase_ == Phase::kDone || tunnel_close_by_ns_ != 0) return;
  if (websocket_ == nullptr || websocket_->lost()) return;
  tunnel_close_by_ns_ = context_.now_ns() + grace_ns;
  // Where one side has said Close already the other's answer is on its way: nothing is to be added.
  if (!websocket_->peers_close()) {
    if (websocket_->up.frames.at_boundary() && !request_ended_) say_close_up(false);
    if (websocket_->down.frames.at_boundary() && !response_ended_) say_close_down(false);
  }
  arm_timer();
}

void Exchange::end_tunnel_if_through() {
  // What the client sent last is on its way as long as the upstream's side is not shut down behind
  // it.
  if (!request_ended_ || !response_ended_ || !upstream_->output_ended(upstream_stream_)) return;
  end_try(upstream::Outcome::kSuccess);
  let_go_of_upstream(false);
  finish();
}

// ---- time ----

uint64_t Exchange::next_tunnel_deadline() const {
  if (tunnel_close_by_ns_ != 0) return tunnel_close_by_ns_;
  const route::Timeouts& timeouts = route_->timeouts;
  const uint64_t idle_ns = timeouts.tunnel_idle_ns != 0
                               ? timeouts.tunnel_idle_ns
                               : downstream_->policy().tunnel_idle_timeout_ns;
  const uint64_t idle_at_ns = std::max(upstream_read_ns_, downstream_read_ns_) + idle_ns;
  if (timeouts.tunnel_lifetime_ns == 0) return idle_at_ns;
  return std::min(idle_at_ns, tunnel_begin_ns_ + timeouts.tunnel_lifetime_ns);
}

bool Exchange::expire_tunnel(uint64_t now_ns) {
  if (now_ns < next_tunnel_deadline()) return false;
  if (tunnel_close_by_ns_ == 0) {
    const uint64_t lifetime_ns = route_->timeouts.tunnel_lifetime_ns;
    const bool too_old = lifetime_ns != 0 && now_ns >= tunnel_begin_ns_ + lifetime_ns;
    ++(too_old ? context_.stats.timeouts_total : context_.stats.timeouts_idle);
    close_tunnel(kCloseGraceNs);
    if (tunnel_close_by_ns_ != 0) return phase_ == Phase::kDone;
  }
  break_off();
  return true;
}

}  // namespace ringway::proxy
