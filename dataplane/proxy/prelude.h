// What must be read of a connection before it is known what is to be done with it: a PROXY header,
// and the server name of a TLS ClientHello.
//
// Thread rule: one worker. States: kReading → handed over, or kDraining → freed in
// on_accepted_closed. One receive at a time, so at the moment of handing over nothing is in flight.
// Bounded: net::kProxyV2BytesMax and tls::kHelloBytesMax in bytes, PreludePolicy::timeout_ns in
// time. What is read beyond the PROXY header goes on to whoever takes the connection.
#pragma once

#include <memory>

#include "dataplane/config/snapshot.h"
#include "dataplane/proxy/accepted.h"
#include "dataplane/proxy/context.h"
#include "dataplane/proxy/tcp_relay.h"

namespace ringway::proxy {

class Prelude;

class PreludeOwner : public AcceptedOwner {
 public:
  // Takes the socket over and frees `prelude`. False: nothing is served by that name; the prelude
  // closes the connection itself. `server_name`: "" when there is none, or none was to be read.
  virtual bool on_prelude_read(Prelude& prelude, io::Socket socket, const Client& client,
                               std::string_view server_name, io::SliceQueue& early) = 0;

 protected:
  ~PreludeOwner() = default;
};

class Prelude final : public Accepted {
 public:
  Prelude(Context& context, PreludeOwner& owner, std::shared_ptr<const config::Listener> listener);
  void start(io::Socket socket, const Client& client);

  void drain_gracefully() override {}  // Its first request is still to come.
  void drain() override;
  std::string_view peer_text() const override { return {}; }
  const std::shared_ptr<const config::Listener>& listener() const { return listener_; }

 private:
  enum class State : uint8_t { kReading, kDraining };

  void receive();
  void on_recv(io::Completion&& completion);
  void on_close(io::Completion&& completion);
  void on_timer();
  void read_on();
  bool read_header();  // False: not there yet, or failed.
  std::span<const std::byte> gathered();
  void hand_over(std::string_view server_name);
  void fail();

  Context& context_;
  PreludeOwner& owner_;
  std::shared_ptr<const config::Listener> listener_;
  Client client_;
  io::Socket socket_;
  io::Op recv_;
  io::Op close_;
  io::Timer timer_;
  io::SliceQueue bytes_;
  State state_ = State::kReading;
  bool header_wanted_ = false;
};

}  // namespace ringway::proxy
