// For tests only: everything a server codec of HTTP/2 needs, and its sink, which writes down
// events.
#pragma once

#include <functional>
#include <map>

#include "dataplane/http/codec_testing.h"
#include "dataplane/http/h2_server_codec.h"
#include "dataplane/http/h2_test_client.h"

namespace ringway::http::testing {

class H2ServerHarness final : public H2ServerSink {
 public:
  explicit H2ServerHarness(const H2Options& options = {})
      : codec(*this, output, pool, limits, random, options) {}
  ~H2ServerHarness() {
    for (auto& [id, head] : heads) codec.finish(id);
    pump_output();
    CHECK(codec.open_requests() == 0);
  }

  RequestHead* new_request_head(StreamId stream) override {
    if (no_room) return nullptr;
    return &heads[stream];
  }
  void on_request_head(StreamId stream, RequestHead& head, bool end) override {
    note(stream, "head " + std::string(head.method_text) + " " + std::string(head.path) +
                     (end ? " end" : ""));
    if (on_head) on_head(stream);
    if (end && answers) answer(stream, "ok");
  }
  void on_request_body(StreamId stream, io::Slice data, bool end) override {
    bodies[stream] += data.view();
    if (on_body) on_body(stream);
    if (!end) return;
    note(stream, "end");
    if (answers) answer(stream, "ok");
  }
  void on_request_trailers(StreamId stream, const HeaderList& trailers) override {
    note(stream, "trailers " + describe(trailers));
    if (answers) answer(stream, "ok");
  }
  void on_request_error(StreamId stream, Error error) override {
    note(stream, "error " + std::string(error_name(error)));
    if (error == Error::kTruncated) {
      codec.reset(stream);
    } else {
      answer_status(stream, status_of(error));
      return;
    }
    finish(stream);
  }
  void on_malformed_request(StreamId stream, Error error) override {
    note(stream, "malformed " + std::string(error_name(error)));
    finish(stream);
  }
  void on_writable(StreamId stream) override {
    if (on_sent) on_sent(stream);
  }
  bool on_glitch(H2Glitch glitch) override { return ++glitches[glitch] <= glitches_max; }

  void answer(StreamId stream, std::string_view body) {
    ResponseHead head;
    head.status = 200;
    head.body = {BodyKind::kKnown, body.size()};
    codec.send_head(stream, head, body.empty(), false);
    if (!body.empty()) codec.send_body(stream, slice_of(pool, body), true);
    finish(stream);
  }
  void answer_status(StreamId stream, uint16_t status) {
    ResponseHead head;
    head.status = status;
    codec.send_head(stream, head, true, true);
    finish(stream);
  }
  void finish(StreamId stream) {
    codec.finish(stream);
    heads.erase(stream);
  }
  void note(StreamId stream, const std::string& what) {
    events += std::to_string(stream) + ": " + what + "\n";
  }

  void feed(std::string_view bytes) {
    feed_text(receive_pool, bytes, [this](io::Slice slice) { codec.feed(std::move(slice)); });
  }
  std::string pump_output() {
    std::string out;
    do {
      codec.produce(100'000);
      out += text_of(output);
      if (output.empty()) break;
      output.clear();
    } while (true);
    return out;
  }
  // Back and forth until both are silent.
  void pump(H2TestClient& client) {
    for (int i = 0; i < 1000; ++i) {
      const std::string up = client.take_output();
      if (!up.empty()) feed(up);
      const std::string down = pump_output();
      if (!down.empty()) client.feed(down);
      if (up.empty() && down.empty()) return;
    }
    CHECK(!"they never stop");
  }

  io::BufferPool pool{{.buffer_bytes = 4096, .buffers = 8, .buffers_max = 8192}};
  io::BufferPool receive_pool{{.buffer_bytes = 65536, .buffers = 2, .buffers_max = 256}};
  io::SliceQueue output;
  Limits limits;
  Random random{1};
  std::map<StreamId, RequestHead> heads;
  std::map<StreamId, std::string> bodies;
  std::map<H2Glitch, uint32_t> glitches;
  uint32_t glitches_max = UINT32_MAX;
  std::function<void(StreamId)> on_head, on_body, on_sent;
  bool answers = true;
  bool no_room = false;
  std::string events;
  H2ServerCodec codec;
};

inline const H2FieldList kPost = {
    {":method", "POST"}, {":scheme", "http"}, {":authority", "a.test"}, {":path", "/p"}};
inline const H2FieldList kGet = {
    {":method", "GET"}, {":scheme", "http"}, {":authority", "a.test"}, {":path", "/"}};

inline H2FieldList with(H2FieldList fields, const H2FieldList& more) {
  fields.insert(fields.end(), more.begin(), more.end());
  return fields;
}

inline std::string headers(uint32_t stream, const H2FieldList& fields, bool end = true) {
  return h2_frame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | (end ? NGHTTP2_FLAG_END_STREAM : 0),
                  stream, h2_block(fields));
}

}  // namespace ringway::http::testing
