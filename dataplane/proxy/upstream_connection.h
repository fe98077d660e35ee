// A connection to an endpoint: transport + client codec, serving one exchange at a time (HTTP/1.1), or idle in its pool.
//
// Thread rule: one worker. States: kConnecting → kBusy ↔ kIdle → kDraining; leaves only by drain() → on_transport_closed → UpstreamPool::forget.
// Invariants: (1) an idle connection has no exchange, no unread bytes and a receive armed, so that a peer's close is known at once;
// (2) bytes on an idle connection close it (RFC 9112 section 9.2: they answer nothing).
#pragma once

#include <memory>

#include "dataplane/http/h1_client_codec.h"
#include "dataplane/proxy/transport.h"
#include "dataplane/upstream/cluster.h"

namespace ringway::proxy {

class Exchange;
class UpstreamPool;
struct PoolEntry;

class UpstreamConnection final : private TransportSink, private http::ClientSink {
 public:
  UpstreamConnection(Context& context, UpstreamPool& pool, PoolEntry& entry);

  // Begins to connect. False: no socket could be made (EMFILE and the like); free it.
  bool connect(Exchange& exchange);

  // The exchange it serves from now on. REQUIRES: idle().
  void attach(Exchange& exchange);
  // The exchange is through with it. `reuse`: both messages ended, so the connection may serve again, if its codec agrees.
  void release(bool reuse);
  void drain();

  http::ClientCodec& codec() { return codec_; }
  http::StreamId stream() const { return stream_; }
  size_t queued() const { return transport_.queued(); }
  void mark_dirty() { transport_.mark_dirty(); }
  void prefer_bulk(bool bulk) { transport_.prefer_bulk(bulk); }
  void pause_response();
  void resume_response();
  void end_output() { transport_.end_output(); }          // Tunnel half-close.

  bool output_ended() const { return transport_.output_ended(); }

  bool idle() const { return state_ == State::kIdle; }
  bool connecting() const { return state_ == State::kConnecting; }
  bool reused() const { return requests_ > 1; }           // A failure before the first response byte may be the peer's keep-alive end.
  uint32_t requests() const { return requests_; }
  uint64_t created_ns() const { return created_ns_; }
  uint64_t idle_since_ns() const { return idle_since_ns_; }
  PoolEntry& entry() { return entry_; }
  bool received_anything() const { return received_anything_; }   // Since attach().

  // Pool's lists.
  UpstreamConnection* next_idle = nullptr;
  UpstreamConnection* previous_idle = nullptr;
  size_t index = 0;

 private:
  enum class State : uint8_t { kConnecting, kBusy, kIdle, kDraining };

  void on_connect(io::Completion&& completion);
  void settle();      // After a callback: if the exchange let go, back to the pool or away.

  void on_transport_open() override {}
  void on_transport_data(io::Slice data) override;
  void on_transport_end() override;
  void on_transport_failed(int error) override;
  void on_transport_sent() override;
  void on_transport_output_ended() override;
  void on_transport_closed() override;

  http::ResponseHead* new_response_head(http::StreamId stream) override;
  void on_interim_response(http::StreamId stream, http::ResponseHead& head) override;
  void on_response_head(http::StreamId stream, http::ResponseHead& head, bool end) override;
  void on_response_body(http::StreamId stream, io::Slice data, bool end) override;
  void on_response_trailers(http::StreamId stream, const http::HeaderList& trailers) override;
  void on_response_error(http::StreamId stream, http::Error error) override;

  Context& context_;
  UpstreamPool& pool_;
  PoolEntry& entry_;
  Transport transport_;
  http::H1ClientCodec codec_;
  io::ConnectOp connect_;
  io::Socket socket_;
  Exchange* exchange_ = nullptr;
  http::StreamId stream_ = 0;
  State state_ = State::kConnecting;
  bool in_codec_ = false;
  bool held_ = false;              // The response is paused.
  bool release_pending_ = false;
  bool reuse_ = false;
  bool received_anything_ = false;
  uint32_t requests_ = 0;
  uint64_t created_ns_ = 0;
  uint64_t idle_since_ns_ = 0;
};

}  // namespace ringway::proxy
