// The way up: route, head, body, tries.
#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "dataplane/http/forwarding.h"
#include "dataplane/http/hop_by_hop.h"
#include "dataplane/proxy/downstream.h"
#include "dataplane/proxy/exchange.h"
#include "dataplane/proxy/grpc.h"
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

// The sixteen hexadecimal digits of a word, lowest first: nibbles are spread over the bytes of two words, no table, no loop.
constexpr std::array<char, 16> hex_digits(uint64_t word) {
  constexpr uint64_t kEach = 0x0101010101010101;
  const auto half = [](uint64_t bits) {
    bits = (bits | bits << 16) & 0x0000FFFF0000FFFF;
    bits = (bits | bits << 8) & 0x00FF00FF00FF00FF;
    bits = (bits | bits << 4) & 0x0F0F0F0F0F0F0F0F;
    const uint64_t letters = ((bits + 6 * kEach) >> 4) & kEach;
    return bits + '0' * kEach + letters * ('a' - '0' - 10);
  };
  return std::bit_cast<std::array<char, 16>>(std::array{half(word & 0xFFFFFFFF), half(word >> 32)});
}
static_assert(std::ranges::equal(hex_digits(0xFEDCBA9876543210), std::string_view("0123456789abcdef")));

}  // namespace

void Exchange::on_request_head(bool end) {
  CHECK(phase_ == Phase::kHead);
  phase_ = Phase::kWaiting;
  request_ended_ = end;
  downstream_read_ns_ = downstream_write_ns_ = try_begin_ns_ = body_begin_ns_ = context_.now_ns();
  pin_ = context_.snapshots.pin();
  grpc_ = is_grpc(request_.headers);
  if (downstream_->misdirected(request_.authority)) {
    ++context_.stats.request_errors[static_cast<size_t>(http::Error::kMisdirected)];
    return respond(421);
  }
  if (!select_route()) return respond(404);
  if (route_->grpc_web && grpc_web_.begin(request_)) grpc_ = true;
  set_deadline();
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
  cluster_ = choose_cluster();
  if (cluster_ == nullptr) return respond(503);
  const bool may_be_refused = upstream::is_http2(cluster_->protocol);
  retry_.begin(route_->retry, request_.method, may_be_refused, context_.now_ns());
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
  const auto slot_of = [this](const route::WeightedCluster& of) {
    return downstream_->is_tls() ? of.https_cluster_slot : of.cluster_slot;
  };
  if (route_->clusters.size() == 1) return snapshot.cluster(slot_of(route_->clusters.front()));
  if (route_->weight_total == 0) return nullptr;
  uint32_t draw = context_.random.below(route_->weight_total);
  for (const route::WeightedCluster& candidate : route_->clusters) {
    if (draw < candidate.weight) return snapshot.cluster(slot_of(candidate));
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
  if (grpc_web_.active()) request_.headers.set(http::HeaderName::kTe, "trailers");
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
  for (char* half = request_id_.data(); half != request_id_.data() + request_id_.size(); half += 16) {
    const std::array<char, 16> digits = hex_digits(context_.random.next());
    std::memcpy(half, digits.data(), digits.size());
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

// The client's own deadline has a grace: who keeps it best is the endpoint, whose answer is to arrive.
void Exchange::set_deadline() {
  constexpr uint64_t kGraceNs = 50 * kNsPerMs;
  const uint64_t total_ns = route_->timeouts.request_total_ns;
  if (total_ns != 0) deadline_ns_ = begin_ns_ + total_ns;
  const http::Header* asked = grpc_ ? request_.headers.find(http::HeaderName::kGrpcTimeout) : nullptr;
  if (asked == nullptr) return;
  const auto timeout_ns = parse_grpc_timeout_ns(asked->value());
  if (!timeout_ns || *timeout_ns > INT64_MAX / 2) return;   // Malformed: the endpoint's to judge. Or as good as none.
  grpc_deadline_ns_ = begin_ns_ + *timeout_ns;
  const uint64_t with_grace_ns = grpc_deadline_ns_ + kGraceNs;
  if (deadline_ns_ == 0 || with_grace_ns < deadline_ns_) deadline_ns_ = with_grace_ns;
}

bool Exchange::forward_grpc_timeout() {
  if (grpc_deadline_ns_ == 0) return true;
  const uint64_t now_ns = context_.now_ns();
  if (now_ns >= grpc_deadline_ns_ && retry_.tries() > 1) {
    respond(504);
    return false;
  }
  const uint64_t left_ns = now_ns >= grpc_deadline_ns_ ? 0 : grpc_deadline_ns_ - now_ns;
  request_.headers.replace(http::HeaderName::kGrpcTimeout, write_grpc_timeout(left_ns, grpc_timeout_));
  return true;
}

void Exchange::start_try() {
  const upstream::EndpointRef* chosen = context_.load.pick(*cluster_, retry_.tried(), context_.now_ns());
  if (chosen == nullptr) return respond(503);
  try_endpoint(*chosen);
}

void Exchange::try_endpoint(const upstream::EndpointRef& chosen) {
  endpoint_ = chosen.state.get();
  phase_ = Phase::kWaiting;
  request_sent_ = false;
  try_begin_ns_ = context_.now_ns();
  retry_.note_try(*endpoint_);
  context_.load.begin(*cluster_, *endpoint_);
  try_open_ = true;
  UpstreamConnection* connection = nullptr;
  const Acquired acquired = context_.pool->acquire(*this, *cluster_, chosen, fresh_wanted_, connection);
  await(acquired, connection);
}

void Exchange::await(Acquired acquired, UpstreamConnection* connection) {
  switch (acquired) {
    case Acquired::kReady:
      return send_request();
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

void Exchange::on_upstream_ready() {
  CHECK(phase_ == Phase::kWaiting);
  send_request();
}

void Exchange::send_request() {
  UpstreamConnection& connection = *upstream_;
  if (request_.upgrade) {
    const Upgrades upgrades = connection.upgrades();
    if (upgrades == Upgrades::kUnknown) return connection.tell_when_known(upstream_stream_);   // on_upstream_ready() again.
    if (upgrades == Upgrades::kNo) return fall_back_for_upgrade();
  }
  if (!forward_grpc_timeout()) return;
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
  // gRPC ends a request by a DATA frame, an empty one if need be, and its servers wait for it: "Requests" in gRPC over HTTP2.
  const bool bodiless = complete && !replay;
  const bool end_by_data = bodiless && grpc_ && connection.multiplexed();
  connection.codec().send_head(upstream_stream_, request_, bodiless && !end_by_data);
  if (end_by_data) connection.codec().send_body(upstream_stream_, {}, true);
  if (replay) {
    uint32_t left = retry_.kept().slices();
    retry_.kept().for_each([&](const io::Slice& slice) {
      connection.codec().send_body(upstream_stream_, slice.share(), complete && --left == 0);
      return true;
    });
  }
  while (!waiting_body_.empty()) {
    io::Slice data = waiting_body_.pop();
    forward_body(std::move(data), request_ended_ && waiting_body_.empty());
  }
  connection.mark_dirty();
  if (request_paused_ && connection.queued(upstream_stream_) <= context_.low_water()) on_upstream_sent();
}

// An HTTP/2 endpoint without extended CONNECT (RFC 8441 section 3): an HTTP/1.1 connection of our own to it.
void Exchange::fall_back_for_upgrade() {
  PoolEntry& entry = upstream_->entry();
  let_go_of_upstream(true);
  UpstreamConnection* connection = nullptr;
  const Acquired acquired = context_.pool->open_for_upgrade(entry, *this, connection);
  await(acquired, connection);
}

void Exchange::forward_body(io::Slice data, bool end) {
  if (!tunnel_) retry_.keep(data, context_.ring.output_pool());
  if (upstream_->queued(upstream_stream_) == 0) upstream_write_ns_ = context_.now_ns();   // A stall is counted from here.
  upstream_->codec().send_body(upstream_stream_, std::move(data), end);
  upstream_->mark_dirty();
  if (tunnel_ && end) upstream_->end_output(upstream_stream_);
}

void Exchange::on_request_body(io::Slice data, bool end) {
  if (phase_ == Phase::kDone) return;
  downstream_read_ns_ = context_.now_ns();
  request_bytes_ += data.size();
  if (tunnel_) return on_tunnel_request(std::move(data), end);
  if (end) request_ended_ = true;
  if (request_bytes_ > route_->request_body_bytes_max) {
    ++context_.stats.request_errors[static_cast<size_t>(http::Error::kBodyTooLarge)];
    request_ended_ = false;   // What comes behind is not read: the connection closes.
    return respond(413);
  }
  if (request_bytes_ >= kBulkBytes) downstream_->prefer_bulk(true);
  grpc_web_.decodes() ? decode_request_body(std::move(data), end) : take_request_body(std::move(data), end);
  if (phase_ != Phase::kDone) pause_request_if_full();
}

// The text form of gRPC-Web.
void Exchange::decode_request_body(io::Slice data, bool end) {
  io::SliceQueue decoded;
  if (!grpc_web_.decode(data.view(), end, decoded, context_.ring.output_pool())) {
    ++context_.stats.request_errors[static_cast<size_t>(http::Error::kBadBase64)];
    request_ended_ = false;   // What comes behind is not read.
    return respond(400);
  }
  data.reset();
  if (decoded.empty() && end) return take_request_body({}, true);
  while (!decoded.empty()) {
    io::Slice piece = decoded.pop();
    take_request_body(std::move(piece), end && decoded.empty());
  }
}

void Exchange::take_request_body(io::Slice data, bool end) {
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
}

void Exchange::on_request_trailers(const http::HeaderList& trailers) {
  if (phase_ == Phase::kDone) return;
  if (grpc_web_.decodes() && !grpc_web_.complete()) {
    ++context_.stats.request_errors[static_cast<size_t>(http::Error::kBadBase64)];
    return respond(400);
  }
  request_ended_ = true;
  // Before a connection is there trailers are dropped, which RFC 9110 section 6.5.1 allows, rather than kept.
  if (phase_ != Phase::kStreaming) return;
  upstream_->codec().send_trailers(upstream_stream_, trailers);
  upstream_->mark_dirty();
}

void Exchange::pause_request_if_full() {
  if (request_paused_ || request_ended_) return;
  const bool full = phase_ == Phase::kWaiting ? waiting_body_.size() >= kWaitingBodyMax
                                              : upstream_ != nullptr && upstream_->queued(upstream_stream_) >= context_.high_water();
  if (!full) return;
  request_paused_ = true;
  paused_at_ns_ = context_.now_ns();
  downstream_->pause_request(stream_);
}

void Exchange::on_upstream_failed(upstream::Outcome outcome, http::Error error) {
  if (phase_ == Phase::kDone) return;
  // A kept-alive connection that ends without a byte was most likely closed for idleness: no verdict on the endpoint.
  const bool stale =
      upstream_ != nullptr && outcome == upstream::Outcome::kReset && upstream_->stale(upstream_stream_);
  upstream_ = nullptr;
  // RFC 9113 section 8.7: the endpoint says that it did nothing with the request.
  const bool unprocessed = error == http::Error::kRefusedStream;
  end_try(stale || unprocessed ? upstream::Outcome::kAbandoned : outcome);
  if (response_headed_) return break_off();
  const bool malformed = error != http::Error::kNone && error != http::Error::kTruncated &&
                         error != http::Error::kStreamReset && !unprocessed;
  if (outcome == upstream::Outcome::kConnectFailure && go_on_elsewhere()) return;
  if (!malformed && retry_.allowed(outcome, request_sent_ && !unprocessed, context_.now_ns())) {
    // A dead kept-alive connection can be met once only: no load that the budget would have to bound.
    if (stale || context_.load.try_spend_retry(*cluster_, route_->retry.budget_percent, context_.now_ns())) {
      if (stale) retry_.forget_last_endpoint();
      // Where one kept-alive connection was dead, those to other endpoints may be too: a try is worth a connect.
      fresh_wanted_ = fresh_wanted_ || stale;
      context_.stats.routes.add_retry(metrics_slot());
      return start_try();
    }
    ++context_.stats.retry_budget_exhausted;
  }
  if (outcome == upstream::Outcome::kAbandoned) return respond(503);
  respond(outcome == upstream::Outcome::kTimeout ? 504 : 502);
}

bool Exchange::go_on_elsewhere() {
  if (!retry_.may_go_on(context_.now_ns())) return false;
  const upstream::EndpointRef* next = context_.load.pick(*cluster_, retry_.tried(), context_.now_ns());
  if (next == nullptr || retry_.has_tried(*next->state)) return false;
  retry_.note_unsent();
  context_.stats.routes.add_retry(metrics_slot());
  try_endpoint(*next);
  return true;
}

}  // namespace ringway::proxy
