// The sending side: responses to frames.
#include "dataplane/http/h2_memory.h"
#include "dataplane/http/h2_server_codec.h"
#include "dataplane/http/h2_server_session.h"
#include "dataplane/http/h2_stream.h"

namespace ringway::http {
namespace {

// Up to here a copy behind the frame header costs less than a vector of its own.
constexpr uint32_t kCopyMax = 2048;

std::optional<uint64_t> known_length(const ResponseHead& head) {
  if (head.body.kind != BodyKind::kKnown) return std::nullopt;
  return head.body.bytes;
}

}  // namespace

void H2ServerCodec::send_interim(StreamId id, uint16_t status, const HeaderList& headers) {
  CHECK(status >= 100 && status < 200 && status != 101);
  Stream* stream = find(id);
  if (stream == nullptr || stream->head_sent || stream->reset || stream->closed) return;
  writer_.response(status, headers, std::nullopt);
  nghttp2_submit_headers(session_, NGHTTP2_FLAG_NONE, static_cast<int32_t>(id), nullptr,
                         writer_.data(), writer_.size(), nullptr);
}

void H2ServerCodec::send_head(StreamId id, const ResponseHead& head, bool end, bool) {
  Stream* stream = find(id);
  if (stream == nullptr || stream->head_sent || stream->reset || stream->closed) return;
  if (head.status == 101) {
    CHECK(stream->upgrade);
    writer_.tunnel_response(head.headers);
    submit_head(*stream, true);
    return;
  }
  // Declared without being sent; a 204 declares nothing (RFC 9110 section 8.6).
  stream->no_body = end || stream->head_request || head.status == 204 || head.status == 304;
  const bool says_length = head.status != 204 && (!end || stream->head_request ||
                                                  head.status == 304 || head.body.bytes == 0);
  writer_.response(head.status, head.headers, says_length ? known_length(head) : std::nullopt);
  submit_head(*stream, !stream->no_body);
  if (end) stream->response_ended = true;
}

void H2ServerCodec::submit_head(Stream& stream, bool with_body) {
  stream.head_sent = true;
  nghttp2_data_provider body;
  body.source.ptr = &stream;
  body.read_callback = Session::read_body;
  const int result =
      nghttp2_submit_response(session_, static_cast<int32_t>(stream.id), writer_.data(),
                              writer_.size(), with_body ? &body : nullptr);
  CHECK(result == 0);
}

void H2ServerCodec::send_body(StreamId id, io::Slice data, bool end) {
  Stream* stream = find(id);
  if (stream == nullptr || !stream->head_sent || stream->reset || stream->closed ||
      stream->response_ended) {
    return;
  }
  if (end) stream->response_ended = true;
  if (stream->no_body) return;
  queued_bytes_ += data.size();
  keep(stream->out, std::move(data));
  continue_body(*stream);
}

void H2ServerCodec::send_trailers(StreamId id, const HeaderList& trailers) {
  Stream* stream = find(id);
  if (stream == nullptr || !stream->head_sent || stream->reset || stream->closed ||
      stream->response_ended) {
    return;
  }
  stream->response_ended = true;
  if (stream->no_body) return;
  stream->out_trailers.keep(trailers, output_pool_);
  continue_body(*stream);
}

void H2ServerCodec::continue_body(Stream& stream) {
  if (!stream.deferred) return;
  stream.deferred = false;
  nghttp2_session_resume_data(session_, static_cast<int32_t>(stream.id));
}

ssize_t H2ServerCodec::read_body(Stream& stream, size_t length, uint32_t& data_flags) {
  const size_t waiting = stream.out.size();
  if (stream.reset || (waiting == 0 && !stream.response_ended)) {
    stream.deferred = true;
    return NGHTTP2_ERR_DEFERRED;
  }
  data_flags |= NGHTTP2_DATA_FLAG_NO_COPY;
  const size_t bytes = std::min(waiting, length);
  if (stream.response_ended && bytes == waiting) {
    data_flags |= NGHTTP2_DATA_FLAG_EOF;
    if (!stream.out_trailers.empty()) {
      data_flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
      submit_kept_trailers(stream);
    }
  }
  return static_cast<ssize_t>(bytes);
}

void H2ServerCodec::submit_kept_trailers(Stream& stream) {
  HeaderList trailers;
  stream.out_trailers.read(trailers);
  writer_.trailers(trailers);
  nghttp2_submit_trailer(session_, static_cast<int32_t>(stream.id), writer_.data(), writer_.size());
  stream.out_trailers.drop();
}

void H2ServerCodec::write_data(Stream& stream, const uint8_t* frame_header, size_t length) {
  output_.append_copy(output_pool_,
                      {reinterpret_cast<const char*>(frame_header), kFrameHeaderBytes});
  stream.sent_bytes += length;
  queued_bytes_ -= length;
  ++data_frames_;
  while (length > 0) {
    io::Slice data = stream.out.front().share();
    if (data.size() > length) data.truncate(static_cast<uint32_t>(length));
    stream.out.consume(data.size());
    length -= data.size();
    if (data.size() <= kCopyMax) {
      output_.append_copy(output_pool_, data.view());
    } else {
      output_.push(std::move(data));
    }
  }
  if (!stream.progressed) {
    stream.progressed = true;
    progressed_.push_back(stream.id);
  }
}

void H2ServerCodec::drop_output(Stream& stream) {
  queued_bytes_ -= stream.out.size();
  stream.out.clear();
  stream.out_trailers.drop();
}

void H2ServerCodec::produce(size_t bytes_max) {
  if (broken_) return;
  const Visit visit(*this);
  CHECK(!in_session_);
  output_bytes_max_ = bytes_max;
  in_session_ = true;
  while (output_.size() < bytes_max) {
    const uint8_t* data = nullptr;
    const ssize_t bytes = nghttp2_session_mem_send(session_, &data);
    if (bytes < 0) broken_ = true;
    if (bytes <= 0) break;
    output_.append_copy(output_pool_,
                        {reinterpret_cast<const char*>(data), static_cast<size_t>(bytes)});
  }
  in_session_ = false;
  if (end_wanted_) end_now();
  if (broken_) return abandon_requests();
  // By index: events may queue more, and that may be produced in another call only.
  for (size_t i = 0; i < progressed_.size(); ++i) {
    Stream* stream = find(progressed_[i]);
    if (stream == nullptr || !stream->progressed) continue;
    stream->progressed = false;
    if (stream->open_request) sink_.on_writable(stream->id);
  }
  progressed_.clear();
}

bool H2ServerCodec::wants_output() const {
  return !broken_ && nghttp2_session_want_write(session_) != 0;
}

size_t H2ServerCodec::queued(StreamId id) const {
  const Stream* stream = find(id);
  return stream == nullptr ? 0 : stream->out.size();
}

// ---- resets ----

void H2ServerCodec::reset(StreamId id) {
  Stream* stream = find(id);
  if (stream == nullptr || stream->reset || stream->closed || ended_) return;
  reset_stream(*stream, NGHTTP2_INTERNAL_ERROR, false);
}

void H2ServerCodec::reset_stream(Stream& stream, uint32_t error_code, bool client_made_us) {
  if (stream.reset || stream.closed) return;
  stream.reset = true;
  stream.blameless = !client_made_us;
  drop_output(stream);
  nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, static_cast<int32_t>(stream.id),
                            error_code);
}

