#include "dataplane/config/discovery/grpc_stream.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"

namespace ringway::config {
namespace {

constexpr int32_t kWindowBytes = 1 << 20;
constexpr size_t kTextBytesMax = 300;  // Of what the peer may put into our log.
constexpr size_t kKeptBytes = 64 * 1024;

std::string_view view(const uint8_t* bytes, size_t length) {
  return {reinterpret_cast<const char*>(bytes), length};
}

int hex(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

// grpc-message is percent-encoded.
std::string percent_decoded(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && hex(text[i + 1]) >= 0 && hex(text[i + 2]) >= 0) {
      out.push_back(static_cast<char>(hex(text[i + 1]) * 16 + hex(text[i + 2])));
      i += 2;
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

nghttp2_nv header(std::string_view name, std::string_view value) {
  // nghttp2 copies both and writes to neither; the fields are not const for historical reasons.
  return {reinterpret_cast<uint8_t*>(const_cast<char*>(name.data())),
          reinterpret_cast<uint8_t*>(const_cast<char*>(value.data())), name.size(), value.size(),
          NGHTTP2_NV_FLAG_NONE};
}

}  // namespace

std::string printable(std::string_view text) {
  std::string out(text.substr(0, kTextBytesMax));
  std::ranges::replace_if(out, [](char c) { return c < 0x20 || c > 0x7e; }, '?');
  return out;
}

struct GrpcStream::Callbacks {
  static GrpcStream& self(void* user_data) { return *static_cast<GrpcStream*>(user_data); }

  static int on_header(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name,
                       size_t name_length, const uint8_t* value, size_t value_length, uint8_t,
                       void* user_data) {
    GrpcStream& stream = self(user_data);
    if (frame->hd.stream_id == stream.stream_id_)
      stream.on_header(view(name, name_length), view(value, value_length));
    return 0;
  }

  static int on_frame(nghttp2_session*, const nghttp2_frame* frame, void* user_data) {
    GrpcStream& stream = self(user_data);
    switch (frame->hd.type) {
      case NGHTTP2_SETTINGS:
        if ((frame->hd.flags & NGHTTP2_FLAG_ACK) == 0 &&
            !std::exchange(stream.settings_seen_, true)) {
          stream.owner_.on_settings();
        }
        break;
      case NGHTTP2_HEADERS:
        if (frame->hd.stream_id == stream.stream_id_) {
          stream.on_headers_end((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0);
        }
        break;
      case NGHTTP2_DATA:
        if (frame->hd.stream_id == stream.stream_id_ &&
            (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
          stream.end(stream.decoder_.mid_message() ? "stream ended inside a message"
                                                   : "stream ended without a gRPC status");
        }
        break;
      case NGHTTP2_GOAWAY:
        if (frame->goaway.error_code == NGHTTP2_ENHANCE_YOUR_CALM) stream.asked_for_calm_ = true;
        stream.end(
            "controller is going away: " +
            std::string(nghttp2_http2_strerror(frame->goaway.error_code)) +
            (frame->goaway.opaque_data_len == 0
                 ? ""
                 : " (" +
                       printable(view(frame->goaway.opaque_data, frame->goaway.opaque_data_len)) +
                       ")"));
        break;
      default:
        break;
    }
    return stream.end_reason_.empty() ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
  }

  static int on_data(nghttp2_session*, uint8_t, int32_t stream_id, const uint8_t* bytes,
                     size_t length, void* user_data) {
    GrpcStream& stream = self(user_data);
    if (stream_id != stream.stream_id_) return 0;
    return stream.on_data(view(bytes, length)) ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
  }

  static int on_stream_close(nghttp2_session*, int32_t stream_id, uint32_t error_code,
                             void* user_data) {
    GrpcStream& stream = self(user_data);
    if (stream_id == stream.stream_id_) stream.on_stream_close(error_code);
    return 0;
  }

  static int on_error(nghttp2_session*, int, const char* text, size_t length, void* user_data) {
    self(user_data).complaint_ = printable({text, length});
    return 0;
  }

  static ssize_t read(nghttp2_session*, int32_t, uint8_t* into, size_t length, uint32_t* flags,
                      nghttp2_data_source*, void* user_data) {
    return self(user_data).read_body(into, length, flags);
  }
};

GrpcStream::GrpcStream(Owner& owner, const Call& call, uint32_t message_bytes_max)
    : owner_(owner), decoder_(message_bytes_max) {
  nghttp2_session_callbacks* callbacks = nullptr;
  CHECK(nghttp2_session_callbacks_new(&callbacks) == 0);
  nghttp2_session_callbacks_set_on_header_callback(callbacks, Callbacks::on_header);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, Callbacks::on_frame);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, Callbacks::on_data);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, Callbacks::on_stream_close);
  nghttp2_session_callbacks_set_error_callback2(callbacks, Callbacks::on_error);
  nghttp2_session* session = nullptr;
  CHECK(nghttp2_session_client_new(&session, callbacks, this) == 0);
  nghttp2_session_callbacks_del(callbacks);
  session_.reset(session);

  const nghttp2_settings_entry settings[] = {
      {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kWindowBytes},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, 16384},
  };
  CHECK(nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings, std::size(settings)) == 0);
  CHECK(nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0, kWindowBytes) == 0);
  const nghttp2_nv headers[] = {
      header(":method", "POST"),
      header(":scheme", call.scheme),
      header(":path", call.path),
      header(":authority", call.authority),
      header("te", "trailers"),
      header("content-type", "application/grpc"),
      header("user-agent", call.user_agent),
  };
  nghttp2_data_provider body{};
  body.read_callback = Callbacks::read;
  stream_id_ =
      nghttp2_submit_request(session, nullptr, headers, std::size(headers), &body, nullptr);
  CHECK(stream_id_ > 0);
}

