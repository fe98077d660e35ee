// The receiving side, and the life of streams.
#include "dataplane/http/h2_server_codec.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "dataplane/http/h2_memory.h"
#include "dataplane/http/h2_server_session.h"
#include "dataplane/http/h2_stream.h"

namespace ringway::http {
namespace {

// A small piece does not keep its receive buffer while it waits; nothing does when many are taken.
constexpr uint32_t kWaitingCopyMax = 1024;
constexpr uint32_t kScarcePercent = 25;
constexpr uint32_t kSpareStreamsMax = 32;

}  // namespace

std::string_view h2_glitch_name(H2Glitch glitch) {
  switch (glitch) {
    case H2Glitch::kClientReset:
      return "client_reset";
    case H2Glitch::kServerReset:
      return "server_reset";
    case H2Glitch::kContinuation:
      return "continuation";
    case H2Glitch::kEmptyData:
      return "empty_data";
    case H2Glitch::kSettings:
      return "settings";
    case H2Glitch::kPing:
      return "ping";
    case H2Glitch::kPriority:
      return "priority";
    case H2Glitch::kWindowUpdate:
      return "window_update";
    case H2Glitch::kClosedStream:
      return "closed_stream";
    case H2Glitch::kHeaders:
      return "headers";
    case H2Glitch::kStalled:
      return "stalled";
  }
  return "unknown";
}

H2ServerCodec::H2ServerCodec(H2ServerSink& sink, io::SliceQueue& output,
                             io::BufferPool& output_pool, const Limits& limits, Random& random,
                             const H2Options& options)
    : sink_(sink),
      output_(output),
      output_pool_(output_pool),
      limits_(limits),
      random_(random),
      options_(options) {
  session_ = Session::make(*this);
}

H2ServerCodec::~H2ServerCodec() {
  CHECK(depth_ == 0);
  nghttp2_session_del(session_);
  while (!streams_.empty()) {
    const auto [id, stream] = streams_.any();
    streams_.remove(id);
    delete stream;
  }
}

// ---- streams ----

H2ServerCodec::Stream& H2ServerCodec::open_stream(StreamId id) {
  std::unique_ptr<Stream> stream;
  if (spare_.empty()) {
    stream = std::make_unique<Stream>();
  } else {
    stream = std::move(spare_.back());
    spare_.pop_back();
  }
  stream->id = id;
  streams_.insert(id, stream.get());
  return *stream.release();
}

void H2ServerCodec::free_if_over(Stream& stream) {
  if (!stream.closed || stream.open_request || stream.over) return;
  stream.over = true;
  over_.push_back(stream.id);
}

void H2ServerCodec::reap() {
  for (size_t i = 0; i < over_.size(); ++i) {
    std::unique_ptr<Stream> stream(streams_.remove(over_[i]));
    DCHECK(stream != nullptr);
    drop_held(*stream);
    drop_output(*stream);
    if (spare_.size() >= kSpareStreamsMax) continue;
    *stream = Stream();
    spare_.push_back(std::move(stream));
  }
  over_.clear();
}

void H2ServerCodec::finish(StreamId id) {
  Stream* stream = find(id);
  if (stream == nullptr || !stream->open_request) return;
  const Visit visit(*this);
  stream->open_request = false;
  CHECK(open_requests_ > 0);
  --open_requests_;
  drop_held(*stream);
  if (!stream->closed && !stream->reset) {
    if (!stream->response_ended) {
      reset_stream(*stream, NGHTTP2_INTERNAL_ERROR, false);
    } else if (stream->local_ended && !stream->remote_ended) {
      // RFC 9113 section 8.1: the rest of the request is not wanted.
      reset_stream(*stream, NGHTTP2_NO_ERROR, false);
    }
  }
  free_if_over(*stream);
}

// ---- input ----

void H2ServerCodec::feed(io::Slice data) {
  if (ended_ || broken_ || data.empty()) return;
  const Visit visit(*this);
  parse(data);
}

// nghttp2 ignores DATA for a stream that has ended, without a word. So frames are followed here,
// and everything before a DATA frame is taken in before its stream is looked at.
void H2ServerCodec::parse(const io::Slice& data) {
  const auto* const bytes = reinterpret_cast<const uint8_t*>(data.data());
  input_ = &data;
  size_t taken = 0;
  for (size_t at = 0; at < data.size();) {
    if (payload_left_ > 0) {
      const size_t skipped = std::min<size_t>(payload_left_, data.size() - at);
      payload_left_ -= static_cast<uint32_t>(skipped);
      at += skipped;
      continue;
    }
    const size_t piece = std::min<size_t>(kFrameHeaderBytes - header_bytes_, data.size() - at);
    std::memcpy(header_.data() + header_bytes_, bytes + at, piece);
    header_bytes_ += static_cast<uint8_t>(piece);
    if (header_bytes_ == kFrameHeaderBytes) {
      header_bytes_ = 0;
      payload_left_ = uint32_t{header_[0]} << 16 | uint32_t{header_[1]} << 8 | header_[2];
      if (header_[3] == NGHTTP2_DATA) {
        if (!receive(bytes + taken, at - taken)) break;
        taken = at;
        const StreamId id = (uint32_t{header_[5]} << 24 | uint32_t{header_[6]} << 16 |
                             uint32_t{header_[7]} << 8 | header_[8]) &
                            0x7fffffff;
        if (is_closed(id) && !on_closed_stream(id)) break;
      }
    }
    at += piece;
  }
  if (!ended_) receive(bytes + taken, data.size() - taken);
  input_ = nullptr;
}

// False: the connection has ended.
bool H2ServerCodec::receive(const uint8_t* bytes, size_t size) {
  CHECK(!in_session_);
  if (size == 0) return true;
  in_session_ = true;
  const ssize_t taken = nghttp2_session_mem_recv(session_, bytes, size);
  in_session_ = false;
  if (end_wanted_) {
    end_now();
  } else if (taken < 0) {
    if (taken == NGHTTP2_ERR_FLOODED) glitch(H2Glitch::kSettings);  // Acknowledgements pile up.
    end_code_ = taken == NGHTTP2_ERR_FLOODED ? NGHTTP2_ENHANCE_YOUR_CALM : NGHTTP2_PROTOCOL_ERROR;
    end_now();
  }
  return !ended_;
}

// Once open, not any more.
bool H2ServerCodec::is_closed(StreamId id) const {
  const Stream* stream = find(id);
  return stream == nullptr ? id <= last_stream_ : stream->closed;
}

void H2ServerCodec::on_end_of_input() {
  if (end_of_input_) return;
  end_of_input_ = true;
  if (ended_ || broken_) return;
  // Nobody will open a window or answer a PING any more.
  const Visit visit(*this);
  abandon_requests();
}

bool H2ServerCodec::glitch(H2Glitch kind) {
  if (ended_ || end_wanted_) return false;
  if (sink_.on_glitch(kind)) return true;
  end(NGHTTP2_ENHANCE_YOUR_CALM);
  return false;
}

// False: the connection is to be ended.
bool H2ServerCodec::on_frame_begin(const nghttp2_frame_hd& frame) {
  const auto id = static_cast<StreamId>(frame.stream_id);
  switch (frame.type) {
    case NGHTTP2_DATA:
      if (frame.length == 0 && (frame.flags & NGHTTP2_FLAG_END_STREAM) == 0)
        return glitch(H2Glitch::kEmptyData);
      return true;
    case NGHTTP2_HEADERS:
      return !is_closed(id) || on_closed_stream(id);
    case NGHTTP2_CONTINUATION:
      return glitch(H2Glitch::kContinuation);
    case NGHTTP2_SETTINGS:
      return (frame.flags & NGHTTP2_FLAG_ACK) != 0 || glitch(H2Glitch::kSettings);
    case NGHTTP2_PING:
      return (frame.flags & NGHTTP2_FLAG_ACK) != 0 || glitch(H2Glitch::kPing);
    case NGHTTP2_PRIORITY:
      return glitch(H2Glitch::kPriority);
    case NGHTTP2_WINDOW_UPDATE:
      return glitch(H2Glitch::kWindowUpdate);
    case NGHTTP2_RST_STREAM:
      return glitch(H2Glitch::kClientReset);
    default:
      return true;
  }
}

// RFC 9113 section 5.1: what was under way when we reset is let pass; a client that goes on behind
// its own end has lost count.
bool H2ServerCodec::on_closed_stream(StreamId id) {
  if (!glitch(H2Glitch::kClosedStream)) return false;
  if (std::ranges::find(resets_sent_, id) != resets_sent_.end()) return true;
  end(NGHTTP2_STREAM_CLOSED);
  return false;
}

void H2ServerCodec::on_headers(StreamId id, bool trailers, bool end) {
  Stream* stream = find(id);
  if (stream == nullptr) {
    // Over the limit by streams whose requests are not over yet.
    nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, static_cast<int32_t>(id),
                              NGHTTP2_REFUSED_STREAM);
    return;
  }
  trailers ? on_trailers(*stream, end) : on_head(*stream, end);
}

