#include "dataplane/http/h2_test_server.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace ringway::http::testing {
namespace {

std::string_view text(const uint8_t* bytes, size_t length) {
  return {reinterpret_cast<const char*>(bytes), length};
}

std::vector<nghttp2_nv> list_of(const H2TestServer::Fields& fields) {
  std::vector<nghttp2_nv> list;
  for (const auto& [name, value] : fields) {
    list.push_back({reinterpret_cast<uint8_t*>(const_cast<char*>(name.data())),
                    reinterpret_cast<uint8_t*>(const_cast<char*>(value.data())), name.size(),
                    value.size(), NGHTTP2_NV_FLAG_NONE});
  }
  return list;
}

// HPACK literals without indexing (RFC 7541 section 6.2.2): no table is touched.
std::string literal_block(const H2TestServer::Fields& fields) {
  std::string block;
  const auto append = [&block](std::string_view part) {
    size_t length = part.size();
    if (length < 127) {
      block += static_cast<char>(length);
    } else {
      block += static_cast<char>(127);
      for (length -= 127; length >= 128; length /= 128) {
        block += static_cast<char>(128 + length % 128);
      }
      block += static_cast<char>(length);
    }
    block += part;
  };
  for (const auto& [name, value] : fields) {
    block += '\0';
    append(name);
    append(value);
  }
  return block;
}

}  // namespace

struct H2TestServer::Callbacks {
  static H2TestServer& server(void* user) { return *static_cast<H2TestServer*>(user); }

  static int on_begin(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    server(user).requests[frame->hd.stream_id].stream = frame->hd.stream_id;
    return 0;
  }
  static int on_header(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name,
                       size_t name_length, const uint8_t* value, size_t value_length, uint8_t,
                       void* user) {
    Request& request = server(user).requests[frame->hd.stream_id];
    (request.headed ? request.trailers : request.fields)
        .emplace_back(text(name, name_length), text(value, value_length));
    return 0;
  }
  static int on_frame(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    H2TestServer& self = server(user);
    if (frame->hd.type == NGHTTP2_GOAWAY) {
      self.goaway_received = static_cast<int32_t>(frame->goaway.error_code);
      return 0;
    }
    const auto found = self.requests.find(frame->hd.stream_id);
    if (found == self.requests.end()) return 0;
    Request& request = found->second;
    if (frame->hd.type == NGHTTP2_RST_STREAM) {
      request.reset = true;
      request.reset_code = frame->rst_stream.error_code;
      return 0;
    }
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) return 0;
    if (frame->hd.type == NGHTTP2_HEADERS && !request.headed) {
      request.headed = true;
      if (self.on_head) self.on_head(request);
    }
    if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
      request.ended = true;
      request.ended_by_head = frame->hd.type == NGHTTP2_HEADERS && request.trailers.empty();
      if (self.on_end) self.on_end(request);
    }
    return 0;
  }
  static int on_data(nghttp2_session*, uint8_t, int32_t stream, const uint8_t* data, size_t length,
                     void* user) {
    server(user).requests[stream].body += text(data, length);
    return 0;
  }
  static int on_close(nghttp2_session*, int32_t stream, uint32_t, void* user) {
    server(user).requests[stream].closed = true;
    return 0;
  }
  static int on_invalid(nghttp2_session*, const nghttp2_frame*, int, void* user) {
    ++server(user).frames_refused;
    return 0;
  }
};

std::string H2TestServer::Request::field(std::string_view name) const {
  for (const auto& [key, value] : fields) {
    if (key == name) return value;
  }
  return "";
}

H2TestServer::H2TestServer(const Settings& settings) {
  nghttp2_session_callbacks* callbacks = nullptr;
  CHECK(nghttp2_session_callbacks_new(&callbacks) == 0);
  nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, Callbacks::on_begin);
  nghttp2_session_callbacks_set_on_header_callback(callbacks, Callbacks::on_header);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, Callbacks::on_frame);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, Callbacks::on_data);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, Callbacks::on_close);
  nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, Callbacks::on_invalid);
  nghttp2_option* option = nullptr;
  CHECK(nghttp2_option_new(&option) == 0);
  if (!settings.auto_window) nghttp2_option_set_no_auto_window_update(option, 1);
  nghttp2_session* session = nullptr;
  CHECK(nghttp2_session_server_new2(&session, callbacks, this, option) == 0);
  session_.reset(session);
  nghttp2_option_del(option);
  nghttp2_session_callbacks_del(callbacks);
  std::vector<nghttp2_settings_entry> entries = {
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, settings.streams_max},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, settings.window}};
  if (settings.extended_connect) entries.push_back({NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1});
  CHECK(nghttp2_submit_settings(session, 0, entries.data(), entries.size()) == 0);
  flush();
}

H2TestServer::~H2TestServer() = default;