void GrpcStream::feed(std::string_view bytes) {
  if (!end_reason_.empty()) return;
  const ssize_t used = nghttp2_session_mem_recv(
      session_.get(), reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  if (used < 0) end("HTTP/2: " + std::string(nghttp2_strerror(static_cast<int>(used))));
}

void GrpcStream::send(std::string_view message) {
  append_grpc_frame(body_, message);
  if (body_deferred_) {
    body_deferred_ = false;
    // Fails only for a stream that is closed already, which end_reason() tells.
    (void)nghttp2_session_resume_data(session_.get(), stream_id_);
  }
}

void GrpcStream::ping() {
  CHECK(nghttp2_submit_ping(session_.get(), NGHTTP2_FLAG_NONE, nullptr) == 0);
}

void GrpcStream::take_output(std::string& out) {
  for (;;) {
    const uint8_t* bytes = nullptr;
    const ssize_t length = nghttp2_session_mem_send(session_.get(), &bytes);
    if (length <= 0) {
      if (length < 0) end("HTTP/2: " + std::string(nghttp2_strerror(static_cast<int>(length))));
      // After a GOAWAY of its own nghttp2 wants neither to read nor to write.
      if (nghttp2_session_want_read(session_.get()) == 0 &&
          nghttp2_session_want_write(session_.get()) == 0) {
        end("HTTP/2: protocol violation" + (complaint_.empty() ? "" : ": " + complaint_));
      }
      return;
    }
    out.append(view(bytes, static_cast<size_t>(length)));
  }
}

ssize_t GrpcStream::read_body(uint8_t* into, size_t length, uint32_t*) {
  const size_t taken = std::min(length, body_.size() - body_sent_);
  if (taken == 0) {
    body_deferred_ = true;
    return NGHTTP2_ERR_DEFERRED;
  }
  std::memcpy(into, body_.data() + body_sent_, taken);
  body_sent_ += taken;
  if (body_sent_ == body_.size()) {
    if (body_.capacity() > kKeptBytes) body_ = {};
    body_.clear();
    body_sent_ = 0;
  }
  return static_cast<ssize_t>(taken);
}

void GrpcStream::end(std::string reason) {
  if (end_reason_.empty()) end_reason_ = std::move(reason);
}

void GrpcStream::on_header(std::string_view name, std::string_view value) {
  value = value.substr(0, 3 * kTextBytesMax);
  if (name == ":status") status_ = value;
  if (name == "content-type") content_type_ = value;
  if (name == "grpc-status") grpc_status_ = value;
  if (name == "grpc-message") grpc_message_ = value;
}

void GrpcStream::on_headers_end(bool end_stream) {
  if (!head_seen_ && !status_.starts_with('1')) {  // 1xx: another head follows.
    head_seen_ = true;
    if (status_ != "200") return end("controller answered HTTP status " + printable(status_));
    if (!content_type_.starts_with("application/grpc")) {
      return end("controller answered content-type \"" + printable(content_type_) + "\", not gRPC");
    }
  }
  if (!end_stream) return;
  // Trailers, or a head that is trailers at once.
  if (grpc_status_.empty()) return end("stream ended without a gRPC status");
  std::string reason = "controller ended the stream: gRPC status " + printable(grpc_status_);
  if (!grpc_message_.empty()) reason += ": " + printable(percent_decoded(grpc_message_));
  end(std::move(reason));
}

bool GrpcStream::on_data(std::string_view bytes) {
  if (!head_seen_) {
    end("data before the response head");
    return false;
  }
  while (decoder_.next(bytes)) {
    if (!owner_.on_message(decoder_.message())) {
      end("message refused");
      return false;
    }
  }
  if (decoder_.error() == FrameError::kNone) return true;
  end("gRPC: " + std::string(frame_error_text(decoder_.error())));
  return false;
}

void GrpcStream::on_stream_close(uint32_t error_code) {
  end("HTTP/2: stream reset: " + std::string(nghttp2_http2_strerror(error_code)) +
      (complaint_.empty() ? "" : ": " + complaint_));
}

}  // namespace ringway::config
