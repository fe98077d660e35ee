// The way down: interim responses, head, body, end; and the tunnel after 101.
#include "dataplane/http/hop_by_hop.h"
#include "dataplane/proxy/downstream.h"
#include "dataplane/proxy/exchange.h"
#include "dataplane/proxy/upstream_connection.h"

namespace ringway::proxy {
namespace {

constexpr uint64_t kBulkBytes = 64 * 1024;

}  // namespace

void Exchange::on_interim_response(http::ResponseHead& head) {
  if (phase_ == Phase::kDone) return;
  upstream_read_ns_ = context_.now_ns();
  // 100 was answered by us; what else there is (103) an HTTP/1.0 client does not understand (RFC 9110 section 15.2).
  if (head.status == 100 || request_.version == http::Version::k10) return;
  http::remove_hop_by_hop(head);
  downstream_->codec().send_interim(stream_, head.status, head.headers);
  downstream_->mark_dirty();
}

void Exchange::on_response_head(http::ResponseHead& head, bool end) {
  if (phase_ == Phase::kDone) return;
  CHECK(!response_headed_);
  response_headed_ = true;
  upstream_read_ns_ = downstream_write_ns_ = context_.now_ns();
  upstream_duration_ns_ = context_.now_ns() - request_sent_ns_;
  if (upstream_duration_ns_ == 0) upstream_duration_ns_ = 1;   // Within one loop turn; 0 means "no upstream".
  retry_.stop_keeping();
  status_ = head.status;
  if (head.status == 101) return start_tunnel();
  prepare_response(head);
  const bool close = !request_ended_ || !request_.keep_alive || downstream_->last_request();
  downstream_->codec().send_head(stream_, head, end, close);
  downstream_->mark_dirty();
  response_started_ = true;
  if (head.body.kind == http::BodyKind::kKnown && head.body.bytes >= kBulkBytes) upstream_->prefer_bulk(true);
  if (end) on_response_end();
}

void Exchange::prepare_response(http::ResponseHead& head) {
  http::remove_hop_by_hop(head);
  head.headers.remove(http::HeaderName::kServer);   // As ingress-nginx: allow-backend-server-header is false.
  if (!head.headers.has(http::HeaderName::kDate)) head.headers.add(http::HeaderName::kDate, context_.date());
  const std::string& hsts = downstream_->policy().hsts;
  if (!hsts.empty() && downstream_->is_tls()) head.headers.set(http::HeaderName::kStrictTransportSecurity, hsts);
}

void Exchange::on_response_body(io::Slice data, bool end) {
  if (phase_ == Phase::kDone) return;
  upstream_read_ns_ = context_.now_ns();
  if (downstream_->queued() == 0) downstream_write_ns_ = context_.now_ns();   // A stall is counted from here.
  response_bytes_ += data.size();
  if (response_bytes_ >= kBulkBytes && !tunnel_) upstream_->prefer_bulk(true);
  downstream_->codec().send_body(stream_, std::move(data), end);
  downstream_->mark_dirty();
  if (end) return on_response_end();
  pause_response_if_full();
}

void Exchange::on_response_trailers(const http::HeaderList& trailers) {
  if (phase_ == Phase::kDone) return;
  upstream_read_ns_ = context_.now_ns();
  downstream_->codec().send_trailers(stream_, trailers);
  downstream_->mark_dirty();
  on_response_end();
}

void Exchange::pause_response_if_full() {
  if (response_paused_ || upstream_ == nullptr || downstream_->queued() < context_.high_water()) return;
  response_paused_ = true;
  upstream_->pause_response();
}

void Exchange::on_response_end() {
  response_ended_ = true;
  if (tunnel_) {
    downstream_->end_output();
    return end_tunnel_if_through();
  }
  const bool server_error = status_ == 502 || status_ == 503 || status_ == 504;
  end_try(server_error ? upstream::Outcome::kServerError : upstream::Outcome::kSuccess);
  let_go_of_upstream(request_ended_);
  finish();
}

void Exchange::start_tunnel() {
  tunnel_ = true;
  response_started_ = true;
  request_ended_ = false;   // From here on the client's end is its half-close.
  ++context_.stats.tunnels_active;
  http::ServerCodec& codec = downstream_->codec();
  if (!response_.headers.has(http::HeaderName::kDate)) response_.headers.add(http::HeaderName::kDate, context_.date());
  http::remove_hop_by_hop(response_);
  codec.send_head(stream_, response_, false, false);
  downstream_->mark_dirty();
  arm_timer();
  upstream_->codec().switch_to_tunnel(upstream_->stream());
  codec.switch_to_tunnel(stream_);   // May deliver what the client sent early, for which it was not read any further.
  if (phase_ != Phase::kDone && !request_paused_) downstream_->resume_request(stream_);
}

void Exchange::end_tunnel_if_through() {
  // What the client sent last is on its way as long as the upstream's side is not shut down behind it.
  if (!request_ended_ || !response_ended_ || !upstream_->output_ended()) return;
  end_try(upstream::Outcome::kSuccess);
  let_go_of_upstream(false);
  finish();
}

}  // namespace ringway::proxy
