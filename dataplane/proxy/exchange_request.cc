// The way up: route, head, body, tries.
#include "dataplane/http/forwarding.h"
#include "dataplane/http/hop_by_hop.h"
#include "dataplane/proxy/downstream.h"
#include "dataplane/proxy/exchange.h"
#include "dataplane/proxy/upstream_pool.h"

namespace ringway::proxy {
namespace {

// Bodies from here on are received in bulk buffers.
constexpr uint64_t kBulkBytes = 64 * 1024;
// What may wait for a connection before the client is paused: it sits in receive buffers, which all connections live on.
constexpr size_t kWaitingBodyMax = 4 * 1024;
constexpr uint32_t kWaitingCopyMax = 1024;

std::string_view without_port(std::string_view authority) {
  const size_t bracket = authority.rfind(']');
  const size_t colon = authority.rfind(':');
  if (colon == std::string_view::npos || (bracket != std::string_view::npos && colon < bracket)) return authority;
  return authority.substr(0, colon);
}

}  // namespace

void Exchange::on_request_head(bool end) {
  CHECK(phase_ == Phase::kHead);
  phase_ = Phase::kWaiting;
  request_ended_ = end;
  downstream_read_ns_ = downstream_write_ns_ = try_begin_ns_ = body_begin_ns_ = context_.now_ns();
  pin_ = context_.snapshots.pin();
  if (!select_route()) return respond(404);
  arm_timer();
  if (answer_from_route()) return;
  if (request_.body.kind == http::BodyKind::kKnown && request_.body.bytes > route_->request_body_bytes_max) {
    ++context_.stats.request_errors[static_cast<size_t>(http::Error::kBodyTooLarge)];
    return respond(413);
  }
  if (request_.body.kind == http::BodyKind::kKnown && request_.body.bytes >= kBulkBytes) downstream_->prefer_bulk(true);
  // What waits to be sent is bounded for the worker as a whole; the output pool has no more to give than its limit.
  if (context_.ring.output_pool().pressure_percent() >= kPressureFull) return respond(503);
  if (!prepare_request()) return;
  retry_.begin(route_->retry, request_.method, context_.now_ns());
  cluster_ = choose_cluster();
  if (cluster_ == nullptr) return respond(503);
  context_.load.note_request(*cluster_, context_.now_ns());
  start_try();
}

bool Exchange::select_route() {
  const config::Snapshot& snapshot = *pin_->snapshot;
  const route::RouteSet* routes = snapshot.route_set(downstream_->listener().route_set);
  if (routes != nullptr) route_ = routes->find(request_.authority, request_.path).route;
  if (route_ == nullptr && snapshot.default_cluster_slot(downstream_->listener().name) != route::kNoCluster) {
    route_ = snapshot.default_route.get();
  }
  return route_ != nullptr;
}

const upstream::Cluster* Exchange::choose_cluster() {
  const config::Snapshot& snapshot = *pin_->snapshot;
  if (route_ == snapshot.default_route.get()) {
    return snapshot.cluster(snapshot.default_cluster_slot(downstream_->listener().name));
  }
  if (route_->clusters.size() == 1) return snapshot.cluster(route_->clusters.front().cluster_slot);
  if (route_->weight_total == 0) return nullptr;
  uint32_t draw = context_.random.below(route_->weight_total);
  for (const route::WeightedCluster& candidate : route_->clusters) {
    if (draw < candidate.weight) return snapshot.cluster(candidate.cluster_slot);
    draw -= candidate.weight;
  }
  return nullptr;
}

bool Exchange::answer_from_route() {
  if (route_->https_redirect && downstream_->listener().kind == config::ListenerKind::kHttp) {
    bool exempt = false;
    for (const std::string& prefix : route_->https_redirect->exempt_prefixes) {
      exempt = exempt || request_.path.starts_with(prefix);
    }
    const http::Header* proto = request_.headers.find(http::HeaderName::kXForwardedProto);
    // Behind a TLS-terminating load balancer that is trusted, the client came by https already.
    const bool was_https = downstream_->policy().trust_forwarded && proto != nullptr && proto->value() == "https";
    if (!exempt && !was_https && !request_.authority.empty()) {
      redirect_to_https();
      return true;
    }
  }
  switch (route_->action) {
    case route::ActionKind::kBackend:
      return false;
    case route::ActionKind::kRedirect:
      respond(route_->status, route_->location);
      return true;
    case route::ActionKind::kFixedResponse:
      respond(route_->status, {}, route_->body);
      return true;
  }
  return false;
}

void Exchange::redirect_to_https() {
  scratch_.assign("https://").append(without_port(request_.authority));
  const uint16_t port = downstream_->listener().redirect_https_port;
  if (port != 443) scratch_.append(":").append(std::to_string(port));
  scratch_.append(request_.path).append(request_.query);
  respond(route_->https_redirect->status, scratch_);
}

bool Exchange::prepare_request() {
  // Hop-by-hop fields go before ours are added, so that Connection can't name ours away (RFC 9110 section 7.6.1).
  http::remove_hop_by_hop(request_);
  http::Forwarding forwarding;
  forwarding.peer = downstream_->peer_text();
  forwarding.scheme = downstream_->is_tls() ? "https" : "http";
  forwarding.host = request_.authority;
  forwarding.port = downstream_->port_text();
  forwarding.trusted = downstream_->policy().trust_forwarded;
  forwarding.request_id = new_request_id();
  if (!http::set_forwarding_fields(request_, forwarding, context_.ring.output_pool())) {
    respond(431);
    return false;
  }
  if (route_->rewrite != nullptr) rewrite_path();
  return true;
}

std::string_view Exchange::new_request_id() {
  static constexpr char kHex[] = "0123456789abcdef";
  for (size_t half = 0; half < 2; ++half) {
    uint64_t bits = context_.random.next();
    for (size_t i = 0; i < 16; ++i, bits >>= 4) request_id_[half * 16 + i] = kHex[bits & 15];
  }
  return {request_id_.data(), request_id_.size()};
}

void Exchange::rewrite_path() {
  scratch_.clear();
  if (!route::apply_rewrite(*route_->rewrite, request_.path, scratch_)) return;
  const size_t question = scratch_.find('?');
  if (question == std::string::npos) {
    request_.path = scratch_;
    return;
  }
  // The template has a query of its own: the client's is appended, as nginx does.
  if (request_.query.size() > 1) scratch_.append("&").append(request_.query.substr(1));
  request_.path = std::string_view(scratch_).substr(0, question);
  request_.query = std::string_view(scratch_).substr(question);
}

void Exchange::start_try() {
  const upstream::EndpointRef* chosen = context_.load.pick(*cluster_, retry_.tried(), context_.now_ns());
  if (chosen == nullptr) return respond(503);
  endpoint_ = chosen->state.get();
  phase_ = Phase::kWaiting;
  request_sent_ = false;
  try_begin_ns_ = context_.now_ns();
  retry_.note_try(*endpoint_);
  context_.load.begin(*cluster_, *endpoint_);
  try_open_ = true;
  UpstreamConnection* connection = nullptr;
  switch (context_.pool->acquire(*this, *cluster_, *chosen, fresh_wanted_, connection)) {
    case Acquired::kReady:
      upstream_ = connection;
      return send_request(*connection);
    case Acquired::kConnecting:
      upstream_ = connection;
      return;
    case Acquired::kPending:
      return;
    case Acquired::kOverflow:
    case Acquired::kNoSocket:
      return respond(503);
  }
}

void Exchange::on_upstream_ready(UpstreamConnection& connection) {
  CHECK(phase_ == Phase::kWaiting);
  upstream_ = &connection;
  send_request(connection);
}

void Exchange::send_request(UpstreamConnection& connection) {
  phase_ = Phase::kStreaming;
  request_sent_ = true;
  request_sent_ns_ = upstream_read_ns_ = upstream_write_ns_ = context_.now_ns();
  if (request_.expect_continue && !continue_sent_ && !request_ended_) {
    continue_sent_ = true;
    downstream_read_ns_ = body_begin_ns_ = context_.now_ns();
    downstream_->codec().send_interim(stream_, 100, {});
    downstream_->mark_dirty();
  }
  const bool complete = request_ended_ && waiting_body_.empty();
  const bool replay = !retry_.kept().empty();
  connection.codec().send_head(connection.stream(), request_, complete && !replay);
  if (replay) {
    uint32_t left = retry_.kept().slices();
    retry_.kept().for_each([&](const io::Slice& slice) {
      connection.codec().send_body(connection.stream(), slice.share(), complete && --left == 0);
      return true;
    });
  }
  while (!waiting_body_.empty()) {
    io::Slice data = waiting_body_.pop();
    forward_body(std::move(data), request_ended_ && waiting_body_.empty());
  }
  connection.mark_dirty();
  if (request_paused_ && connection.queued() <= context_.low_water()) on_upstream_sent();
}

void Exchange::forward_body(io::Slice data, bool end) {
  if (!tunnel_) retry_.keep(data, context_.ring.output_pool());
  if (upstream_->queued() == 0) upstream_write_ns_ = context_.now_ns();   // A stall is counted from here.
  upstream_->codec().send_body(upstream_->stream(), std::move(data), end);
  upstream_->mark_dirty();
  if (tunnel_ && end) upstream_->end_output();
}

void Exchange::on_request_body(io::Slice data, bool end) {
  if (phase_ == Phase::kDone) return;
  downstream_read_ns_ = context_.now_ns();
  request_bytes_ += data.size();
  if (end) request_ended_ = true;
  if (!tunnel_ && request_bytes_ > route_->request_body_bytes_max) {
    ++context_.stats.request_errors[static_cast<size_t>(http::Error::kBodyTooLarge)];
    request_ended_ = false;   // What comes behind is not read: the connection closes.
    return respond(413);
  }
  if (!tunnel_ && request_bytes_ >= kBulkBytes) downstream_->prefer_bulk(true);
  if (phase_ == Phase::kWaiting) {
    // A small piece does not keep its receive buffer: byte by byte, one client would hold a buffer for each of its bytes.
    if (data.size() <= kWaitingCopyMax) {
      waiting_body_.append_copy(context_.ring.output_pool(), data.view());
    } else {
      waiting_body_.push(std::move(data));
    }
  } else {
    forward_body(std::move(data), end);
  }
  pause_request_if_full();
  if (tunnel_) end_tunnel_if_through();
}

void Exchange::on_request_trailers(const http::HeaderList& trailers) {
  if (phase_ == Phase::kDone) return;
  request_ended_ = true;
  // Before a connection is there trailers are dropped, which RFC 9110 section 6.5.1 allows, rather than kept.
  if (phase_ != Phase::kStreaming) return;
  upstream_->codec().send_trailers(upstream_->stream(), trailers);
  upstream_->mark_dirty();
}

void Exchange::pause_request_if_full() {
  if (request_paused_ || request_ended_) return;
  const bool full = phase_ == Phase::kWaiting ? waiting_body_.size() >= kWaitingBodyMax
                                              : upstream_ != nullptr && upstream_->queued() >= context_.high_water();
  if (!full) return;
  request_paused_ = true;
  paused_at_ns_ = context_.now_ns();
  downstream_->pause_request(stream_);
}

void Exchange::on_upstream_failed(upstream::Outcome outcome, http::Error error) {
  if (phase_ == Phase::kDone) return;
  // A kept-alive connection that ends without a byte was most likely closed for idleness: no verdict on the endpoint.
  const bool stale = upstream_ != nullptr && outcome == upstream::Outcome::kReset && upstream_->reused() &&
                     !upstream_->received_anything();
  upstream_ = nullptr;
  end_try(stale ? upstream::Outcome::kAbandoned : outcome);
  if (response_headed_) return break_off();
  const bool malformed = error != http::Error::kNone && error != http::Error::kTruncated;
  if (!malformed && retry_.allowed(outcome, request_sent_, context_.now_ns())) {
    // A dead kept-alive connection can be met once only: no load that the budget would have to bound.
    if (stale || context_.load.try_spend_retry(*cluster_, route_->retry.budget_percent, context_.now_ns())) {
      if (stale) retry_.forget_last_endpoint();
      fresh_wanted_ = stale;
      ++route_stats().retries;
      return start_try();
    }
    ++context_.stats.retry_budget_exhausted;
  }
  if (outcome == upstream::Outcome::kAbandoned) return respond(503);
  respond(outcome == upstream::Outcome::kTimeout ? 504 : 502);
}

}  // namespace ringway::proxy