void H2ServerCodec::on_head(Stream& stream, bool end) {
  stream.remote_ended = end;
  RequestHead* head = sink_.new_request_head(stream.id);
  if (head == nullptr) {
    reader_.drop();
    return reset_stream(stream, NGHTTP2_REFUSED_STREAM, true);
  }
  stream.open_request = true;
  ++open_requests_;
  const H2Refusal refusal = reader_.finish_request(*head, end, random_);
  stream.head_request = head->method == Method::kHead;
  if (refusal.malformed) {
    reset_stream(stream, NGHTTP2_PROTOCOL_ERROR, true);
    return sink_.on_malformed_request(stream.id, refusal.error);
  }
  if (refusal) {
    stream.end_delivered = true;
    return sink_.on_request_error(stream.id, refusal.error);
  }
  stream.body.begin(head->body);
  stream.upgrade = head->upgrade;
  if (end) stream.end_delivered = true;
  sink_.on_request_head(stream.id, *head, end || head->upgrade);
}

void H2ServerCodec::on_trailers(Stream& stream, bool end) {
  HeaderList trailers;
  io::Slice memory;
  const H2Refusal refusal = reader_.finish_trailers(trailers, memory);
  // RFC 9113 section 8.1: trailers end the stream.
  if (refusal || !end || stream.upgrade) return break_request(stream, Error::kBadTrailers);
  stream.remote_ended = true;
  if (!stream.body.end()) return break_request(stream, Error::kBadContentLength);
  if (!stream.open_request || stream.end_delivered) return;
  if (holds(stream)) {
    stream.end_held = true;
    stream.held_trailers.keep(trailers, output_pool_);
    return;
  }
  stream.end_delivered = true;
  if (trailers.size() == 0) return sink_.on_request_body(stream.id, {}, true);
  sink_.on_request_trailers(stream.id, trailers);
}

