#include "dataplane/proxy/h2_downstream.h"

#include <vector>

#include "dataplane/proxy/downstream.h"

namespace ringway::proxy {

H2Downstream::H2Downstream(Context& context, Downstream& downstream, io::SliceQueue& output)
    : context_(context),
      downstream_(downstream),
      budget_(context.now_ns()),
      codec_(*this, output, context.ring.output_pool(), downstream.policy().limits, context.random,
             {.streams_max = downstream.policy().http2_streams_max}) {
  ++context_.stats.http2_connections;
}

H2Downstream::~H2Downstream() { CHECK(exchanges_.empty()); }

void H2Downstream::produce(size_t bytes_max) {
  codec_.produce(bytes_max);
  budget_.earn_data_frames(codec_.data_frames() - data_frames_);
  data_frames_ = codec_.data_frames();
}

size_t H2Downstream::response_high_water() const {
  const size_t share = kQueuedMax / std::max<size_t>(1, codec_.streams());
  return std::min(context_.high_water(), std::clamp(share, kStreamQueuedMin, kStreamQueuedMax));
}

bool H2Downstream::on_glitch(http::H2Glitch glitch) {
  ++context_.stats.http2_glitches[static_cast<size_t>(glitch)];
  const bool far = glitch == http::H2Glitch::kHeaders;
  if (!far && budget_.spend(glitch, context_.now_ns())) return true;
  ++context_.stats.http2_calmed[static_cast<size_t>(glitch)];
  return false;
}

void H2Downstream::give_up_stalled() {
  const auto stalls =
      codec_.give_up_stalled(context_.now_ns(), downstream_.policy().write_stall_timeout_ns);
  if (stalls.streams == 0) return;
  context_.stats.timeouts_write += stalls.streams;
  context_.stats.http2_glitches[static_cast<size_t>(http::H2Glitch::kStalled)] += stalls.streams;
  if (stalls.connection)
    ++context_.stats.http2_calmed[static_cast<size_t>(http::H2Glitch::kStalled)];
}

// ---- streams ----

http::RequestHead* H2Downstream::new_request_head(http::StreamId stream) {
  if (turn_ns_ != context_.now_ns()) {
    turn_ns_ = context_.now_ns();
    ended_this_turn_ = 0;
  }
  if (exchanges_.size() + ended_this_turn_ >= downstream_.policy().http2_streams_max)
    return nullptr;
  Exchange* exchange = context_.take_exchange();
  exchange->begin(downstream_, stream);
  exchanges_.insert(stream, exchange);
  return &exchange->request_head();
}

void H2Downstream::on_malformed_request(http::StreamId stream, http::Error error) {
  ++context_.stats.request_errors[static_cast<size_t>(error)];
  if (Exchange* exchange = exchanges_.find(stream)) exchange->on_downstream_gone();
}

void H2Downstream::on_request_head(http::StreamId stream, http::RequestHead&, bool end) {
  budget_.earn_request();
  downstream_.note_request();
  exchanges_.find(stream)->on_request_head(end);
}

void H2Downstream::on_request_body(http::StreamId stream, io::Slice data, bool end) {
  if (Exchange* exchange = exchanges_.find(stream)) exchange->on_request_body(std::move(data), end);
}

void H2Downstream::on_request_trailers(http::StreamId stream, const http::HeaderList& trailers) {
  if (Exchange* exchange = exchanges_.find(stream)) exchange->on_request_trailers(trailers);
}

void H2Downstream::on_request_error(http::StreamId stream, http::Error error) {
  Exchange* exchange = exchanges_.find(stream);
  if (exchange == nullptr) return;
  if (turn_ns_ == context_.now_ns()) ++ended_this_turn_;
  exchange->on_request_error(error);
}

void H2Downstream::on_writable(http::StreamId stream) {
  if (Exchange* exchange = exchanges_.find(stream)) exchange->on_downstream_sent();
}

void H2Downstream::on_exchange_done(Exchange& exchange) {
  DCHECK(exchanges_.find(exchange.stream()) == &exchange);
  exchanges_.remove(exchange.stream());
  codec_.finish(exchange.stream());
  context_.give_exchange(&exchange);
}

// Each may end inside the call, which takes it out of the table.
void H2Downstream::close_tunnels(uint64_t grace_ns) {
  std::vector<http::StreamId> streams;
  exchanges_.for_each([&](http::StreamId stream, Exchange&) { streams.push_back(stream); });
  for (const http::StreamId stream : streams) {
    if (Exchange* exchange = exchanges_.find(stream)) exchange->close_tunnel(grace_ns);
  }
}

void H2Downstream::drop_exchanges() {
  while (!exchanges_.empty())
    exchanges_.any().second->on_downstream_gone();  // Comes back in on_exchange_done.
}

}  // namespace ringway::proxy
