// What a client's connection has beside Downstream once it speaks HTTP/2: the codec and the
// exchange of each open stream. Made when the protocol is known (ALPN, or the preface in clear
// text), so that HTTP/1 connections pay one pointer.
//
// Thread rule: one worker. Invariants: (1) an exchange is here from its head to on_exchange_done();
// (2) resets count against the concurrency limit until the end of the loop turn, in which their
// upstream's share is called off, so that no turn starts more than streams_max of them; (3) what is
// queued for one stream is bounded by response_high_water(), for all of them by kQueuedMax and one
// receive each.
#pragma once

#include "dataplane/config/snapshot.h"
#include "dataplane/http/h2_server_codec.h"
#include "dataplane/proxy/context.h"
#include "dataplane/proxy/h2_budget.h"

namespace ringway::proxy {

class Downstream;
class Exchange;

class H2Downstream final : private http::H2ServerSink {
 public:
  static constexpr size_t kQueuedMax =
      1024 * 1024;  // Response bytes of one connection before every stream gets its least.
  static constexpr size_t kStreamQueuedMax = 64 * 1024;
  static constexpr size_t kStreamQueuedMin = 8 * 1024;

  H2Downstream(Context& context, Downstream& downstream, io::SliceQueue& output);
  ~H2Downstream();

  http::H2ServerCodec& codec() { return codec_; }
  const http::H2ServerCodec& codec() const { return codec_; }
  // Frames for one send.
  void produce(size_t bytes_max);
  size_t response_high_water() const;
  bool any_request() const { return !exchanges_.empty(); }
  void on_exchange_done(Exchange& exchange);
  void drop_exchanges();  // The client is gone.
  void close_tunnels(uint64_t grace_ns);
  // Looks for streams that do not move. Call it about every stall_ns / 4 while anything is queued.
  void give_up_stalled();

  uint64_t sent_ns = 0;  // When output left last, while some waits.

 private:
  bool on_glitch(http::H2Glitch glitch) override;
  void on_malformed_request(http::StreamId stream, http::Error error) override;
  http::RequestHead* new_request_head(http::StreamId stream) override;
  void on_request_head(http::StreamId stream, http::RequestHead& head, bool end) override;
  void on_request_body(http::StreamId stream, io::Slice data, bool end) override;
  void on_request_trailers(http::StreamId stream, const http::HeaderList& trailers) override;
  void on_request_error(http::StreamId stream, http::Error error) override;
  void on_writable(http::StreamId stream) override;

  Context& context_;
  Downstream& downstream_;
  H2Budget budget_;
  http::StreamTable<Exchange> exchanges_;
  uint64_t turn_ns_ = 0;  // Of the counts of this loop turn:
  uint32_t ended_this_turn_ = 0;
  uint64_t data_frames_ = 0;  // Of them the budget knows.
  http::H2ServerCodec codec_;
};

}  // namespace ringway::proxy
