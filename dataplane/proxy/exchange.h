// One request and its response, whatever the HTTP versions on either side.
//
// Thread rule: one worker. Taken from and given back to Context's free list; never freed while the worker runs.
// Phases: kFree → kHead → (kWaiting → kStreaming)* → kDone. kWaiting: connecting or queued for a connection. A local answer (redirect,
// error) goes from kHead, kWaiting or kStreaming straight to kDone.
// Beside the phase each side is open or ended:
//   request | response | what may happen
//   open    | open     | body flows up; an early response may begin
//   ended   | open     | waiting for, or streaming, the response; failures before its head may be retried
//   open    | ended    | early response: the upstream connection is not reused, the downstream closes after it
//   ended   | ended    | done: both connections may be reused
// Tunnel (after 101): both sides carry bytes; each ends by its half-close; done when both have, or by a timeout. See exchange_tunnel.cc.
// Deadlines: one timer, armed for the nearest deadline that may come; activity only stores a time. See exchange_timeouts.cc.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "dataplane/config/snapshot.h"
#include "dataplane/http/codec.h"
#include "dataplane/http/message.h"
#include "dataplane/io/timer_wheel.h"
#include "dataplane/proxy/context.h"
#include "dataplane/proxy/grpc_web.h"
#include "dataplane/proxy/retry.h"
#include "dataplane/proxy/websocket_tunnel.h"

namespace ringway::proxy {

class Downstream;
class UpstreamConnection;
enum class Acquired : uint8_t;
struct PoolEntry;

class Exchange {
 public:
  explicit Exchange(Context& context);
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  // ---- from Downstream ----
  void begin(Downstream& downstream, http::StreamId stream);     // kFree → kHead: a head is about to be parsed.
  http::RequestHead& request_head() { return request_; }
  void on_request_head(bool end);
  void on_request_body(io::Slice data, bool end);
  void on_request_trailers(const http::HeaderList& trailers);
  void on_request_error(http::Error error);                       // Refused head, malformed body, or the client left inside it.
  void on_downstream_sent();                                      // Its queue went down.
  void on_downstream_gone();                                      // Reset: nothing can be answered.
  // The worker ends soon, or the tunnel is too old or idle: a WebSocket is told so between two frames, and has this long to agree. What is no
  // WebSocket stays as it is.
  void close_tunnel(uint64_t grace_ns);
  bool head_seen() const { return phase_ != Phase::kFree && phase_ != Phase::kHead; }
  bool done() const { return phase_ == Phase::kDone; }
  bool request_ended() const { return request_ended_; }
  http::StreamId stream() const { return stream_; }

  // ---- from UpstreamConnection and UpstreamPool ----
  void on_upstream_opened(UpstreamConnection& connection) { upstream_ = &connection; }   // Connecting, after waiting.
  // A stream of that connection is ours; on_upstream_ready() follows unless it was asked for just now.
  void on_upstream_attached(UpstreamConnection& connection, http::StreamId stream) {
    upstream_ = &connection;
    upstream_stream_ = stream;
  }
  void on_upstream_ready();
  void on_upstream_failed(upstream::Outcome outcome, http::Error error);
  void on_upstream_sent();
  void on_upstream_output_ended() {                               // Its half-close is out.
    if (tunnel_ && !done()) end_tunnel_if_through();
  }
  http::ResponseHead& response_head() { return response_; }
  void on_interim_response(http::ResponseHead& head);
  void on_response_head(http::ResponseHead& head, bool end);
  void on_response_body(io::Slice data, bool end);
  void on_response_trailers(const http::HeaderList& trailers);

  // ---- from Context ----
  void recycle();                                                 // kDone → kFree. Drops all memory and the snapshot's pin.

  // UpstreamPool's waiting list.
  Exchange* next_pending = nullptr;
  PoolEntry* pending_entry = nullptr;
  uint64_t pending_ticket = 0;

 private:
  enum class Phase : uint8_t { kFree, kHead, kWaiting, kStreaming, kDone };

  // exchange_request.cc
  bool select_route();
  bool answer_from_route();
  void redirect_to_https();
  bool prepare_request();                 // False: answered.
  std::string_view new_request_id();      // 128 random bits in hex, as ingress-nginx's $req_id.
  void rewrite_path();
  void set_deadline();
  bool forward_grpc_timeout();            // False: nothing is left of it, answered.
  void start_try();
  void try_endpoint(const upstream::EndpointRef& chosen);
  bool go_on_elsewhere();                 // After a connect that failed: at an endpoint that was not tried.
  void send_request();
  void fall_back_for_upgrade();
  void await(Acquired acquired, UpstreamConnection* connection);
  void take_request_body(io::Slice data, bool end);
  void decode_request_body(io::Slice data, bool end);
  void forward_body(io::Slice data, bool end);
  void pause_request_if_full();
  const upstream::Cluster* choose_cluster();

