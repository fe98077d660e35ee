#include "dataplane/http/h2_test_client.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace ringway::http::testing {
namespace {

H2TestClient& client_of(void* user) { return *static_cast<H2TestClient*>(user); }

std::vector<nghttp2_nv> list_of(const H2FieldList& fields) {
  std::vector<nghttp2_nv> list;
  const auto bytes = [](const std::string& text) {
    return reinterpret_cast<uint8_t*>(const_cast<char*>(text.data()));
  };
  for (const auto& [name, value] : fields) {
    list.push_back({bytes(name), bytes(value), name.size(), value.size(), NGHTTP2_NV_FLAG_NONE});
  }
  return list;
}

// RFC 7541 section 5.1, a prefix of 7 bits without Huffman.
void append_text(std::string& out, std::string_view text) {
  size_t left = text.size();
  if (left < 127) {
    out += static_cast<char>(left);
  } else {
    out += '\x7f';
    for (left -= 127; left >= 128; left /= 128) out += static_cast<char>(left % 128 + 128);
    out += static_cast<char>(left);
  }
  out += text;
}

}  // namespace

std::string h2_uint32(uint32_t value) {
  std::string out(4, '\0');
  for (int i = 3; i >= 0; --i, value >>= 8) out[static_cast<size_t>(i)] = static_cast<char>(value);
  return out;
}

std::string h2_frame(uint8_t type, uint8_t flags, uint32_t stream, std::string_view payload) {
  std::string out = h2_uint32(static_cast<uint32_t>(payload.size())).substr(1);
  out += static_cast<char>(type);
  out += static_cast<char>(flags);
  return out.append(h2_uint32(stream)).append(payload);
}

std::string h2_block(const H2FieldList& fields) {
  std::string out;
  for (const auto& [name, value] : fields) {
    out += '\0';
    append_text(out, name);
    append_text(out, value);
  }
  return out;
}

std::string h2_hello() { return NGHTTP2_CLIENT_MAGIC + h2_frame(NGHTTP2_SETTINGS, 0, 0, ""); }

std::string H2TestClient::Response::field(std::string_view name) const {
  for (const auto& [key, value] : fields) {
    if (key == name) return value;
  }
  return "(none)";
}

struct H2TestClient::Callbacks {
  static int on_header(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name,
                       size_t name_bytes, const uint8_t* value, size_t value_bytes, uint8_t,
                       void* user) {
    Response& response = client_of(user).responses_[static_cast<uint32_t>(frame->hd.stream_id)];
    std::string key(reinterpret_cast<const char*>(name), name_bytes);
    std::string text(reinterpret_cast<const char*>(value), value_bytes);
    if (key == ":status") {
      const auto status = static_cast<uint16_t>(std::stoi(text));
      if (status < 200) {
        response.interim.push_back(status);
      } else {
        response.status = status;
      }
      return 0;
    }
    (response.head_complete ? response.trailers : response.fields)
        .emplace_back(std::move(key), std::move(text));
    return 0;
  }
  static int on_data(nghttp2_session*, uint8_t, int32_t id, const uint8_t* data, size_t bytes,
                     void* user) {
    client_of(user).responses_[static_cast<uint32_t>(id)].body.append(
        reinterpret_cast<const char*>(data), bytes);
    return 0;
  }
  static int on_frame(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    H2TestClient& client = client_of(user);
    const auto id = static_cast<uint32_t>(frame->hd.stream_id);
    switch (frame->hd.type) {
      case NGHTTP2_SETTINGS:
        for (size_t i = 0; i < frame->settings.niv; ++i) {
          client.settings[static_cast<uint32_t>(frame->settings.iv[i].settings_id)] =
              frame->settings.iv[i].value;
        }
        break;
      case NGHTTP2_GOAWAY:
        client.goaway = frame->goaway.error_code;
        client.goaway_last_stream = frame->goaway.last_stream_id;
        ++client.goaways;
        break;
      case NGHTTP2_PING:
        if ((frame->hd.flags & NGHTTP2_FLAG_ACK) != 0) ++client.pongs;
        break;
      case NGHTTP2_RST_STREAM:
        client.responses_[id].reset = frame->rst_stream.error_code;
        break;
      case NGHTTP2_HEADERS:
        client.responses_[id].head_complete = client.responses_[id].status != 0;
        [[fallthrough]];
      case NGHTTP2_DATA:
        if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) client.responses_[id].ended = true;
        break;
      default:
        break;
    }
    return 0;
  }
  static int on_close(nghttp2_session*, int32_t id, uint32_t, void* user) {
    client_of(user).responses_[static_cast<uint32_t>(id)].closed = true;
    return 0;
  }
  static ssize_t read_body(nghttp2_session* session, int32_t id, uint8_t* out, size_t length,
                           uint32_t* flags, nghttp2_data_source*, void* user) {
    Body& body = client_of(user).bodies_[static_cast<uint32_t>(id)];
    if (body.data.empty() && !body.end) {
      body.deferred = true;
      return NGHTTP2_ERR_DEFERRED;
    }
    const size_t bytes = std::min(length, body.data.size());
    std::memcpy(out, body.data.data(), bytes);
    body.data.erase(0, bytes);
    if (body.data.empty() && body.end) {
      *flags |= NGHTTP2_DATA_FLAG_EOF;
      if (!body.trailers.empty()) {
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        const auto list = list_of(body.trailers);
        nghttp2_submit_trailer(session, id, list.data(), list.size());
      }
    }
    return static_cast<ssize_t>(bytes);
  }
};