void H2ServerCodec::on_data(Stream& stream, std::string_view data) {
  if (!stream.open_request || stream.reset || stream.end_delivered) return;  // Not wanted any more.
  if (!stream.upgrade && !stream.body.add(data.size()))
    return break_request(stream, Error::kBadContentLength);
  const auto offset = static_cast<uint32_t>(data.data() - input_->view().data());
  io::Slice slice = input_->share(offset, static_cast<uint32_t>(data.size()));
  if (!holds(stream)) return deliver(stream, std::move(slice));
  held_bytes_ += slice.size();
  keep(stream.held, std::move(slice));
}

// What waits for a window of the client must not hold the buffer into which its WINDOW_UPDATE is to
// be received.
void H2ServerCodec::keep(io::SliceQueue& queue, io::Slice data) {
  if (data.empty()) return;
  const io::BufferPool& pool = *data.buffer()->pool;
  const bool scarce = &pool != &output_pool_ && pool.pressure_percent() >= kScarcePercent;
  if (scarce || data.size() <= kWaitingCopyMax) return queue.append_copy(output_pool_, data.view());
  queue.push(std::move(data));
}

// The request goes on to be broken after it was given to the sink, or was never to be given.
void H2ServerCodec::break_request(Stream& stream, Error error) {
  if (stream.reset || stream.closed) return;
  reset_stream(stream, NGHTTP2_PROTOCOL_ERROR, true);
  if (stream.open_request) sink_.on_request_error(stream.id, error);
}

bool H2ServerCodec::holds(const Stream& stream) const {
  return stream.paused || !stream.held.empty() || stream.end_held ||
         (stream.upgrade && !stream.tunnel);
}

void H2ServerCodec::deliver(Stream& stream, io::Slice data) {
  const uint32_t bytes = data.size();
  sink_.on_request_body(stream.id, std::move(data), false);
  if (!stream.closed && !stream.reset && !stream.remote_ended)
    nghttp2_session_consume_stream(session_, static_cast<int32_t>(stream.id), bytes);
}

