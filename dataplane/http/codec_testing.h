// For tests and fuzz targets only: sinks that write down events as text, and the differential check
// that one message gives the same events however it is cut.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/http/h1_client_codec.h"
#include "dataplane/http/h1_server_codec.h"

namespace ringway::http::testing {

// Adds `text` in slices of a fresh buffer each, as a receive would.
void feed_text(io::BufferPool& pool, std::string_view text,
               const std::function<void(io::Slice)>& feed);
io::Slice slice_of(io::BufferPool& pool, std::string_view text);
std::string text_of(const io::SliceQueue& queue);
std::string describe(const RequestHead& head);
std::string describe(const ResponseHead& head);
std::string describe(const HeaderList& headers);

// Everything a server codec needs, and its sink: events become lines in `events`, body pieces are
// joined.
class ServerHarness final : public ServerSink {
 public:
  explicit ServerHarness(const Limits& limits = {});
  ~ServerHarness();

  void feed(std::string_view text);

  RequestHead* new_request_head(StreamId stream) override;
  void on_request_head(StreamId stream, RequestHead& head, bool end) override;
  void on_request_body(StreamId stream, io::Slice data, bool end) override;
  void on_request_trailers(StreamId stream, const HeaderList& trailers) override;
  void on_request_error(StreamId stream, Error error) override;
  void on_writable(StreamId) override {}

  void respond(uint16_t status, std::string_view body, bool close = false);
  std::string output_text() const { return text_of(output); }
  // Events, one a line.
  std::string text() const;

  io::BufferPool pool{{.buffer_bytes = 4096, .buffers = 8, .buffers_max = 4096}};
  io::BufferPool receive_pool{{.buffer_bytes = 65536, .buffers = 2, .buffers_max = 64}};
  io::SliceQueue output;
  Limits limits;
  RequestHead head;
  bool no_room = false;  // new_request_head returns nullptr.
  bool answer = true;  // Answer each request with 200 and finish it, inside the event that ends it.
  std::function<void()> on_head;  // Called inside on_request_head.
  std::vector<std::string> events;
  std::vector<uint16_t> answers;
  uint32_t heads = 0;
  Error error = Error::kNone;
  std::unique_ptr<H1ServerCodec> codec;

 private:
  void ended();
};

// The same for a client codec.
class ClientHarness final : public ClientSink {
 public:
  explicit ClientHarness(const Limits& limits = {});
  ~ClientHarness();

  // Opens a stream and sends a request without a body.
  void request(std::string_view method = "GET", std::string_view upgrade = "",
               std::string_view websocket_key = "");
  void feed(std::string_view text);

  ResponseHead* new_response_head(StreamId) override { return &head; }
  void on_interim_response(StreamId stream, ResponseHead& head) override;
  void on_response_head(StreamId stream, ResponseHead& head, bool end) override;
  void on_response_body(StreamId stream, io::Slice data, bool end) override;
  void on_response_trailers(StreamId stream, const HeaderList& trailers) override;
  void on_response_error(StreamId stream, Error error) override;

  std::string output_text() const { return text_of(output); }
  std::string text() const;

  io::BufferPool pool{{.buffer_bytes = 4096, .buffers = 8, .buffers_max = 4096}};
  io::BufferPool receive_pool{{.buffer_bytes = 65536, .buffers = 2, .buffers_max = 64}};
  io::SliceQueue output;
  Limits limits;
  ResponseHead head;
  RequestHead request_head;
  bool tunnel = true;            // switch_to_tunnel inside the event of a 101.
  bool reusable_at_end = false;  // reusable() as seen inside the event that ended the response.
  std::vector<std::string> events;
  Error error = Error::kNone;
  std::unique_ptr<H1ClientCodec> codec;
};

// Feeds `text` whole, byte by byte, and cut in two at every place (at most ~600 of them), each with
// a fresh harness that `run` makes, and returns the events of the first. Any difference is returned
// as text that begins with "DIFFERENCE".
struct ServerRun {
  Limits limits;
  bool end_of_input = false;
  bool answer = true;
};
std::string server_events(std::string_view text, const ServerRun& run = {});

struct ClientRun {
  Limits limits;
  bool end_of_input = false;
  std::string_view method = "GET";
  std::string_view upgrade = "";
  std::string_view websocket_key = "";
};
std::string client_events(std::string_view text, const ClientRun& run = {});

// The error and what the client would be answered, e.g. "bad_header 400"; "" when no request was
// refused.
std::string refusal(std::string_view text, const ServerRun& run = {});

}  // namespace ringway::http::testing
