// nghttp2's callbacks of H2ServerCodec: from C and back.
#pragma once

#include "dataplane/http/h2_server_codec.h"

namespace ringway::http {

struct H2ServerCodec::Session {
  static nghttp2_session* make(H2ServerCodec& codec);

  static int on_begin_frame(nghttp2_session*, const nghttp2_frame_hd* frame, void* user);
  static int on_begin_headers(nghttp2_session*, const nghttp2_frame* frame, void* user);
  static int on_header(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name,
                       size_t name_bytes, const uint8_t* value, size_t value_bytes, uint8_t flags,
                       void* user);
  static int on_frame(nghttp2_session*, const nghttp2_frame* frame, void* user);
  static int on_data(nghttp2_session*, uint8_t flags, int32_t id, const uint8_t* data, size_t bytes,
                     void* user);
  static int on_stream_close(nghttp2_session*, int32_t id, uint32_t error_code, void* user);
  static int on_frame_sent(nghttp2_session*, const nghttp2_frame* frame, void* user);
  static ssize_t read_body(nghttp2_session*, int32_t id, uint8_t*, size_t length,
                           uint32_t* data_flags, nghttp2_data_source* source, void* user);
  static int send_data(nghttp2_session*, nghttp2_frame* frame, const uint8_t* frame_header,
                       size_t length, nghttp2_data_source* source, void* user);
};

}  // namespace ringway::http
