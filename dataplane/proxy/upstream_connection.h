// A connection to an endpoint: transport + client codec. HTTP/1.1 serves one exchange at a time,
// HTTP/2 many.
//
// Thread rule: one worker. States: kConnecting → (kHandshaking →) kIdle ↔ kBusy → (kClosing →)
// kDraining; leaves only by drain() → on_transport_closed → UpstreamPool::forget. kClosing: HTTP/2
// says GOAWAY and shuts its side down first. Invariants: (1) an idle connection has no exchange, no
// unread bytes and a receive armed, so that a peer's close is known at once; (2) bytes on an idle
// HTTP/1 connection close it (RFC 9112 section 9.2: they answer nothing); (3) of an HTTP/1
// connection the exchange it was opened for is attached when it is ready; an HTTP/2 connection is
// opened for nobody in particular: the pool attaches those who wait.
#pragma once

#include <memory>
#include <vector>

#include "dataplane/http/codec.h"
#include "dataplane/proxy/transport.h"
#include "dataplane/upstream/cluster.h"

namespace ringway::http {
class H2ClientCodec;
}

namespace ringway::proxy {

class Exchange;
class UpstreamPool;
struct PoolEntry;

// Whether a connection takes upgrades. HTTP/1: always. HTTP/2: when the peer has said so (RFC 8441
// section 3).
enum class Upgrades : uint8_t { kUnknown, kNo, kYes };

class UpstreamConnection final : private TransportSink, private http::ClientSink {
 public:
  // `for_upgrade`: HTTP/1.1 whatever the entry's protocol, for one request.
  UpstreamConnection(Context& context, UpstreamPool& pool, PoolEntry& entry, bool for_upgrade);
  ~UpstreamConnection();

  // Begins to connect, for that exchange (HTTP/1) or nobody (HTTP/2: nullptr). False: no socket
  // could be made (EMFILE and the like); free it.
  bool connect(Exchange* exchange);

  // Opens a stream for the exchange, which is told its number. REQUIRES: has_room().
  void attach(Exchange& exchange);
  // The exchange is through with its stream. `reuse`: both messages ended, so an HTTP/1 connection
  // may serve again, if its codec agrees. While connecting: `stream` is not looked at.
  void release(http::StreamId stream, bool reuse);
  // No new stream; goes when the last one has ended, at once when there is none.
  void retire();
  void drain();
  // From the pool: HTTP/2 connections.
  void become_idle();
  // From the pool: as if the connect had failed.
  void give_up_connecting();
  void on_second();

  http::ClientCodec& codec() { return *codec_; }
  // Bytes of the stream's request that are not on their way yet.
  size_t queued(http::StreamId stream) const;
  void mark_dirty() { transport_.mark_dirty(); }
  void prefer_bulk(bool bulk) { transport_.prefer_bulk(bulk); }
  void pause_response(http::StreamId stream);
  void resume_response(http::StreamId stream);
  // Tunnel half-close.
  void end_output(http::StreamId stream);
  bool output_ended(http::StreamId stream) const;
  // A failure now, before the first response byte, may be no more than the peer's keep-alive end.
  bool stale(http::StreamId stream) const;

  Upgrades upgrades() const;
  // REQUIRES: they are unknown. on_upstream_ready() again, when they are not any more.
  void tell_when_known(http::StreamId stream) { streams_[stream].waits = true; }

  bool multiplexed() const;
  bool idle() const { return state_ == State::kIdle; }
  bool connecting() const { return state_ == State::kConnecting || state_ == State::kHandshaking; }
  bool closing() const { return state_ == State::kClosing; }
  // Another exchange can be attached now.
  bool has_room() const;
  uint32_t streams() const { return active_; }
  uint32_t requests() const { return requests_; }
  uint64_t created_ns() const { return created_ns_; }
  uint64_t idle_since_ns() const { return idle_since_ns_; }  // kClosing: since when.
  PoolEntry& entry() const { return entry_; }

  // Pool's lists.
  UpstreamConnection* next_idle = nullptr;
  UpstreamConnection* previous_idle = nullptr;
  size_t index = 0;

 private:
  enum class State : uint8_t { kConnecting, kHandshaking, kBusy, kIdle, kClosing, kDraining };

  // What an exchange sees of the connection; HTTP/1 has one of them.
  struct Stream {
    Exchange* exchange = nullptr;
    uint64_t received_before = 0;  // Of the connection, when the exchange was attached.
    bool held = false;             // The response is paused.
    bool waits = false;            // For the peer's SETTINGS, see tell_when_known().
  };

  void on_connect(io::Completion&& completion);
  void established();
  void fail_connecting();
  void settle();  // After a callback: what exchanges let go of goes back to the pool, or away.
  void learn_settings();
  void settle_single();
  void settle_shared();
  void close_politely();
  void fail_streams(http::Error error);
  Exchange* exchange_of(http::StreamId stream) const;

  void on_transport_open() override;
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
  void on_request_sent(http::StreamId stream) override;

  Context& context_;
  UpstreamPool& pool_;
  PoolEntry& entry_;
  Transport transport_;
  std::unique_ptr<http::ClientCodec> codec_;
  http::H2ClientCodec* h2_ = nullptr;  // codec_, when it is one.
  io::ConnectOp connect_;
  io::Socket socket_;
  Exchange* opened_for_ = nullptr;  // While connecting.
  std::vector<Stream> streams_;     // By StreamId.
  State state_ = State::kConnecting;
  const bool for_upgrade_;
  bool settings_learned_ = false;
  bool in_codec_ = false;
  bool release_pending_ = false;
  bool reuse_ = false;
  bool retired_ = false;
  uint32_t active_ = 0;  // Streams with an exchange.
  uint32_t requests_ = 0;
  uint64_t received_ = 0;  // Bytes.
  uint64_t created_ns_ = 0;
  uint64_t idle_since_ns_ = 0;
};

}  // namespace ringway::proxy
