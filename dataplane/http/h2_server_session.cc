#include "dataplane/http/h2_server_session.h"

#include "dataplane/http/h2_memory.h"
#include "dataplane/http/h2_stream.h"

namespace ringway::http {
namespace {

H2ServerCodec& codec_of(void* user) { return *static_cast<H2ServerCodec*>(user); }

// After a callback: whether nghttp2 is to go on.
constexpr int kStop = NGHTTP2_ERR_CALLBACK_FAILURE;

}  // namespace

nghttp2_session* H2ServerCodec::Session::make(H2ServerCodec& codec) {
  // Made once and read by all threads; nghttp2 copies what it needs.
  static nghttp2_session_callbacks* const callbacks = [] {
    nghttp2_session_callbacks* made = nullptr;
    CHECK(nghttp2_session_callbacks_new(&made) == 0);
    nghttp2_session_callbacks_set_on_begin_frame_callback(made, on_begin_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(made, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(made, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(made, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(made, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(made, on_stream_close);
    nghttp2_session_callbacks_set_on_frame_send_callback(made, on_frame_sent);
    nghttp2_session_callbacks_set_send_data_callback(made, send_data);
    return made;
  }();
  static nghttp2_option* const option = [] {
    nghttp2_option* made = nullptr;
    CHECK(nghttp2_option_new(&made) == 0);
    nghttp2_option_set_no_auto_window_update(made, 1);
    nghttp2_option_set_no_http_messaging(made, 1);  // h2_fields.h and framing.h say what is one.
    nghttp2_option_set_no_closed_streams(made, 1);
    // nghttp2 1.52 counts every piece in which a CONTINUATION frame comes; what bounds a block here
    // are its fields, its bytes and the glitches.
    nghttp2_option_set_max_continuations(made, 1000);
    nghttp2_option_set_max_outbound_ack(made, 10'000);  // The glitches end a flood before.
    return made;
  }();
  nghttp2_session* session = nullptr;
  CHECK(nghttp2_session_server_new3(&session, callbacks, &codec, option, h2_memory()) == 0);
  const nghttp2_settings_entry settings[] = {
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, codec.options_.streams_max},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, codec.options_.stream_window_bytes},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, codec.limits_.headers_bytes_max},
      {NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1},
  };
  CHECK(nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings, std::size(settings)) == 0);
  CHECK(nghttp2_session_set_local_window_size(
            session, NGHTTP2_FLAG_NONE, 0,
            static_cast<int32_t>(codec.options_.connection_window_bytes)) == 0);
  return session;
}

int H2ServerCodec::Session::on_begin_frame(nghttp2_session*, const nghttp2_frame_hd* frame,
                                           void* user) {
  return codec_of(user).on_frame_begin(*frame) ? 0 : kStop;
}

int H2ServerCodec::Session::on_begin_headers(nghttp2_session*, const nghttp2_frame* frame,
                                             void* user) {
  H2ServerCodec& codec = codec_of(user);
  const auto id = static_cast<StreamId>(frame->hd.stream_id);
  codec.in_head_ = true;
  if (frame->headers.cat != NGHTTP2_HCAT_REQUEST) {
    codec.reader_.begin(H2FieldReader::Kind::kTrailers, codec.limits_, codec.output_pool_);
    return 0;
  }
  codec.last_stream_ = id;
  codec.reader_.begin(H2FieldReader::Kind::kRequest, codec.limits_, codec.output_pool_);
  // nghttp2 counts what is open for it; requests that are not over yet count too.
  if (codec.streams_.size() < codec.options_.streams_max) codec.open_stream(id);
  return 0;
}

int H2ServerCodec::Session::on_header(nghttp2_session*, const nghttp2_frame*, const uint8_t* name,
                                      size_t name_bytes, const uint8_t* value, size_t value_bytes,
                                      uint8_t, void* user) {
  H2ServerCodec& codec = codec_of(user);
  const bool goes_on = codec.reader_.add({reinterpret_cast<const char*>(name), name_bytes},
                                         {reinterpret_cast<const char*>(value), value_bytes});
  if (goes_on) return 0;
  codec.reader_.drop();
  static_cast<void>(codec.sink_.on_glitch(H2Glitch::kHeaders));
  codec.end(NGHTTP2_ENHANCE_YOUR_CALM);
  return kStop;
}

int H2ServerCodec::Session::on_frame(nghttp2_session*, const nghttp2_frame* frame, void* user) {
  H2ServerCodec& codec = codec_of(user);
  const auto id = static_cast<StreamId>(frame->hd.stream_id);
  const bool end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
  switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
      codec.in_head_ = false;
      codec.on_headers(id, frame->headers.cat != NGHTTP2_HCAT_REQUEST, end);
      break;
    case NGHTTP2_DATA:
      if (Stream* stream = codec.find(id); end && stream != nullptr) codec.on_stream_end(*stream);
      break;
    case NGHTTP2_PING:
      if ((frame->hd.flags & NGHTTP2_FLAG_ACK) != 0) codec.finish_drain();
      break;
    case NGHTTP2_RST_STREAM:
      if (Stream* stream = codec.find(id); stream != nullptr) stream->reset = true;
      break;
    case NGHTTP2_GOAWAY:
      codec.client_leaves_ = true;
      break;
    default:
      break;
  }
  return codec.end_wanted_ ? kStop : 0;
}

int H2ServerCodec::Session::on_data(nghttp2_session*, uint8_t, int32_t id, const uint8_t* data,
                                    size_t bytes, void* user) {
  H2ServerCodec& codec = codec_of(user);
  codec.owed_bytes_ += bytes;
  Stream* stream = codec.find(static_cast<StreamId>(id));
  if (stream != nullptr) codec.on_data(*stream, {reinterpret_cast<const char*>(data), bytes});
  codec.release_connection_window();
  return codec.end_wanted_ ? kStop : 0;
}

int H2ServerCodec::Session::on_stream_close(nghttp2_session*, int32_t id, uint32_t, void* user) {
  H2ServerCodec& codec = codec_of(user);
  Stream* stream = codec.find(static_cast<StreamId>(id));
  if (stream != nullptr) codec.on_stream_closed(*stream);
  return 0;
}

int H2ServerCodec::Session::on_frame_sent(nghttp2_session*, const nghttp2_frame* frame,
                                          void* user) {
  codec_of(user).on_sent(*frame);
  return 0;
}

ssize_t H2ServerCodec::Session::read_body(nghttp2_session*, int32_t, uint8_t*, size_t length,
                                          uint32_t* data_flags, nghttp2_data_source* source,
                                          void* user) {
  return codec_of(user).read_body(*static_cast<Stream*>(source->ptr), length, *data_flags);
}

int H2ServerCodec::Session::send_data(nghttp2_session*, nghttp2_frame*, const uint8_t* frame_header,
                                      size_t length, nghttp2_data_source* source, void* user) {
  H2ServerCodec& codec = codec_of(user);
  codec.write_data(*static_cast<Stream*>(source->ptr), frame_header, length);
  return codec.output_.size() >= codec.output_bytes_max_ ? NGHTTP2_ERR_PAUSE : 0;
}

}  // namespace ringway::http