void H2ServerCodec::on_sent(const nghttp2_frame& frame) {
  const auto id = static_cast<StreamId>(frame.hd.stream_id);
  Stream* stream = find(id);
  if (frame.hd.type == NGHTTP2_RST_STREAM) {
    if (resets_sent_.size() < kResetsKept) {
      resets_sent_.push_back(id);
    } else {
      resets_sent_[next_reset_++ % kResetsKept] = id;
    }
    if (stream != nullptr && stream->blameless) return;
    glitch(H2Glitch::kServerReset);
    return;
  }
  const bool ends = (frame.hd.type == NGHTTP2_DATA || frame.hd.type == NGHTTP2_HEADERS) &&
                    (frame.hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
  if (!ends || stream == nullptr) return;
  stream->local_ended = true;
  // RFC 9113 section 8.1: the rest of the request is not wanted.
  if (!stream->remote_ended && !stream->open_request)
    reset_stream(*stream, NGHTTP2_NO_ERROR, false);
}

H2ServerCodec::Stalls H2ServerCodec::give_up_stalled(uint64_t now_ns, uint64_t stall_ns) {
  Stalls stalls;
  if (ended_ || broken_) return stalls;
  const Visit visit(*this);
  std::vector<Stream*> stalled;
  streams_.for_each([&](StreamId, Stream& stream) {
    if (stream.out.empty() || stream.closed || stream.reset) {
      stream.mark_ns = 0;
      return;
    }
    if (stream.mark_ns == 0 || stream.sent_bytes - stream.mark_bytes >= kProgressBytes) {
      stream.mark_ns = now_ns;
      stream.mark_bytes = stream.sent_bytes;
    } else if (now_ns - stream.mark_ns >= stall_ns) {
      stalled.push_back(&stream);
    }
  });
  if (stalled.empty()) return stalls;
  stalls.streams = static_cast<uint32_t>(stalled.size());
  stalls.connection = stalls.streams == streams_.size();
  if (stalls.connection) {
    end(NGHTTP2_ENHANCE_YOUR_CALM);
    return stalls;
  }
  for (Stream* stream : stalled) {
    reset_stream(*stream, NGHTTP2_ENHANCE_YOUR_CALM, false);
    if (stream->open_request) sink_.on_request_error(stream->id, Error::kTruncated);
  }
  return stalls;
}

}  // namespace ringway::http