void H2TestServer::feed(std::string_view bytes) {
  const ssize_t taken = nghttp2_session_mem_recv(
      session_.get(), reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  if (taken < 0) failed = true;
  flush();
}

void H2TestServer::flush() {
  for (;;) {
    const uint8_t* bytes = nullptr;
    const ssize_t length = nghttp2_session_mem_send(session_.get(), &bytes);
    if (length <= 0) break;
    output += text(bytes, static_cast<size_t>(length));
  }
}

std::string H2TestServer::take_output() {
  flush();
  return std::exchange(output, {});
}

void H2TestServer::frame(uint8_t type, uint8_t flags, int32_t stream, std::string_view payload) {
  flush();
  const auto byte = [](size_t value) { return static_cast<char>(value & 0xFF); };
  const auto id = static_cast<uint32_t>(stream);
  output += {byte(payload.size() >> 16),
             byte(payload.size() >> 8),
             byte(payload.size()),
             static_cast<char>(type),
             static_cast<char>(flags),
             byte(id >> 24),
             byte(id >> 16),
             byte(id >> 8),
             byte(id)};
  output += payload;
}

void H2TestServer::head(int32_t stream, const Fields& fields, bool end) {
  const std::string block = literal_block(fields);
  constexpr size_t kFrameMax = 16384;
  const bool one = block.size() <= kFrameMax;
  frame(NGHTTP2_HEADERS,
        static_cast<uint8_t>((end ? NGHTTP2_FLAG_END_STREAM : 0) |
                             (one ? NGHTTP2_FLAG_END_HEADERS : 0)),
        stream, std::string_view(block).substr(0, kFrameMax));
  for (size_t at = kFrameMax; at < block.size(); at += kFrameMax) {
    frame(NGHTTP2_CONTINUATION,
          at + kFrameMax >= block.size() ? NGHTTP2_FLAG_END_HEADERS : NGHTTP2_FLAG_NONE, stream,
          std::string_view(block).substr(at, kFrameMax));
  }
}

void H2TestServer::data(int32_t stream, std::string_view bytes, bool end) {
  constexpr size_t kFrameMax = 16384;
  while (bytes.size() > kFrameMax) {
    frame(NGHTTP2_DATA, 0, stream, bytes.substr(0, kFrameMax));
    bytes.remove_prefix(kFrameMax);
  }
  frame(NGHTTP2_DATA, end ? NGHTTP2_FLAG_END_STREAM : NGHTTP2_FLAG_NONE, stream, bytes);
}

void H2TestServer::trailers(int32_t stream, const Fields& fields, bool end) {
  head(stream, fields, end);
}

void H2TestServer::respond(int32_t stream, const Fields& fields, std::string_view body,
                           const Fields& trailer_fields) {
  struct Source {
    std::string body;
    Fields trailers;
    size_t at = 0;
  };
  auto source = std::make_shared<Source>(Source{std::string(body), trailer_fields});
  sources_.push_back(source);
  nghttp2_data_provider provider{};
  provider.source.ptr = source.get();
  provider.read_callback = [](nghttp2_session* session, int32_t id, uint8_t* into, size_t length,
                              uint32_t* flags, nghttp2_data_source* from, void*) -> ssize_t {
    Source& of = *static_cast<Source*>(from->ptr);
    const size_t bytes = std::min(length, of.body.size() - of.at);
    std::memcpy(into, of.body.data() + of.at, bytes);
    of.at += bytes;
    if (of.at < of.body.size()) return static_cast<ssize_t>(bytes);
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (of.trailers.empty()) return static_cast<ssize_t>(bytes);
    *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
    const auto list = list_of(of.trailers);
    CHECK(nghttp2_submit_trailer(session, id, list.data(), list.size()) == 0);
    return static_cast<ssize_t>(bytes);
  };
  const bool empty = body.empty() && trailer_fields.empty();
  const auto list = list_of(fields);
  nghttp2_submit_response(session_.get(), stream, list.data(), list.size(),
                          empty ? nullptr : &provider);
}

void H2TestServer::reset(int32_t stream, uint32_t error_code) {
  const char code[4] = {static_cast<char>(error_code >> 24), static_cast<char>(error_code >> 16),
                        static_cast<char>(error_code >> 8), static_cast<char>(error_code)};
  frame(NGHTTP2_RST_STREAM, 0, stream, {code, 4});
}

void H2TestServer::goaway(int32_t last_stream, uint32_t error_code) {
  const auto id = static_cast<uint32_t>(last_stream);
  const char payload[8] = {static_cast<char>(id >> 24),         static_cast<char>(id >> 16),
                           static_cast<char>(id >> 8),          static_cast<char>(id),
                           static_cast<char>(error_code >> 24), static_cast<char>(error_code >> 16),
                           static_cast<char>(error_code >> 8),  static_cast<char>(error_code)};
  frame(NGHTTP2_GOAWAY, 0, 0, {payload, 8});
}

void H2TestServer::consume(int32_t stream, size_t bytes) {
  nghttp2_session_consume(session_.get(), stream, bytes);
  flush();
}

}  // namespace ringway::http::testing
