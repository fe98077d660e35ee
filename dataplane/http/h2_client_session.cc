// The nghttp2 session of an H2ClientCodec: what it is told, and its callbacks, each of which finds
// the place of its stream and hands on.
#include <algorithm>

#include "dataplane/http/h2_client_place.h"
#include "dataplane/http/h2_memory.h"

namespace ringway::http {
namespace {

// A stream's window is what a client that takes nothing makes us keep. So it is small until bytes
// of the response were taken, and wide only where the streams are few: many fill the connection's
// as they are.
constexpr int32_t kStreamWindow = 64 * 1024;
constexpr int32_t kWideStreamWindow = 128 * 1024;
constexpr uint32_t kWideAfter = 32 * 1024;          // Bytes taken.
constexpr int32_t kConnectionWindow = 1024 * 1024;  // Opened as bytes come: only the path fills it.
constexpr uint32_t kWideStreams = kConnectionWindow / kStreamWindow;

std::string_view view_of(nghttp2_rcbuf* buffer) {
  const nghttp2_vec bytes = nghttp2_rcbuf_get_buf(buffer);
  return {reinterpret_cast<const char*>(bytes.base), bytes.len};
}

}  // namespace

struct H2ClientCodec::Callbacks {
  static H2ClientCodec& codec(void* user) { return *static_cast<H2ClientCodec*>(user); }
  static Place* place(nghttp2_session* session, int32_t stream) {
    return static_cast<Place*>(nghttp2_session_get_stream_user_data(session, stream));
  }

  static int on_begin_headers(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    Place* at = place(session, frame->hd.stream_id);
    if (at == nullptr) return 0;
    H2ClientCodec& self = codec(user);
    const bool trailers = at->in != Place::In::kHead;
    self.fields_.begin(trailers ? H2FieldReader::Kind::kTrailers : H2FieldReader::Kind::kResponse,
                       self.limits_, self.output_pool_);
    return 0;
  }

  static int on_header(nghttp2_session* session, const nghttp2_frame* frame, nghttp2_rcbuf* name,
                       nghttp2_rcbuf* value, uint8_t, void* user) {
    if (place(session, frame->hd.stream_id) == nullptr) return 0;
    if (codec(user).fields_.add(view_of(name), view_of(value))) return 0;
    codec(user).broken_ = true;
    return NGHTTP2_ERR_CALLBACK_FAILURE;
  }

  static int on_frame(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    H2ClientCodec& self = codec(user);
    const bool end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    Place* at = frame->hd.stream_id == 0 ? nullptr : place(session, frame->hd.stream_id);
    switch (frame->hd.type) {
      case NGHTTP2_HEADERS:
        if (at == nullptr) return 0;
        at->in == Place::In::kHead ? self.on_head(*at, end) : self.on_trailers(*at, end);
        return 0;
      case NGHTTP2_DATA:
        frame->hd.length == 0 && !end ? self.spend(1) : self.forgive(1);
        if (at != nullptr && end) self.on_end(*at);
        return 0;
      case NGHTTP2_RST_STREAM:
        if (frame->rst_stream.error_code != NGHTTP2_NO_ERROR) self.spend(1);
        return 0;
      case NGHTTP2_GOAWAY:
        self.goaway_ = true;
        return 0;
      case NGHTTP2_PING:
      case NGHTTP2_SETTINGS:
        if ((frame->hd.flags & NGHTTP2_FLAG_ACK) == 0) self.spend(1);
        if (frame->hd.type == NGHTTP2_SETTINGS) self.settings_known_ = true;
        return 0;
      case NGHTTP2_PRIORITY:
        self.spend(1);
        return 0;
      default:
        return 0;
    }
  }

  static int on_data(nghttp2_session* session, uint8_t, int32_t stream, const uint8_t* data,
                     size_t length, void* user) {
    H2ClientCodec& self = codec(user);
    nghttp2_session_consume_connection(session, length);
    Place* at = place(session, stream);
    if (at != nullptr && length > 0)
      self.on_data(*at, {reinterpret_cast<const char*>(data), length});
    return 0;
  }

  static int on_sent(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    const bool complaint =
        frame->hd.type == NGHTTP2_GOAWAY && frame->goaway.error_code != NGHTTP2_NO_ERROR;
    if (complaint) codec(user).broken_ = true;
    return 0;
  }

  static int on_invalid_frame(nghttp2_session*, const nghttp2_frame*, int, void* user) {
    codec(user).spend(1);
    return 0;
  }

  static int on_close(nghttp2_session* session, int32_t stream, uint32_t error_code, void* user) {
    Place* at = place(session, stream);
    if (at != nullptr) codec(user).on_closed(*at, error_code);
    return 0;
  }