void H2ServerCodec::deliver_held(Stream& stream) {
  const Visit visit(*this);
  const bool opens = !stream.upgrade || stream.tunnel;
  while (opens && !stream.paused && stream.open_request && !stream.held.empty()) {
    io::Slice data = stream.held.pop();
    held_bytes_ -= data.size();
    deliver(stream, std::move(data));
  }
  if (opens && !stream.paused && stream.open_request && stream.held.empty() && stream.end_held) {
    stream.end_held = false;
    deliver_end(stream);
  }
  release_connection_window();
}

void H2ServerCodec::deliver_end(Stream& stream) {
  stream.end_delivered = true;
  if (stream.held_trailers.empty()) return sink_.on_request_body(stream.id, {}, true);
  HeaderList trailers;
  stream.held_trailers.read(trailers);
  sink_.on_request_trailers(stream.id, trailers);
  stream.held_trailers.drop();
}

void H2ServerCodec::drop_held(Stream& stream) {
  held_bytes_ -= stream.held.size();
  stream.held.clear();
  stream.held_trailers.drop();
  stream.end_held = false;
}

void H2ServerCodec::release_connection_window() {
  if (owed_bytes_ == 0 || held_bytes_ >= kHeldBytesMax || ended_ || broken_) return;
  nghttp2_session_consume_connection(session_, std::exchange(owed_bytes_, 0));
}

void H2ServerCodec::on_stream_end(Stream& stream) {
  stream.remote_ended = true;
  if (!stream.open_request || stream.end_delivered || stream.reset) return;
  if (!stream.upgrade && !stream.body.end()) return break_request(stream, Error::kBadContentLength);
  if (holds(stream)) {
    stream.end_held = true;
    return;
  }
  deliver_end(stream);
}

void H2ServerCodec::on_stream_closed(Stream& stream) {
  stream.closed = true;
  drop_output(stream);
  // A tunnel whose two ends went by lives on at the sink until its other side is through.
  const bool complete = stream.response_ended && (stream.end_delivered || stream.end_held);
  if (stream.open_request && !complete) sink_.on_request_error(stream.id, Error::kTruncated);
  free_if_over(stream);
}

void H2ServerCodec::pause(StreamId id) {
  if (Stream* stream = find(id); stream != nullptr) stream->paused = true;
}

void H2ServerCodec::resume(StreamId id) {
  Stream* stream = find(id);
  if (stream == nullptr) return;
  stream->paused = false;
  deliver_held(*stream);
}

void H2ServerCodec::switch_to_tunnel(StreamId id) {
  Stream* stream = find(id);
  if (stream == nullptr) return;
  CHECK(stream->upgrade);
  stream->tunnel = true;
  deliver_held(*stream);
}

// ---- the end ----

void H2ServerCodec::end(uint32_t error_code) {
  if (ended_ || end_wanted_) return;
  end_code_ = error_code;
  end_wanted_ = true;
  if (!in_session_) end_now();
}

void H2ServerCodec::end_now() {
  const Visit visit(*this);
  end_wanted_ = false;
  if (ended_) return;
  ended_ = true;
  nghttp2_session_terminate_session2(session_, static_cast<int32_t>(last_stream_), end_code_);
  abandon_requests();
}

void H2ServerCodec::abandon_requests() {
  std::vector<StreamId> open;
  streams_.for_each([&](StreamId id, Stream& stream) {
    if (stream.open_request) open.push_back(id);
  });
  for (const StreamId id : open) {
    Stream* stream = find(id);
    if (stream != nullptr && stream->open_request) sink_.on_request_error(id, Error::kTruncated);
  }
}

bool H2ServerCodec::wants_close() const {
  if (ended_ || broken_) return true;
  if (end_of_input_ || (streams_.empty() && (drained_ || client_leaves_))) return true;
  // nghttp2 has sent GOAWAY for an error that it found.
  return nghttp2_session_want_read(session_) == 0 && nghttp2_session_want_write(session_) == 0;
}

void H2ServerCodec::drain() {
  if (draining_ || ended_ || broken_) return;
  draining_ = true;
  nghttp2_submit_shutdown_notice(session_);
  nghttp2_submit_ping(session_, NGHTTP2_FLAG_NONE, nullptr);
}

void H2ServerCodec::finish_drain() {
  if (!draining_ || drained_ || ended_ || broken_) return;
  drained_ = true;
  nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE, static_cast<int32_t>(last_stream_),
                        NGHTTP2_NO_ERROR, nullptr, 0);
}

}  // namespace ringway::http
