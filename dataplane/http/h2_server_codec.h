// HTTP/2 as a server (RFC 9113, RFC 8441): frames of a client to request events, response commands
// to frames. nghttp2 does framing, HPACK, stream states and the send order; what is a well-formed
// request is decided here (h2_fields.h, framing.h).
//
// Flow control is the back-pressure: a stream's window is given back when its bytes went to the
// sink, so a paused stream costs at most its window. The connection's window is given back at once,
// so that streams that are paused stop no other, until kHeldBytesMax are held.
// Output: commands only queue; produce() turns what is queued into frames, as far as windows and
// its bound allow. Body slices are passed on, short ones copied behind their frame header.
// Invariants: (1) a stream counts against the concurrency limit until the peer's side and the
// sink's (finish()) are both over; (2) a request that is malformed is reset and never seen by the
// sink; (3) after the end of the connection was decided nothing more is parsed.
//
// Thread rule: one worker. `sink`, `output`, `output_pool`, `limits` and `random` outlive the
// codec; the codec is not destroyed inside an event.
#pragma once

#include <memory>
#include <vector>

#include "dataplane/http/codec.h"
#include "dataplane/http/framing.h"
#include "dataplane/http/h2_fields.h"
#include "dataplane/http/h2_glitch.h"
#include "dataplane/http/stream_table.h"

namespace ringway::http {

class H2ServerSink : public ServerSink {
 public:
  // Another one. False: that is enough, end the connection (ENHANCE_YOUR_CALM).
  virtual bool on_glitch(H2Glitch glitch) = 0;
  // Instead of on_request_head: the stream was reset, the head taken for it is not used.
  virtual void on_malformed_request(StreamId stream, Error error) = 0;

 protected:
  ~H2ServerSink() = default;
};

struct H2Options {
  uint32_t streams_max = 128;  // As ingress-nginx: http2-max-concurrent-streams.
  uint32_t stream_window_bytes = 64 * 1024;
  uint32_t connection_window_bytes = 1024 * 1024;
};

class H2ServerCodec final : public ServerCodec {
 public:
  static constexpr size_t kHeldBytesMax = 1024 * 1024;

  H2ServerCodec(H2ServerSink& sink, io::SliceQueue& output, io::BufferPool& output_pool,
                const Limits& limits, Random& random, const H2Options& options = {});
  ~H2ServerCodec() override;
  H2ServerCodec(const H2ServerCodec&) = delete;
  H2ServerCodec& operator=(const H2ServerCodec&) = delete;

  void feed(io::Slice data) override;
  void on_end_of_input() override;
  size_t buffered() const override { return held_bytes_; }

  void send_interim(StreamId stream, uint16_t status, const HeaderList& headers) override;
  // `close` means nothing here: an answer that comes before the end of its request is followed by
  // RST_STREAM (NO_ERROR), the connection goes on.
  void send_head(StreamId stream, const ResponseHead& head, bool end, bool close) override;
  void send_body(StreamId stream, io::Slice data, bool end) override;
  void send_trailers(StreamId stream, const HeaderList& trailers) override;
  void reset(StreamId stream) override;
  void pause(StreamId stream) override;
  void resume(StreamId stream) override;
  void switch_to_tunnel(StreamId stream) override;
  void finish(StreamId stream) override;
  bool wants_close() const override;
  bool idle() const override { return streams_.empty(); }
  // First of two steps: no new streams are wanted, those on their way are served. The second comes
  // with the client's answer to a PING, or by finish_drain().
  void drain() override;
  void finish_drain();
  bool draining() const { return draining_; }

  // Frames into the output until it holds `bytes_max` or there is nothing to send. Raises
  // on_writable for streams whose queue became shorter.
  void produce(size_t bytes_max);
  bool wants_output() const;
  size_t queued(StreamId stream) const;  // Body bytes not yet framed.
  size_t queued() const { return queued_bytes_; }
  uint32_t streams() const { return streams_.size(); }
  uint64_t data_frames() const { return data_frames_; }  // Sent so far.
  bool in_head() const { return in_head_; }              // A field block is half received.
  // Requests that the sink has not finished().
  uint32_t open_requests() const { return open_requests_; }

  // Ends the connection: GOAWAY with this error, open requests are truncated. `glitch`: why.
  void end(uint32_t error_code);