  // exchange_response.cc
  void prepare_response(http::ResponseHead& head);
  bool retry_unavailable();
  void send_response_body(io::Slice data, bool end);
  void on_response_end();
  void prefer_bulk_response();
  void pause_response_if_full();

  // exchange_tunnel.cc
  void start_tunnel();
  void on_tunnel_request(io::Slice data, bool end);
  void on_tunnel_response(io::Slice data, bool end);
  void say_close_up(bool end);
  void say_close_down(bool end);
  void end_tunnel_if_through();
  uint64_t next_tunnel_deadline() const;
  bool expire_tunnel(uint64_t now_ns);

  // exchange.cc
  void respond(uint16_t status, std::string_view location = {}, std::string_view body = {});
  void break_off();                       // The response can't be finished: reset the stream downstream.
  void end_try(upstream::Outcome outcome);
  void let_go_of_upstream(bool reuse);
  void finish();
  void log_access();
  void note_grpc_code(const http::HeaderList& headers);   // Of a head that ends, or trailers.
  void count_request();
  uint32_t metrics_slot() const;

  // exchange_timeouts.cc
  void arm_timer();
  void on_timer();
  uint64_t next_deadline(uint64_t now_ns);
  bool expire(uint64_t now_ns);

  Context& context_;
  Downstream* downstream_ = nullptr;
  http::StreamId stream_ = 0;
  Phase phase_ = Phase::kFree;
  bool request_ended_ = false;
  bool response_ended_ = false;
  bool response_started_ = false;         // A final head went downstream.
  bool response_headed_ = false;          // A final head came from upstream.
  bool tunnel_ = false;
  bool request_paused_ = false;
  bool response_paused_ = false;
  bool request_sent_ = false;             // The head was handed to the current connection.
  bool continue_sent_ = false;
  bool try_open_ = false;                 // load.begin() without its end().
  bool fresh_wanted_ = false;            // The next try must not take an idle connection.
  bool grpc_ = false;
  bool grpc_unavailable_ = false;         // The endpoint's own word, before any message.

  SnapshotPins::Pin* pin_ = nullptr;
  const route::Route* route_ = nullptr;
  const upstream::Cluster* cluster_ = nullptr;
  upstream::EndpointState* endpoint_ = nullptr;
  UpstreamConnection* upstream_ = nullptr;
  http::StreamId upstream_stream_ = 0;    // Once attached.
  Retry retry_;
  GrpcWeb grpc_web_;
  std::unique_ptr<WebSocketTunnel> websocket_;   // Of a tunnel that is one.
  io::SliceQueue waiting_body_;           // Came before a connection was there.
  bool waiting_end_ = false;

  io::Timer timer_;
  uint64_t begin_ns_ = 0;
  uint64_t deadline_ns_ = 0;              // Of the whole exchange; 0: none.
  uint64_t grpc_deadline_ns_ = 0;         // What the client asked for; 0: nothing.
  uint64_t tunnel_begin_ns_ = 0;
  uint64_t tunnel_close_by_ns_ = 0;       // When a tunnel that was told to close is cut; 0: it was not.
  uint64_t try_begin_ns_ = 0;
  uint64_t body_begin_ns_ = 0;            // Later by every time the client was not read.
  uint64_t paused_at_ns_ = 0;
  uint64_t request_sent_ns_ = 0;          // The last byte of the head, for upstream_duration.
  uint64_t upstream_read_ns_ = 0;
  uint64_t upstream_write_ns_ = 0;
  uint64_t downstream_read_ns_ = 0;
  uint64_t downstream_write_ns_ = 0;
  uint64_t upstream_duration_ns_ = 0;
  uint64_t request_bytes_ = 0;
  uint64_t response_bytes_ = 0;
  uint16_t status_ = 0;
  uint8_t grpc_code_ = observe::kGrpcNone;

  http::RequestHead request_;
  http::ResponseHead response_;
  std::array<char, 32> request_id_;
  std::array<char, 9> grpc_timeout_;
  std::string scratch_;                   // Location, rewritten path: keeps its capacity over requests.
};

}  // namespace ringway::proxy