H2TestClient::H2TestClient(Settings settings_in) : options_(settings_in) {
  nghttp2_session_callbacks* callbacks = nullptr;
  nghttp2_option* option = nullptr;
  CHECK(nghttp2_session_callbacks_new(&callbacks) == 0 && nghttp2_option_new(&option) == 0);
  nghttp2_session_callbacks_set_on_header_callback(callbacks, Callbacks::on_header);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, Callbacks::on_data);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, Callbacks::on_frame);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, Callbacks::on_close);
  nghttp2_option_set_no_http_messaging(option, 1);
  if (!options_.opens_windows) nghttp2_option_set_no_auto_window_update(option, 1);
  CHECK(nghttp2_session_client_new2(&session_, callbacks, this, option) == 0);
  const nghttp2_settings_entry entry{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, options_.stream_window};
  CHECK(nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, &entry, 1) == 0);
  nghttp2_session_callbacks_del(callbacks);
  nghttp2_option_del(option);
}

H2TestClient::~H2TestClient() { nghttp2_session_del(session_); }

uint32_t H2TestClient::request(const H2FieldList& fields, bool end) {
  const auto list = list_of(fields);
  nghttp2_data_provider body{};
  body.read_callback = Callbacks::read_body;
  const int32_t id = nghttp2_submit_request(session_, nullptr, list.data(), list.size(),
                                            end ? nullptr : &body, nullptr);
  CHECK(id > 0);
  return static_cast<uint32_t>(id);
}

uint32_t H2TestClient::get(std::string_view path, std::string_view host) {
  return request({{":method", "GET"},
                  {":scheme", "http"},
                  {":authority", std::string(host)},
                  {":path", std::string(path)}});
}

void H2TestClient::send(uint32_t stream, std::string_view data, bool end) {
  Body& body = bodies_[stream];
  body.data += data;
  body.end = body.end || end;
  if (!body.deferred) return;
  body.deferred = false;
  nghttp2_session_resume_data(session_, static_cast<int32_t>(stream));
}

void H2TestClient::trailers(uint32_t stream, const H2FieldList& fields) {
  bodies_[stream].trailers = fields;
  send(stream, "", true);
}

void H2TestClient::reset(uint32_t stream, uint32_t code) {
  nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, static_cast<int32_t>(stream), code);
}

void H2TestClient::ping() { nghttp2_submit_ping(session_, NGHTTP2_FLAG_NONE, nullptr); }

void H2TestClient::open_window(uint32_t stream, int32_t bytes) {
  nghttp2_submit_window_update(session_, NGHTTP2_FLAG_NONE, static_cast<int32_t>(stream), bytes);
}

std::string H2TestClient::take_output() {
  std::string out;
  while (true) {
    const uint8_t* data = nullptr;
    const ssize_t bytes = nghttp2_session_mem_send(session_, &data);
    if (bytes <= 0) return out;
    out.append(reinterpret_cast<const char*>(data), static_cast<size_t>(bytes));
  }
}

void H2TestClient::feed(std::string_view bytes) {
  nghttp2_session_mem_recv(session_, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
}

}  // namespace ringway::http::testing
