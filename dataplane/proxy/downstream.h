// A client's connection: transport + server codec, and the exchange of each open stream. HTTP/1.1 is inline; for HTTP/2 there is an
// H2Downstream beside it (downstream_h2.cc).
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
#include "dataplane/proxy/accepted.h"
#include "dataplane/proxy/exchange.h"
#include "dataplane/proxy/transport.h"

namespace ringway::proxy {

class H2Downstream;

class Downstream final : public Accepted, private TransportSink, private http::ServerSink {
 public:
  // `listener` is kept: the connection stays under the policy it was accepted with.
  Downstream(Context& context, AcceptedOwner& owner, std::shared_ptr<const config::Listener> listener);
  ~Downstream() override;
  // `early`: bytes that were read from the socket before it came here.
  void start(io::Socket socket, const io::SocketAddress& peer, io::SliceQueue early = {});

  // No new request: idle connections close now, others after the response under way.
  void drain_gracefully() override;
  void drain() override;                    // Now.

  const config::Listener& listener() const { return *listener_; }
  const config::HttpPolicy& policy() const { return *listener_->http; }
  std::string_view peer_text() const override {
    return {peer_long_ == nullptr ? peer_text_.data() : peer_long_.get(), peer_size_};
  }   // IP without port.
  std::string_view port_text() const { return {port_text_.data(), port_size_}; }   // Listener::public_port
  bool is_tls() const { return transport_.tls() != nullptr; }
  std::string_view server_name() const { return transport_.tls() == nullptr ? std::string_view() : transport_.tls()->server_name(); }
  // The connection was made for another host than `authority`, which has a certificate of its own: RFC 9110 section 15.5.20.
  bool misdirected(std::string_view authority) const;
  void close_tunnels(uint64_t grace_ns) override;
  http::ServerCodec& codec() {
    if (h2_ != nullptr) [[unlikely]] return http2_codec();
    return codec_;
  }
  bool is_http2() const { return h2_ != nullptr; }   // Write stalls are watched here then, not by the exchanges.
  // Response bytes of the stream that were not sent yet, and where its upstream is to be paused.
  size_t queued(http::StreamId stream) const { return h2_ == nullptr ? transport_.queued() : http2_queued(stream); }
  size_t response_high_water() const { return h2_ == nullptr ? context_.high_water() : http2_high_water(); }
  void mark_dirty() { transport_.mark_dirty(); }
  void prefer_bulk(bool bulk) { transport_.prefer_bulk(bulk); }
  void pause_request(http::StreamId stream);
  void resume_request(http::StreamId stream);
  void end_tunnel_output() {                 // Half-close. The end of an HTTP/2 stream goes with its last body.
    if (h2_ == nullptr) transport_.end_output();
  }
  // This response is the connection's last: its request limit is reached, or the worker drains.
  bool last_request() const;
  void on_exchange_done(Exchange& exchange);
  void note_request();                      // HTTP/2: another one.

 private:
  enum class State : uint8_t { kHandshaking, kServing, kLingering, kDraining };
  enum class Waiting : uint8_t { kNothing, kHandshake, kHead, kIdle, kWrite, kLinger, kStall, kGoaway };
  static constexpr uint64_t kGoawayNs = kNsPerSecond;   // For the answer to the PING behind a first GOAWAY.

  void after_event();
  void finish_done_exchange();
  void watch();                             // Chooses what the timer waits for.
  void wait_for(Waiting what, uint64_t timeout_ns);
  void on_timer();
  void begin_closing();
  void refuse_plain();
  void set_idle(bool idle);

  // downstream_h2.cc
  bool detect_http2(io::Slice& data);
  void begin_http2();
  void feed_http2(io::Slice data);
  void after_http2_event();
  void close_http2();
  void drain_http2();
  void watch_http2();
  void on_http2_timer(Waiting what);
  http::ServerCodec& http2_codec();
  size_t http2_queued(http::StreamId stream) const;
  size_t http2_high_water() const;

  void on_transport_open() override;
  void on_transport_data(io::Slice data) override;
  void on_transport_end() override;
  void on_transport_failed(int error) override;
  void on_transport_sent() override;
  void on_transport_output_ended() override;
  void on_transport_closed() override;
  void on_transport_flush() override;

  http::RequestHead* new_request_head(http::StreamId stream) override;
  void on_request_head(http::StreamId stream, http::RequestHead& head, bool end) override;
  void on_request_body(http::StreamId stream, io::Slice data, bool end) override;
  void on_request_trailers(http::StreamId stream, const http::HeaderList& trailers) override;
  void on_request_error(http::StreamId stream, http::Error error) override;
  void on_writable(http::StreamId) override {}

  Context& context_;
  AcceptedOwner& owner_;
  std::shared_ptr<const config::Listener> listener_;
  Transport transport_;
  http::H1ServerCodec codec_;
  std::unique_ptr<H2Downstream> h2_;        // HTTP/2.
  Exchange* exchange_ = nullptr;            // HTTP/1.1 has one at a time.
  io::Timer timer_;
  uint32_t requests_ = 0;
  uint32_t lingered_bytes_ = 0;
  State state_ = State::kServing;
  Waiting waiting_ = Waiting::kNothing;
  bool in_codec_ = false;
  bool held_ = false;   // The request is paused.
  bool idle_ = false;
  bool protocol_known_ = false;
  uint8_t preface_bytes_ = 0;               // Of HTTP/2's, before the protocol is known.
  bool closing_ = false;                    // After what is queued: close.
  uint8_t peer_size_ = 0;
  uint8_t port_size_ = 0;
  std::array<char, 5> port_text_;
  std::array<char, 16> peer_text_;          // An IPv4 address.
  std::unique_ptr<char[]> peer_long_;       // A longer one.
};

}  // namespace ringway::proxy
