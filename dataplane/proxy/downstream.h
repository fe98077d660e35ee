// A client's connection: transport + server codec, and the exchange of each open stream.
//
// Thread rule: one worker. States: kHandshaking (TLS) → kServing → kLingering (our side is shut down; what the client still sends is
// read and dropped, so that it gets our answer and not a reset) → kDraining. Freed in on_transport_closed.
// One timer with one purpose at a time: handshake, head (total), idle, write stall, lingering. While an exchange runs, its own timer watches.
#pragma once

#include <array>
#include <memory>
#include <string_view>

#include "dataplane/config/snapshot.h"
#include "dataplane/http/h1_server_codec.h"
#include "dataplane/proxy/exchange.h"
#include "dataplane/proxy/transport.h"

namespace ringway::proxy {

class Downstream;

// Who keeps the connections: worker::Acceptor.
class DownstreamOwner {
 public:
  virtual void on_downstream_closed(Downstream& downstream) = 0;   // Frees it.

 protected:
  ~DownstreamOwner() = default;
};

class Downstream final : private TransportSink, private http::ServerSink {
 public:
  // `listener` is kept: the connection stays under the policy it was accepted with.
  Downstream(Context& context, DownstreamOwner& owner, std::shared_ptr<const config::Listener> listener);
  void start(io::Socket socket, const io::SocketAddress& peer);

  // No new request: idle connections close now, others after the response under way.
  void drain_gracefully();
  void drain();                             // Now.

  const config::Listener& listener() const { return *listener_; }
  const config::HttpPolicy& policy() const { return *listener_->http; }
  std::string_view peer_text() const {
    return {peer_long_ == nullptr ? peer_text_.data() : peer_long_.get(), peer_size_};
  }   // IP without port.
  std::string_view port_text() const { return {port_text_.data(), port_size_}; }   // Listener::public_port
  bool is_tls() const { return transport_.tls() != nullptr; }
  std::string_view server_name() const { return transport_.tls() == nullptr ? std::string_view() : transport_.tls()->server_name(); }
  http::ServerCodec& codec() { return codec_; }
  size_t queued() const { return transport_.queued(); }
  void mark_dirty() { transport_.mark_dirty(); }
  void prefer_bulk(bool bulk) { transport_.prefer_bulk(bulk); }
  void pause_request(http::StreamId stream);
  void resume_request(http::StreamId stream);
  void end_output() { transport_.end_output(); }      // Tunnel half-close.
  // This response is the connection's last: its request limit is reached, or the worker drains.
  bool last_request() const;
  void on_exchange_done(Exchange& exchange);

  Downstream* next = nullptr;               // Owner's list.
  Downstream* previous = nullptr;

 private:
  enum class State : uint8_t { kHandshaking, kServing, kLingering, kDraining };
  enum class Waiting : uint8_t { kNothing, kHandshake, kHead, kIdle, kWrite, kLinger };

  void after_event();
  void finish_done_exchange();
  void watch();                             // Chooses what the timer waits for.
  void wait_for(Waiting what, uint64_t timeout_ns);
  void on_timer();
  void begin_closing();
  void set_idle(bool idle);

  void on_transport_open() override;
  void on_transport_data(io::Slice data) override;
  void on_transport_end() override;
  void on_transport_failed(int error) override;
  void on_transport_sent() override;
  void on_transport_output_ended() override;
  void on_transport_closed() override;

  http::RequestHead* new_request_head(http::StreamId stream) override;
  void on_request_head(http::StreamId stream, http::RequestHead& head, bool end) override;
  void on_request_body(http::StreamId stream, io::Slice data, bool end) override;
  void on_request_trailers(http::StreamId stream, const http::HeaderList& trailers) override;
  void on_request_error(http::StreamId stream, http::Error error) override;
  void on_writable(http::StreamId) override {}

  Context& context_;
  DownstreamOwner& owner_;
  std::shared_ptr<const config::Listener> listener_;
  Transport transport_;
  http::H1ServerCodec codec_;
  Exchange* exchange_ = nullptr;            // HTTP/1.1 has one at a time.
  io::Timer timer_;
  uint32_t requests_ = 0;
  uint32_t lingered_bytes_ = 0;
  State state_ = State::kServing;
  Waiting waiting_ = Waiting::kNothing;
  bool in_codec_ = false;
  bool held_ = false;   // The request is paused.
  bool idle_ = false;
  bool closing_ = false;                    // After what is queued: close.
  uint8_t peer_size_ = 0;
  uint8_t port_size_ = 0;
  std::array<char, 5> port_text_;
  std::array<char, 16> peer_text_;          // An IPv4 address.
  std::unique_ptr<char[]> peer_long_;       // A longer one.
};

}  // namespace ringway::proxy
