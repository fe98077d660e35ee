// HTTP/2 as a client (RFC 9113), with nghttp2 for frames and HPACK: request commands of many
// streams to bytes, bytes of an upstream to response events.
//
// StreamId is the index of a place in the codec's table, not the number on the wire: a place is
// given again when its stream has closed and the sink has released it, so that the sink's own table
// stays dense. Every opened stream must be released, whatever became of it.
//
// Flow control. Up: what a stream may not send yet waits in its place; queued() tells, and
// on_request_sent() when it has become less. The output queue takes frames up to kOutputBytesMax,
// so that it is the streams that wait and not the connection. Down: the connection's window is
// opened as bytes come, a stream's as the sink takes them; what comes for a paused stream is kept
// here, at most its window. So one slow stream stops no other.
//
// Invariants: (1) an upstream is trusted as little as a client: malformed heads, lengths that do
// not come out and frames that waste time cost the stream, and beyond a budget the connection; (2)
// events are raised from feed() and resume() only; commands may be called from inside them.
//
// Thread rule: one worker. `sink`, `output`, `output_pool` and `limits` outlive the codec; the
// codec is not destroyed inside an event.
#pragma once

#include <nghttp2/nghttp2.h>

#include <memory>
#include <vector>

#include "dataplane/http/codec.h"
#include "dataplane/http/framing.h"
#include "dataplane/http/h2_fields.h"

namespace ringway::http {

class H2ClientCodec final : public ClientCodec {
 public:
  struct Options {
    bool tls = false;  // :scheme
    // Of ours at once: what RFC 9113 section 6.5.2 recommends a peer to allow at least. The peer's
    // SETTINGS_MAX_CONCURRENT_STREAMS counts when it is less.
    uint32_t streams_max = 100;
  };
  // Writes the connection preface and SETTINGS at once (RFC 9113 section 3.3: prior knowledge).
  H2ClientCodec(ClientSink& sink, io::SliceQueue& output, io::BufferPool& output_pool,
                const Limits& limits, const Options& options);
  ~H2ClientCodec() override;
  H2ClientCodec(const H2ClientCodec&) = delete;
  H2ClientCodec& operator=(const H2ClientCodec&) = delete;

  void feed(io::Slice data) override;
  // Every open stream ends with kTruncated.
  void on_end_of_input() override;

  StreamId open() override;
  void send_head(StreamId stream, const RequestHead& head, bool end) override;
  void send_body(StreamId stream, io::Slice data, bool end) override;
  void send_trailers(StreamId stream, const HeaderList& trailers) override;
  void reset(StreamId stream) override;
  void pause(StreamId stream) override;
  void resume(StreamId stream) override;
  void switch_to_tunnel(StreamId stream) override;

  // Fewer streams are open than both sides allow.
  bool available() const override;
  // No GOAWAY came, nothing is broken, numbers are left.
  bool reusable() const override;

  // The sink is through with the stream: it is reset unless it has ended, and raises nothing more.
  void release(StreamId stream);
  size_t queued(StreamId stream) const;
  bool request_ended(StreamId stream) const;  // Its last byte is in the output queue.
  void on_output_sent();                      // The output queue has room again.
  // Time has passed: adds to the peer's budget of frames that waste ours.
  void forgive(uint32_t glitches);
  // GOAWAY; nothing is opened after it.
  void shut_down();

  // The connection must be closed: a connection error, or the peer's budget is spent. What the
  // peer is to be told is in the output queue.
  bool broken() const { return broken_; }
  // What the peer allows at once, at most Options::streams_max.
  uint32_t streams_allowed() const;
  uint32_t streams() const { return used_; }
  // The peer takes WebSocket over HTTP/2 (RFC 8441 section 3).
  bool extended_connect() const;
  // The peer's first SETTINGS have come: before, its word on extended CONNECT is not known.
  bool settings_known() const { return settings_known_; }

 private:
  struct Place;
  struct Callbacks;
  struct SessionDeleter {
    void operator()(nghttp2_session* session) const;
  };

  // Of the frames of bodies; what nghttp2 writes itself is not held back.
  static constexpr size_t kOutputBytesMax = 64 * 1024;

  nghttp2_session* make_session();
  static nghttp2_data_provider body_of(Place& place);
  Place& place(StreamId stream);
  bool usable(const Place& place) const;
  void wake(Place& place);
  void pump();
  void raise_sent();
  void spend(uint32_t glitches);
  void fail(Place& place, Error error);
  void refuse(Place& place, Error error);
  void free_if_done(Place& place);
  void on_head(Place& place, bool end);
  void on_final_head(Place& place, ResponseHead& head, bool end);
  void on_tunnel_head(Place& place, ResponseHead& head);
  void on_trailers(Place& place, bool end);
  void on_data(Place& place, std::string_view data);
  void on_end(Place& place);
  void on_closed(Place& place, uint32_t error_code);
  void end_response(Place& place);

  ClientSink& sink_;
  io::SliceQueue& output_;
  io::BufferPool& output_pool_;
  const Limits& limits_;
  const Options options_;
  std::unique_ptr<nghttp2_session, SessionDeleter> session_;
  std::vector<std::unique_ptr<Place>> places_;  // By StreamId; kept for the next stream.
  std::vector<StreamId> free_;
  std::vector<StreamId> sent_;          // Whose queues have shrunk since sinks were told.
  H2FieldReader fields_;                // Of the block being received: blocks do not interleave.
  const io::Slice* current_ = nullptr;  // What feed() was given.
  uint32_t used_ = 0;
  uint32_t budget_;
  bool in_session_ = false;  // Inside nghttp2_session_mem_recv: it must not be asked to write.
  bool settings_known_ = false;
  bool goaway_ = false;      // Of either side.
  bool broken_ = false;
};

}  // namespace ringway::http
