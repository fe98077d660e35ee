// The way down: interim responses, head, body, end.
#include "dataplane/http/hop_by_hop.h"
#include "dataplane/proxy/downstream.h"
#include "dataplane/proxy/exchange.h"
#include "dataplane/proxy/grpc.h"
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
  grpc_unavailable_ = grpc_ && end && is_grpc_unavailable(head);
  if (grpc_unavailable_ && retry_unavailable()) return;
  retry_.stop_keeping();
  status_ = head.status;
  if (end) note_grpc_code(head.headers);
  if (head.status == 101) return start_tunnel();
  prepare_response(head);
  if (grpc_web_.active()) grpc_web_.translate(head, end);
  const bool close = !request_ended_ || !request_.keep_alive || downstream_->last_request();
  downstream_->codec().send_head(stream_, head, end, close);
  downstream_->mark_dirty();
  response_started_ = true;
  if (head.body.kind == http::BodyKind::kKnown && head.body.bytes >= kBulkBytes) prefer_bulk_response();
  if (end) on_response_end();
}

// gRPC says UNAVAILABLE where HTTP has 503: another try where the route allows to repeat calls, which are POST.
bool Exchange::retry_unavailable() {
  const uint64_t now_ns = context_.now_ns();
  if (!route_->retry.non_idempotent || !retry_.allowed(upstream::Outcome::kReset, true, now_ns) ||
      !context_.load.try_spend_retry(*cluster_, route_->retry.budget_percent, now_ns)) {
    return false;
  }
  response_headed_ = grpc_unavailable_ = false;
  end_try(upstream::Outcome::kServerError);
  let_go_of_upstream(request_ended_);
  context_.stats.routes.add_retry(metrics_slot());
  start_try();
  return true;
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
  if (downstream_->queued(stream_) == 0) downstream_write_ns_ = context_.now_ns();   // A stall is counted from here.
  response_bytes_ += data.size();
  if (tunnel_) return on_tunnel_response(std::move(data), end);
  if (response_bytes_ >= kBulkBytes) prefer_bulk_response();
  send_response_body(std::move(data), end);
  downstream_->mark_dirty();
  if (end) return on_response_end();
  pause_response_if_full();
}

void Exchange::send_response_body(io::Slice data, bool end) {
  if (!grpc_web_.encodes()) return downstream_->codec().send_body(stream_, std::move(data), end);
  io::SliceQueue encoded;
  grpc_web_.encode(data.view(), encoded, context_.ring.output_pool());
  if (encoded.empty() && end) downstream_->codec().send_body(stream_, {}, true);
  while (!encoded.empty()) {
    io::Slice piece = encoded.pop();
    downstream_->codec().send_body(stream_, std::move(piece), end && encoded.empty());
  }
}

void Exchange::on_response_trailers(const http::HeaderList& trailers) {
  if (phase_ == Phase::kDone) return;
  upstream_read_ns_ = context_.now_ns();
  note_grpc_code(trailers);
  if (grpc_web_.active()) {
    const std::string_view frame = grpc_web_.trailers_frame(trailers);
    io::SliceQueue pieces;
    grpc_web_.encodes() ? grpc_web_.encode(frame, pieces, context_.ring.output_pool())
                        : pieces.append_copy(context_.ring.output_pool(), frame);
    while (!pieces.empty()) {
      io::Slice piece = pieces.pop();
      downstream_->codec().send_body(stream_, std::move(piece), pieces.empty());
    }
  } else {
    downstream_->codec().send_trailers(stream_, trailers);
  }
  downstream_->mark_dirty();
  on_response_end();
}

// One of many streams may queue less than what one bulk receive brings.
void Exchange::prefer_bulk_response() {
  if (downstream_->is_http2() && downstream_->response_high_water() < kBulkBytes) return;
  upstream_->prefer_bulk(true);
}

void Exchange::pause_response_if_full() {
  if (response_paused_ || upstream_ == nullptr || downstream_->queued(stream_) < downstream_->response_high_water()) return;
  response_paused_ = true;
  upstream_->pause_response(upstream_stream_);
}

void Exchange::on_response_end() {
  response_ended_ = true;
  if (tunnel_) {
    downstream_->end_tunnel_output();
    return end_tunnel_if_through();
  }
  const bool server_error = status_ == 502 || status_ == 503 || status_ == 504 || grpc_unavailable_;
  end_try(server_error ? upstream::Outcome::kServerError : upstream::Outcome::kSuccess);
  let_go_of_upstream(request_ended_);
  finish();
}

}  // namespace ringway::proxy
