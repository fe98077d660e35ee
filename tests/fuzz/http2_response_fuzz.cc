// Frames of an HTTP/2 server, for a client with two requests open. What must hold for any bytes:
// the same events for every cut, errors aside; after an error or the end nothing more of a stream;
// every stream can be released and every buffer comes back; an accepted final head, written for an
// HTTP/1.1 client and read again, means the same.
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "dataplane/http/codec_testing.h"
#include "dataplane/http/h2_client_codec.h"
#include "dataplane/http/hop_by_hop.h"

namespace ringway::http::testing {
namespace {

constexpr uint32_t kStreams = 2;

struct Client final : ClientSink {
  Client() : codec(*this, output, pool, limits, {}) {
    for (uint32_t i = 0; i < kStreams; ++i) {
      RequestHead request;
      request.method = i == 0 ? Method::kGet : Method::kHead;
      request.method_text = i == 0 ? "GET" : "HEAD";
      request.path = "/";
      request.authority = "a";
      const StreamId stream = codec.open();
      CHECK(stream == i);
      codec.send_head(stream, request, true);
    }
  }
  ~Client() {
    for (uint32_t i = 0; i < kStreams; ++i) codec.release(i);
  }

  void feed(std::string_view bytes) {
    feed_text(receive_pool, bytes, [this](io::Slice slice) { codec.feed(std::move(slice)); });
  }
  void note(StreamId stream, const std::string& event, bool end) {
    CHECK(stream < kStreams && !ended[stream]);
    ended[stream] = end;
    events[stream] += event + "\n";
  }

  ResponseHead* new_response_head(StreamId stream) override { return &heads[stream]; }
  void on_interim_response(StreamId stream, ResponseHead& head) override {
    note(stream, "interim " + describe(head), false);
  }
  void on_response_head(StreamId stream, ResponseHead& head, bool end) override {
    CHECK(head.status >= 200 && head.status <= 599);
    check_written(head);
    note(stream, "head " + describe(head), end);
  }
  void on_response_body(StreamId stream, io::Slice data, bool end) override {
    CHECK(end || !data.empty());
    CHECK(!ended[stream]);
    ended[stream] = end;
    bodies[stream] += data.view();
  }
  void on_response_trailers(StreamId stream, const HeaderList& trailers) override {
    note(stream, "trailers" + describe(trailers), true);
  }
  void on_response_error(StreamId stream, Error error) override {
    note(stream, "error " + std::string(error_name(error)), true);
  }

  // An HTTP/1.1 client reads one response with the same status and length.
  static void check_written(const ResponseHead& head) {
    ResponseHead copy;
    copy.status = head.status;
    copy.body = head.body;
    copy.headers = head.headers;
    remove_hop_by_hop(copy);
    ServerHarness server;
    server.answer = false;
    server.feed("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    server.codec->send_head(0, copy, false, false);
    ClientHarness client;
    client.limits.headers_bytes_max *= 2;
    client.limits.headers_max = HeaderList::kHeadersMax;
    client.request("GET");
    client.feed(server.output_text());
    CHECK(client.error == Error::kNone && client.head.status == head.status);
  }

  std::string text() const {
    std::string all;
    for (uint32_t i = 0; i < kStreams; ++i) all += events[i] + bodies[i] + (ended[i] ? "." : "");
    return all + (codec.broken() ? "broken" : "");
  }

  io::BufferPool pool{{.buffer_bytes = 4096, .buffers = 8, .buffers_max = 4096}};
  io::BufferPool receive_pool{{.buffer_bytes = 65536, .buffers = 2, .buffers_max = 64}};
  io::SliceQueue output;
  Limits limits;
  ResponseHead heads[kStreams];
  std::string events[kStreams], bodies[kStreams];
  bool ended[kStreams] = {};
  H2ClientCodec codec;
};

std::string events_of(std::string_view text, const std::vector<size_t>& cuts) {
  Client client;
  size_t from = 0;
  for (const size_t cut : cuts) {
    client.feed(text.substr(from, cut - from));
    from = cut;
  }
  client.feed(text.substr(from));
  return client.text();
}

}  // namespace
}  // namespace ringway::http::testing

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ringway::http::testing;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::string whole = events_of(text, {});
  std::vector<size_t> every;
  for (size_t i = 1; i < size; ++i) every.push_back(i);
  // Behind an error it counts when our reset was written: between two receives or after the last.
  const bool clean = whole.find("error ") == std::string::npos && !whole.ends_with("broken");
  const auto check = [&](const std::string& events) {
    if (clean && events != whole)
      std::fprintf(stderr, "%s\nwhole:\n%s\n", events.c_str(), whole.c_str());
    CHECK(!clean || events == whole);
  };
  check(events_of(text, every));
  for (size_t i = 1; i <= 3; ++i) check(events_of(text, {size * i / 4}));
  return 0;
}
