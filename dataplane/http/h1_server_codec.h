// HTTP/1 as a server: bytes of a client to request events, response commands to bytes.
//
// One request at a time: what a client pipelines behind it is kept until finish(). Invariants:
// (1) bytes of a body are never read as a head: a request that was not read to its end closes the
// connection; (2) after an error, reset() or wants_close() nothing more is parsed; (3) an idle
// codec holds no buffer.
//
// Thread rule: one worker. `sink`, `output`, `output_pool` and `limits` outlive the codec; the
// codec is not destroyed inside an event.
#pragma once

#include <memory>

#include "dataplane/http/body_reader.h"
#include "dataplane/http/body_writer.h"
#include "dataplane/http/codec.h"
#include "dataplane/http/head_gather.h"

namespace ringway::http {

class H1ServerCodec final : public ServerCodec {
 public:
  H1ServerCodec(ServerSink& sink, io::SliceQueue& output, io::BufferPool& output_pool,
                const Limits& limits);

  void feed(io::Slice data) override;
  void on_end_of_input() override;
  size_t buffered() const override;

  void send_interim(StreamId stream, uint16_t status, const HeaderList& headers) override;
  void send_head(StreamId stream, const ResponseHead& head, bool end, bool close) override;
  void send_body(StreamId stream, io::Slice data, bool end) override;
  void send_trailers(StreamId stream, const HeaderList& trailers) override;
  void reset(StreamId stream) override;
  void pause(StreamId stream) override;
  void resume(StreamId stream) override;
  void switch_to_tunnel(StreamId stream) override;

  void finish(StreamId stream) override;
  bool wants_close() const override { return wants_close_; }
  bool idle() const override;
  void drain() override;

  // The head, or its next bytes, did not come in time: refused like a malformed one, with `error`.
  // REQUIRES: no request is open.
  void refuse_head(Error error);

 private:
  enum class In : uint8_t {
    kHead,  // Between requests or inside a head.
    kBody,
    kHeld,  // The request is complete; what comes behind it waits for finish() or
            // switch_to_tunnel().
    kTunnel,
    kClosed,  // What comes is dropped.
  };
  enum class Out : uint8_t {
    kIdle,  // No request.
    kHead,  // A final response head may be sent.
    kBody,
    kTunnel,
    kEnded,  // The response is complete.
  };

  void run();
  bool step();
  bool read_head();
  bool read_gathered_head();
  bool count_empty_line();
  void on_head_complete(io::Slice memory);
  bool read_body();
  void end_of_input();
  void refuse(Error error);
  void end_response();
  void close_after_output();

  ServerSink& sink_;
  io::SliceQueue& output_;
  io::BufferPool& output_pool_;
  const Limits& limits_;
  RequestHead* head_ = nullptr;  // The sink's; of the request being parsed or served.
  std::unique_ptr<HeadGather> gather_;
  io::SliceQueue input_;
  BodyReader reader_;
  BodyWriter writer_;
  In in_ = In::kHead;
  Out out_ = Out::kIdle;
  uint8_t empty_lines_ = 0;
  bool running_ : 1 =
      false;  // Inside run(): what a sink calls from an event must not start it again.
  bool paused_ : 1 = false;
  bool end_of_input_ : 1 = false;
  bool keep_alive_ : 1 = true;  // Another request may follow this one.
  bool wants_close_ : 1 = false;
  bool draining_ : 1 = false;
  bool http10_ : 1 = false;  // Of the current request:
  bool head_request_ : 1 = false;
  bool awaits_continue_ : 1 = false;  // Expect: 100-continue, neither 100 sent nor body seen.
  bool upgrade_ : 1 = false;
};

}  // namespace ringway::http
