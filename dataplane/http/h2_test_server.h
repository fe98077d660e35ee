// For tests and fuzz targets only: an HTTP/2 server on nghttp2 that does exactly what a test tells
// it, also what no server should. Bytes in, bytes out; `output` is what it wants sent.
#pragma once

#include <nghttp2/nghttp2.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ringway::http::testing {

class H2TestServer {
 public:
  using Fields = std::vector<std::pair<std::string, std::string>>;
  struct Request {
    int32_t stream = 0;
    Fields fields;  // Pseudo-headers first, as sent.
    std::string body;
    Fields trailers;
    bool headed = false;
    bool ended = false;
    bool ended_by_head = false;  // No DATA frame came.
    bool closed = false;
    uint32_t reset_code = 0;  // Of the client's RST_STREAM.
    bool reset = false;

    std::string field(std::string_view name) const;  // "" when absent.
  };
  struct Settings {
    uint32_t streams_max = 100;
    uint32_t window = 65535;  // Of a stream.
    bool auto_window = true;  // Takes bodies as they come.
    bool extended_connect = false;
  };

  explicit H2TestServer(const Settings& settings);
  H2TestServer() : H2TestServer(Settings()) {}
  ~H2TestServer();

  void feed(std::string_view bytes);
  // A whole and proper response, within the client's windows.
  void respond(int32_t stream, const Fields& fields, std::string_view body = {},
               const Fields& trailers = {});
  // Raw frames, whatever the stream's state.
  void head(int32_t stream, const Fields& fields, bool end = false);
  void data(int32_t stream, std::string_view bytes, bool end = false);
  void trailers(int32_t stream, const Fields& fields, bool end = true);
  void reset(int32_t stream, uint32_t error_code);
  void goaway(int32_t last_stream, uint32_t error_code = NGHTTP2_NO_ERROR);
  void consume(int32_t stream, size_t bytes);
  void frame(uint8_t type, uint8_t flags, int32_t stream, std::string_view payload);
  void flush();  // What nghttp2 wants to send, to `output`.
  std::string take_output();

  std::function<void(Request&)> on_head;
  std::function<void(Request&)> on_end;  // The request is complete.
  std::map<int32_t, Request> requests;
  std::string output;
  int32_t goaway_received = -1;  // Its error code.
  uint32_t frames_refused = 0;
  bool failed = false;  // The client broke the protocol.

 private:
  struct Callbacks;
  struct Deleter {
    void operator()(nghttp2_session* session) const { nghttp2_session_del(session); }
  };
  std::unique_ptr<nghttp2_session, Deleter> session_;
  std::vector<std::shared_ptr<void>> sources_;
};

}  // namespace ringway::http::testing
