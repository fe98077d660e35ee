// HTTP/1 as a client: request commands to bytes, bytes of an upstream to response events.
//
// One stream at a time. Invariants: (1) after a malformed, truncated or early-ended exchange, or
// when a byte comes that no request asked for, the connection is never reusable; (2) an event that
// ends a response is raised after it is known whether bytes lie behind it, so reusable() may be
// asked inside the event; (3) an idle codec holds no buffer.
//
// Thread rule: one worker. `sink`, `output`, `output_pool` and `limits` outlive the codec; the
// codec is not destroyed inside an event.
#pragma once

#include <memory>

#include "dataplane/http/body_reader.h"
#include "dataplane/http/body_writer.h"
#include "dataplane/http/codec.h"
#include "dataplane/http/head_gather.h"
#include "dataplane/http/upgrade_request.h"

namespace ringway::http {

class H1ClientCodec final : public ClientCodec {
 public:
  H1ClientCodec(ClientSink& sink, io::SliceQueue& output, io::BufferPool& output_pool,
                const Limits& limits);
  ~H1ClientCodec() override;

  void feed(io::Slice data) override;
  void on_end_of_input() override;

  StreamId open() override;
  void send_head(StreamId stream, const RequestHead& head, bool end) override;
  void send_body(StreamId stream, io::Slice data, bool end) override;
  void send_trailers(StreamId stream, const HeaderList& trailers) override;
  void reset(StreamId stream) override;
  void pause(StreamId stream) override;
  void resume(StreamId stream) override;
  void switch_to_tunnel(StreamId stream) override;

  bool available() const override { return in_ == In::kIdle && !broken_ && !end_of_input_; }
  bool reusable() const override { return available(); }

  // Bytes kept unparsed, e.g. while paused.
  size_t buffered() const;
  // Bytes came that belong to no response; the connection must be closed.
  bool stray_bytes() const { return stray_bytes_; }

 private:
  enum class In : uint8_t {
    kIdle,  // No stream.
    kHead,
    kBody,
    kEnded,     // The response is complete, the request is not: no reuse, and nothing more is read.
    kUpgraded,  // 101 was accepted; what comes waits for switch_to_tunnel().
    kTunnel,
    kClosed,  // Reset, refused or ended: what comes is dropped.
  };
  enum class Out : uint8_t { kIdle, kHead, kBody, kEnded };

  void run();
  bool step();
  bool read_head();
  bool read_gathered_head();
  void on_head_complete(io::Slice memory);
  void on_interim(ResponseHead& head);
  void on_switching_protocols(ResponseHead& head);
  bool read_body();
  void end_of_input();
  void refuse(Error error);
  void end_response();
  void end_request();

  ClientSink& sink_;
  io::SliceQueue& output_;
  io::BufferPool& output_pool_;
  const Limits& limits_;
  ResponseHead* head_ = nullptr;  // The sink's; of the response being parsed.
  std::unique_ptr<HeadGather> gather_;
  std::unique_ptr<UpgradeRequest> upgrade_;  // Only while an upgrade is asked for.
  io::SliceQueue input_;
  BodyReader reader_;
  BodyWriter writer_;
  In in_ = In::kIdle;
  Out out_ = Out::kIdle;
  Method request_method_ = Method::kOther;
  uint16_t interim_responses_ = 0;
  bool running_ : 1 = false;
  bool paused_ : 1 = false;
  bool end_of_input_ : 1 = false;
  bool broken_ : 1 = false;  // Never to be used for another request.
  bool stray_bytes_ : 1 = false;
};

}  // namespace ringway::http