  // Streams with a queue that moved less than kProgressBytes in `stall_ns` are given up. Called now
  // and then. When no stream moved at all the connection is ended.
  static constexpr uint64_t kProgressBytes = 16 * 1024;
  struct Stalls {
    uint32_t streams = 0;     // Reset just now.
    bool connection = false;  // All there were: ended.
  };
  Stalls give_up_stalled(uint64_t now_ns, uint64_t stall_ns);

 private:
  static constexpr size_t kResetsKept = 256;
  static constexpr uint32_t kFrameHeaderBytes = 9;
  static constexpr uint32_t kPrefaceBytes = 24;
  struct Stream;
  struct Session;  // nghttp2's callbacks.
  class Visit;

  Stream* find(StreamId stream) const { return streams_.find(stream); }
  Stream& open_stream(StreamId id);
  void free_stream(Stream& stream);
  void free_if_over(Stream& stream);
  void reap();

  // Input (h2_server_codec.cc)
  void parse(const io::Slice& data);
  bool receive(const uint8_t* bytes, size_t size);
  bool is_closed(StreamId id) const;
  bool on_frame_begin(const nghttp2_frame_hd& frame);
  bool on_closed_stream(StreamId id);
  void on_headers(StreamId id, bool trailers, bool end);
  void on_head(Stream& stream, bool end);
  void on_trailers(Stream& stream, bool end);
  void on_data(Stream& stream, std::string_view data);
  void on_stream_end(Stream& stream);
  void on_stream_closed(Stream& stream);
  void break_request(Stream& stream, Error error);
  bool holds(const Stream& stream) const;
  void deliver(Stream& stream, io::Slice data);
  void deliver_held(Stream& stream);
  void drop_held(Stream& stream);
  void keep(io::SliceQueue& queue, io::Slice data);
  void deliver_end(Stream& stream);
  void release_connection_window();
  void abandon_requests();
  bool glitch(H2Glitch kind);
  void end_now();

  // Output (h2_server_output.cc)
  void submit_head(Stream& stream, bool with_body);
  ssize_t read_body(Stream& stream, size_t length, uint32_t& data_flags);
  void write_data(Stream& stream, const uint8_t* frame_header, size_t length);
  void submit_kept_trailers(Stream& stream);
  void on_sent(const nghttp2_frame& frame);
  void reset_stream(Stream& stream, uint32_t error_code, bool client_made_us);
  void continue_body(Stream& stream);
  void drop_output(Stream& stream);

  H2ServerSink& sink_;
  io::SliceQueue& output_;
  io::BufferPool& output_pool_;
  const Limits& limits_;
  Random& random_;
  H2Options options_;
  nghttp2_session* session_ = nullptr;
  StreamTable<Stream> streams_;
  std::vector<std::unique_ptr<Stream>> spare_;
  std::vector<StreamId> progressed_;   // Since on_writable was raised last.
  std::vector<StreamId> over_;         // To be freed when nothing refers to them.
  std::vector<StreamId> resets_sent_;  // The last kResetsKept of them.
  size_t next_reset_ = 0;
  uint32_t payload_left_ = kPrefaceBytes;  // Of the frame that is coming in.
  uint8_t header_bytes_ = 0;
  std::array<uint8_t, kFrameHeaderBytes> header_;
  const io::Slice* input_ = nullptr;  // During parse().
  size_t held_bytes_ = 0;             // Request bytes kept for paused streams.
  size_t owed_bytes_ = 0;             // Of the connection window.
  size_t queued_bytes_ = 0;
  size_t output_bytes_max_ = 0;  // During produce().
  uint64_t data_frames_ = 0;
  uint32_t open_requests_ = 0;
  StreamId last_stream_ = 0;
  uint32_t end_code_ = 0;
  bool end_wanted_ = false;  // Decided inside a callback of nghttp2.
  bool ended_ = false;
  bool broken_ = false;  // The session can't be used any more.
  bool end_of_input_ = false;
  bool client_leaves_ = false;  // GOAWAY received.
  bool in_head_ = false;
  bool draining_ = false;
  bool drained_ = false;     // The second step is done.
  uint32_t depth_ = 0;       // Of calls that may still refer to a stream.
  bool in_session_ = false;  // Inside of nghttp2's receiving or sending.
  H2FieldReader reader_;
  H2FieldWriter writer_;
};

}  // namespace ringway::http
