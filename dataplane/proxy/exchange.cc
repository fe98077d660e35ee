#include "dataplane/proxy/exchange.h"

#include "dataplane/proxy/downstream.h"
#include "dataplane/proxy/grpc.h"
#include "dataplane/proxy/local_response.h"
#include "dataplane/proxy/upstream_pool.h"

namespace ringway::proxy {
namespace {

constexpr std::string_view kPlainOnTlsBody = "400 The plain HTTP request was sent to HTTPS port\n";

}  // namespace

Exchange::Exchange(Context& context) : context_(context) { timer_.bind<&Exchange::on_timer>(*this); }

void Exchange::begin(Downstream& downstream, http::StreamId stream) {
  CHECK(phase_ == Phase::kFree);
  downstream_ = &downstream;
  stream_ = stream;
  phase_ = Phase::kHead;
  begin_ns_ = context_.now_ns();
  ++context_.stats.requests_active;
}

void Exchange::recycle() {
  CHECK(phase_ == Phase::kDone);
  CHECK(upstream_ == nullptr && pending_entry == nullptr && !timer_.armed() && !try_open_);
  if (pin_ != nullptr) context_.snapshots.unpin(pin_);
  request_.reset();
  response_.reset();
  waiting_body_.clear();
  retry_.reset();
  grpc_web_.reset();
  websocket_.reset();
  pin_ = nullptr;
  route_ = nullptr;
  cluster_ = nullptr;
  endpoint_ = nullptr;
  downstream_ = nullptr;
  phase_ = Phase::kFree;
  request_ended_ = response_ended_ = response_started_ = response_headed_ = tunnel_ = false;
  grpc_ = grpc_unavailable_ = false;
  deadline_ns_ = grpc_deadline_ns_ = tunnel_close_by_ns_ = 0;
  request_paused_ = response_paused_ = request_sent_ = continue_sent_ = waiting_end_ = fresh_wanted_ = false;
  upstream_duration_ns_ = request_sent_ns_ = request_bytes_ = response_bytes_ = 0;
  status_ = 0;
  grpc_code_ = observe::kGrpcNone;
}

void Exchange::on_request_error(http::Error error) {
  if (phase_ == Phase::kDone) return;
  ++context_.stats.request_errors[static_cast<size_t>(error)];
  if (tunnel_ || error == http::Error::kTruncated) return on_downstream_gone();
  const bool plain = error == http::Error::kPlainOnTls;
  respond(http::status_of(error), {}, plain ? kPlainOnTlsBody : std::string_view());
}

void Exchange::on_downstream_gone() {
  if (phase_ == Phase::kDone) return;
  end_try(upstream::Outcome::kAbandoned);
  let_go_of_upstream(false);
  if (!response_started_) status_ = 0;
  response_ended_ = true;
  if (head_seen()) downstream_->codec().reset(stream_);
  finish();
}

void Exchange::on_downstream_sent() {
  downstream_write_ns_ = context_.now_ns();
  if (!response_paused_ || downstream_->queued(stream_) > downstream_->response_high_water() / 4) return;
  response_paused_ = false;
  upstream_read_ns_ = context_.now_ns();
  if (upstream_ != nullptr) upstream_->resume_response(upstream_stream_);
}

void Exchange::on_upstream_sent() {
  upstream_write_ns_ = context_.now_ns();
  if (!request_paused_ || upstream_ == nullptr || upstream_->queued(upstream_stream_) > context_.low_water()) return;
  request_paused_ = false;
  downstream_read_ns_ = context_.now_ns();
  body_begin_ns_ += context_.now_ns() - paused_at_ns_;
  downstream_->resume_request(stream_);
}

void Exchange::respond(uint16_t status, std::string_view location, std::string_view body) {
  if (phase_ == Phase::kDone) return;
  if (response_started_) return break_off();
  end_try(upstream::Outcome::kAbandoned);
  let_go_of_upstream(false);
  status_ = status;
  const bool grpc = grpc_ && status >= 400 && status != 421;   // Another connection may do: an answer of HTTP.
  const std::string_view text = grpc ? std::string_view() : body.empty() ? local_body(status) : body;
  if (grpc) {
    fill_grpc_response(response_, status, context_.date());
    note_grpc_code(response_.headers);
    if (grpc_web_.active()) grpc_web_.translate(response_, true);
  } else {
    fill_local_response(response_, status, location, text, context_.date());
  }
  // An unread rest of the request must not be taken for the next one: close behind the answer.
  const bool close = !request_ended_ || !request_.keep_alive || downstream_->last_request();
  http::ServerCodec& codec = downstream_->codec();
  codec.send_head(stream_, response_, text.empty(), close);
  if (!text.empty()) {
    io::SliceQueue slices;
    slices.append_copy(context_.ring.output_pool(), text);
    while (!slices.empty()) {
      io::Slice slice = slices.pop();
      codec.send_body(stream_, std::move(slice), slices.empty());
    }
  }
  response_bytes_ = text.size();
  response_started_ = response_ended_ = true;
  downstream_->mark_dirty();
  finish();
}

void Exchange::break_off() {
  CHECK(phase_ != Phase::kDone);
  end_try(upstream::Outcome::kAbandoned);
  let_go_of_upstream(false);
  downstream_->codec().reset(stream_);
  downstream_->mark_dirty();
  response_ended_ = true;
  finish();
}

void Exchange::end_try(upstream::Outcome outcome) {
  if (!try_open_) return;
  try_open_ = false;
  if (context_.load.end(*cluster_, *endpoint_, outcome, context_.now_ns())) ++context_.stats.ejections;
}

void Exchange::let_go_of_upstream(bool reuse) {
  if (pending_entry != nullptr) context_.pool->cancel_pending(*this, *pending_entry);
  if (upstream_ == nullptr) return;
  UpstreamConnection& connection = *upstream_;
  upstream_ = nullptr;
  connection.release(upstream_stream_, reuse);
}

uint32_t Exchange::metrics_slot() const { return route_ == nullptr ? 0 : route_->metrics_slot; }

void Exchange::note_grpc_code(const http::HeaderList& headers) {
  const http::Header* status = grpc_ ? headers.find(http::HeaderName::kGrpcStatus) : nullptr;
  if (status == nullptr) return;
  const auto code = parse_grpc_status(status->value());
  grpc_code_ = code && *code < observe::kGrpcNone ? *code : observe::kGrpcNone;
}

void Exchange::count_request() {
  observe::RequestSample sample;
  sample.slot = metrics_slot();
  sample.method = request_.method;
  sample.status = status_;
  sample.request_ns = context_.now_ns() - begin_ns_;
  sample.upstream = upstream_duration_ns_ != 0;
  if (sample.upstream) {
    sample.connect_ns = request_sent_ns_ - try_begin_ns_;
    sample.header_ns = sample.connect_ns + upstream_duration_ns_;
    sample.response_ns = context_.now_ns() - try_begin_ns_;
  }
  sample.grpc = grpc_;
  sample.grpc_code = grpc_code_;
  sample.request_head_bytes = request_.memory.size();
  sample.request_body_bytes = request_bytes_;
  sample.response_head_bytes = response_.memory.size();   // As the endpoint sent it; of an answer of ours none is kept.
  sample.response_body_bytes = response_bytes_;
  context_.stats.routes.record(sample);
  if (grpc_ && context_.stats.grpc_methods.on()) {
    // Behind the head of an endpoint's answer whatever status comes is its own.
    context_.stats.grpc_methods.record(request_.path, grpc_code_, response_headed_, sample.request_ns);
  }
}

void Exchange::finish() {
  CHECK(phase_ != Phase::kDone && phase_ != Phase::kFree);
  CHECK(!try_open_ && upstream_ == nullptr);
  const bool answered_head = phase_ != Phase::kHead || status_ != 0;
  phase_ = Phase::kDone;
  timer_.cancel();
  --context_.stats.requests_active;
  if (tunnel_) --context_.stats.tunnels_active;
  if (answered_head) {
    ++context_.stats.requests;
    count_request();
    if (context_.access_log.enabled()) log_access();
  }
  downstream_->on_exchange_done(*this);
}

void Exchange::log_access() {
  observe::AccessRecord record;
  record.duration_ns = context_.now_ns() - begin_ns_;
  record.wall_ns = context_.wall_ns() - static_cast<int64_t>(record.duration_ns);
  record.upstream_duration_ns = upstream_duration_ns_;
  record.peer = downstream_->peer_text();
  record.method = request_.method_text;
  record.authority = request_.authority;
  record.target = request_.target;
  record.version = request_.version;
  record.status = status_;
  record.request_bytes = request_bytes_;
  record.response_bytes = response_bytes_;
  const auto text_of = [this](http::HeaderName id) {
    const http::Header* header = request_.headers.find(id);
    return header == nullptr ? std::string_view() : header->value();
  };
  record.referer = text_of(http::HeaderName::kReferer);
  record.user_agent = text_of(http::HeaderName::kUserAgent);
  record.request_id = text_of(http::HeaderName::kXRequestId);
  if (endpoint_ != nullptr) record.upstream = endpoint_->text;
  record.tries = retry_.tries();
  record.route = route_;
  record.tls = downstream_->is_tls();
  if (!context_.access_log.append(record)) ++context_.stats.access_log_dropped;
}

}  // namespace ringway::proxy
