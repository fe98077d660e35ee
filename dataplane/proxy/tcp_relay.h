// A connection whose bytes go to an endpoint as they are, and back: TCP listeners, TLS that is
// terminated here but speaks no HTTP, TLS that passes through.
//
// Thread rule: one worker. States: kHandshaking (TLS terminated here) → kConnecting ↔ kClosingTry →
// kRelaying → kFlushing → kDraining; freed in on_accepted_closed, when every op is back.
//   kClosingTry  the socket that did not connect is closed first; another endpoint, or the end
//   kFlushing    the endpoint broke the connection: what it had sent before still goes to the
//   client
// Each end has a transport, and the same rule: above the high-water mark of what the other end has
// not taken, it is not read; its end of stream becomes a half-close of the other end behind all
// bytes. Both ended: done.
// The endpoint and its cluster are held by pointer, not the snapshot: connections live for days and
// outlast any number of configurations.
// Retries (before the first byte reached an endpoint, so always safe): other endpoints until the
// policy's tries or the cluster's retry budget are used up. As for requests (Retry), a refused
// connect costs neither while there is an endpoint that was not tried; off where retries are (tries
// = 1).
#pragma once

#include <algorithm>
#include <array>
#include <expected>
#include <memory>
#include <span>

#include "dataplane/config/snapshot.h"
#include "dataplane/net/address.h"
#include "dataplane/net/proxy_protocol.h"
#include "dataplane/proxy/accepted.h"
#include "dataplane/proxy/transport.h"

namespace ringway::proxy {

// Who is at the other end of an accepted connection.
struct Client {
  io::SocketAddress peer;        // As accepted, or as a trusted PROXY header says.
  io::SocketAddress local;       // Where it connected to; of an unspecified family when not known.
  std::string_view server_name;  // As read from its ClientHello; for the call only.
};

class TcpRelay final : public Accepted {
 public:
  // `target`: the cluster, as of the snapshot that has `listener`.
  TcpRelay(Context& context, AcceptedOwner& owner, std::shared_ptr<const config::Listener> listener,
           config::ClusterTarget target);
  ~TcpRelay() override;

  // `early`: bytes that were read from the socket before it came here.
  void start(io::Socket socket, const Client& client, io::SliceQueue early);

  // Bytes have no moment at which they could end: a relay goes on until the deadline of the drain.
  void drain_gracefully() override {}
  void drain() override;
  std::string_view peer_text() const override { return {peer_text_.data(), peer_size_}; }

 private:
  enum class State : uint8_t {
    kHandshaking,
    kConnecting,
    kClosingTry,
    kRelaying,
    kFlushing,
    kDraining
  };
  static constexpr uint32_t kTriedMax = 16;  // Endpoints that are remembered.

  // One end of the relay.
  class End final : public TransportSink {
   public:
    End(Context& context, TcpRelay& relay, bool client)
        : transport(context, *this), relay_(relay), client_(client) {}
    End& other() { return client_ ? relay_.server_ : relay_.client_; }
    bool is_client() const { return client_; }
    bool through() const { return transport.input_ended() && transport.output_ended(); }

    Transport transport;
    uint64_t received = 0;
    bool started = false;  // Has a socket; closed when it came back.
    bool closed = false;
    uint8_t full_receives = 0;   // In a row, filling their buffer ...
    uint8_t small_receives = 0;  // ... or far from it.

   private:
    void on_transport_open() override { relay_.on_open(); }
    void on_transport_data(io::Slice data) override { relay_.on_data(*this, std::move(data)); }
    void on_transport_end() override { relay_.on_end(*this); }
    void on_transport_failed(int) override { relay_.on_failed(*this); }
    void on_transport_sent() override { relay_.on_sent(*this); }
    void on_transport_output_ended() override { relay_.on_output_ended(*this); }
    void on_transport_closed() override { relay_.on_closed(*this); }
    TcpRelay& relay_;
    bool client_;
  };

  void on_open();
  void on_data(End& from, io::Slice data);
  void on_end(End& end);
  void on_failed(End& end);
  void on_sent(End& end);
  void on_output_ended(End& end);
  void on_closed(End& end);

  void begin_connecting();
  void start_try();
  void try_endpoint(const upstream::EndpointRef& chosen);
  bool go_on_elsewhere();
  const upstream::EndpointRef* pick();
  std::span<const upstream::EndpointState* const> tried() const {
    return {tried_.data(), std::min(tries_, kTriedMax)};
  }
  bool in_time() const;
  std::expected<io::Socket, int> open_socket();  // To endpoint_.
  void on_connect(io::Completion&& completion);
  void on_try_closed(io::Completion&& completion);
  void start_relaying();
  bool may_retry();
  void end_try(upstream::Outcome outcome);
  void adapt_receive(End& from, uint32_t bytes);
  void end_if_through();
  void on_timer();
  void wait(uint64_t timeout_ns);
  void fail(observe::StreamFailure failure);  // The first counts; drains.
  void free_if_gone();
  void log_access();
  const config::StreamPolicy& policy() const { return *listener_->stream; }

  Context& context_;
  AcceptedOwner& owner_;
  std::shared_ptr<const config::Listener> listener_;
  std::shared_ptr<const upstream::Cluster> cluster_;
  std::shared_ptr<upstream::EndpointState> endpoint_;
  End client_;
  End server_;
  io::ConnectOp connect_;
  io::Op close_;  // Of a socket that did not connect.
  io::Socket server_socket_;
  io::Timer timer_;
  State state_ = State::kConnecting;
  observe::StreamFailure failure_ = observe::StreamFailure::kNone;
  bool try_open_ = false;   // load.begin() without its end().
  bool timed_out_ = false;  // The connect was cancelled for that.
  uint32_t tries_ = 0;
  uint32_t unsent_ = 0;  // Of them, those that cost none.
  std::array<const upstream::EndpointState*, kTriedMax> tried_{};
  uint64_t begin_ns_ = 0;
  uint64_t connected_ns_ = 0;
  uint64_t activity_ns_ = 0;
  Client addresses_;  // Its server_name is over: see server_name_.
  std::string server_name_;
  uint8_t peer_size_ = 0;
  std::array<char, net::kIpTextMax> peer_text_{};
};

}  // namespace ringway::proxy