  static ssize_t read_body(nghttp2_session* session, int32_t, uint8_t*, size_t length,
                           uint32_t* flags, nghttp2_data_source* source, void*) {
    Place& at = *static_cast<Place*>(source->ptr);
    if (at.body.empty() && !at.body_ended) {
      at.deferred = true;
      return NGHTTP2_ERR_DEFERRED;
    }
    const size_t bytes = std::min(length, at.body.size());
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (bytes == at.body.size() && at.body_ended) {
      *flags |= NGHTTP2_DATA_FLAG_EOF;
      if (!at.request_trailers.empty()) {
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        submit_trailers(session, at);
      }
    }
    return static_cast<ssize_t>(bytes);
  }

  static void submit_trailers(nghttp2_session* session, Place& at) {
    std::vector<nghttp2_nv> fields;
    for (auto& [name, value] : at.request_trailers) {
      fields.push_back({reinterpret_cast<uint8_t*>(name.data()),
                        reinterpret_cast<uint8_t*>(value.data()), name.size(), value.size(),
                        NGHTTP2_NV_FLAG_NONE});
    }
    CHECK(nghttp2_submit_trailer(session, at.number, fields.data(), fields.size()) !=
          NGHTTP2_ERR_INVALID_ARGUMENT);
    at.request_trailers.clear();
  }

  static int send_data(nghttp2_session*, nghttp2_frame*, const uint8_t* header, size_t length,
                       nghttp2_data_source* source, void* user) {
    H2ClientCodec& self = codec(user);
    if (self.output_.size() >= kOutputBytesMax) return NGHTTP2_ERR_WOULDBLOCK;
    Place& at = *static_cast<Place*>(source->ptr);
    self.output_.append_copy(self.output_pool_, {reinterpret_cast<const char*>(header), 9});
    while (length > 0) {
      const auto bytes = static_cast<uint32_t>(std::min<size_t>(length, at.body.front().size()));
      self.output_.push(at.body.front().share(0, bytes));
      at.body.consume(bytes);
      length -= bytes;
    }
    if (!at.sent && !at.released) {
      at.sent = true;
      self.sent_.push_back(at.id);
    }
    return 0;
  }

  static nghttp2_session_callbacks* made() {
    static nghttp2_session_callbacks* const callbacks = [] {
      nghttp2_session_callbacks* c = nullptr;
      CHECK(nghttp2_session_callbacks_new(&c) == 0);
      nghttp2_session_callbacks_set_on_begin_headers_callback(c, on_begin_headers);
      nghttp2_session_callbacks_set_on_header_callback2(c, on_header);
      nghttp2_session_callbacks_set_on_frame_recv_callback(c, on_frame);
      nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, on_data);
      nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(c, on_invalid_frame);
      nghttp2_session_callbacks_set_on_stream_close_callback(c, on_close);
      nghttp2_session_callbacks_set_on_frame_send_callback(c, on_sent);
      nghttp2_session_callbacks_set_send_data_callback(c, send_data);
      return c;
    }();
    return callbacks;
  }

  static const nghttp2_option* options() {
    static const nghttp2_option* const made = [] {
      nghttp2_option* option = nullptr;
      CHECK(nghttp2_option_new(&option) == 0);
      nghttp2_option_set_no_auto_window_update(option, 1);
      // Heads and lengths are judged in one place for all versions: H2FieldReader, framing.h.
      nghttp2_option_set_no_http_messaging(option, 1);
      nghttp2_option_set_no_closed_streams(option, 1);
      // nghttp2 counts the receives that a CONTINUATION's frame header takes, not the frames.
      nghttp2_option_set_max_continuations(option, 64);
      return option;
    }();
    return made;
  }
};

void H2ClientCodec::Place::take(size_t bytes) {
  nghttp2_session* const session = codec->session_.get();
  nghttp2_session_consume_stream(session, number, bytes);
  if (wide) return;
  taken = static_cast<uint32_t>(std::min<size_t>(taken + bytes, kWideAfter));
  if (taken < kWideAfter || codec->used_ > kWideStreams) return;
  wide = true;
  nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, number, kWideStreamWindow);
}

void H2ClientCodec::SessionDeleter::operator()(nghttp2_session* session) const {
  nghttp2_session_del(session);
}

// With SETTINGS and the connection's window to be written.
nghttp2_session* H2ClientCodec::make_session() {
  nghttp2_session* session = nullptr;
  CHECK(nghttp2_session_client_new3(&session, Callbacks::made(), this, Callbacks::options(),
                                    h2_memory()) == 0);
  const nghttp2_settings_entry settings[] = {
      {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kStreamWindow},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, limits_.headers_bytes_max},
  };
  CHECK(nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings, std::size(settings)) == 0);
  CHECK(nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0, kConnectionWindow) ==
        0);
  return session;
}

nghttp2_data_provider H2ClientCodec::body_of(Place& at) {
  return {.source = {.ptr = &at}, .read_callback = Callbacks::read_body};
}

}  // namespace ringway::http
