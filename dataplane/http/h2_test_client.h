// For tests only: an HTTP/2 client by nghttp2 that sends what it is told, well-formed or not, and
// writes down what it gets.
#pragma once

#include <nghttp2/nghttp2.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ringway::http::testing {

using H2FieldList = std::vector<std::pair<std::string, std::string>>;

// One frame as bytes.
std::string h2_frame(uint8_t type, uint8_t flags, uint32_t stream, std::string_view payload);
// A field block of literals, nothing indexed, nothing compressed.
std::string h2_block(const H2FieldList& fields);
std::string h2_uint32(uint32_t value);
// Preface and an empty SETTINGS frame.
std::string h2_hello();

class H2TestClient {
 public:
  struct Settings {
    uint32_t stream_window = 65535;
    bool opens_windows = true;  // Gives window back for what came.
  };
  struct Response {
    std::vector<uint16_t> interim;
    uint16_t status = 0;
    H2FieldList fields;
    H2FieldList trailers;
    std::string body;
    bool head_complete = false;  // What follows is trailers.
    bool ended = false;          // END_STREAM came.
    bool closed = false;
    std::optional<uint32_t> reset;  // The code of RST_STREAM.
    std::string field(std::string_view name) const;
  };

  H2TestClient() : H2TestClient(Settings{}) {}
  explicit H2TestClient(Settings settings);
  ~H2TestClient();
  H2TestClient(const H2TestClient&) = delete;
  H2TestClient& operator=(const H2TestClient&) = delete;

  // Sends a head; `end` false: more by send().
  uint32_t request(const H2FieldList& fields, bool end = true);
  uint32_t get(std::string_view path = "/", std::string_view host = "a.test");
  void send(uint32_t stream, std::string_view data, bool end);
  void trailers(uint32_t stream, const H2FieldList& fields);  // Ends the body.
  void reset(uint32_t stream, uint32_t code = NGHTTP2_CANCEL);
  void ping();
  void open_window(uint32_t stream, int32_t bytes);  // 0: the connection's.

  std::string take_output();
  void feed(std::string_view bytes);

  const Response& response(uint32_t stream) { return responses_[stream]; }
  std::map<uint32_t, uint32_t> settings;  // Of the server.
  std::optional<uint32_t> goaway;         // The code of the last one.
  uint32_t goaways = 0;
  int32_t goaway_last_stream = -1;
  uint32_t pongs = 0;

 private:
  struct Body {
    std::string data;
    bool end = false;
    bool deferred = false;
    H2FieldList trailers;
  };
  struct Callbacks;
  nghttp2_session* session_ = nullptr;
  std::map<uint32_t, Response> responses_;
  std::map<uint32_t, Body> bodies_;
  Settings options_;
};

}  // namespace ringway::http::testing
