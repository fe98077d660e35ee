// One socket with its receive, its send queue and, optionally, TLS: plaintext slices in and out for the codec above it.
//
// Thread rule: one worker. States: kOpen → kDraining → kClosed; drain() is the only way out: all ops come back, then close, then
// on_transport_closed, in which the owner may free the transport. It is never freed from inside a call into it.
// Reading: multishot into small buffers; one bulk receive at a time while a large body flows or after back-pressure bit (a multishot
// receive can't be paused but by cancelling it). Writing: one send in flight; what is queued meanwhile leaves with the next.
#pragma once

#include <cstdint>
#include <memory>

#include "dataplane/io/op.h"
#include "dataplane/io/slice.h"
#include "dataplane/proxy/context.h"
#include "dataplane/tls/session.h"

namespace ringway::proxy {

class TransportSink {
 public:
  virtual void on_transport_open() = 0;                // TLS: the handshake is complete. Plain: not called.
  virtual void on_transport_data(io::Slice data) = 0;
  virtual void on_transport_end() = 0;                 // The peer ended its side; sending still works.
  // Broken (reset, TLS failure, send error): the sink must drain(). `error`: errno, 0 for TLS.
  virtual void on_transport_failed(int error) = 0;
  virtual void on_transport_sent() = 0;                // Bytes left the queue; queued() is smaller now.
  virtual void on_transport_output_ended() = 0;        // After end_output(): all sent, our side shut down.
  virtual void on_transport_closed() = 0;              // May free the transport.
  // Before a flush, after set_filled(): put into the output what is to leave with it.
  virtual void on_transport_flush() {}

 protected:
  ~TransportSink() = default;
};

class Transport {
 public:
  Transport(Context& context, TransportSink& sink);
  ~Transport();
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;

  // Takes the connected socket and begins to read.
  void start(io::Socket socket, std::unique_ptr<tls::Session> session);
  // Bytes that were read from the socket before start(); call it at once after it.
  void inject(io::SliceQueue early);
  // Takes a socket that did not connect, only to close it by drain().
  void hold(io::Socket socket);

  io::SliceQueue& output() { return output_; }         // Plaintext the codec appends; call mark_dirty() afterwards.
  void mark_dirty() { context_.mark_dirty(*this); }
  void set_filled() { filled_ = true; }                // The sink fills the output when it is flushed.
  size_t queued() const { return output_.size() + (cipher_ == nullptr ? 0 : cipher_->size()); }   // Bytes not yet taken by the kernel.
  bool flushed() const { return queued() == 0 && !send_.in_flight; }

  void pause_reading();
  void resume_reading();
  bool reading_paused() const { return paused_; }
  void prefer_bulk(bool bulk);                         // For the receives to come.
  // After a TLS handshake that failed without a byte of ours: the socket goes on in clear text. From on_transport_failed() only; false: too late.
  bool fall_back_to_clear();
  void end_output();                                   // Half-close once everything queued is sent.
  void drain();
  bool draining() const { return state_ != State::kOpen; }
  const tls::Session* tls() const { return tls_.get(); }
  bool input_ended() const { return input_ended_; }
  bool output_ended() const { return output_ended_; }

 private:
  friend struct Context;
  enum class State : uint8_t { kNew, kOpen, kDraining, kClosed };

  void arm_receive();
  void on_recv(io::Completion&& completion);
  void on_send(io::Completion&& completion);
  void on_control(io::Completion&& completion);
  void deliver(io::Slice data);
  void deliver_tls(io::Slice data);
  void flush();
  void send_queue(io::SliceQueue& queue);
  void finish_output_if_flushed();
  void finish_if_drained();
  void fail(int error);

  Context& context_;
  TransportSink& sink_;
  std::unique_ptr<tls::Session> tls_;
  io::SliceQueue output_;      // Plaintext.
  std::unique_ptr<io::SliceQueue> cipher_;   // TLS records; made with tls_: a plain idle connection is to be small.
  io::Op recv_;
  io::SendOp send_;
  io::Op control_;             // Shutdown, later close.
  iovec* vectors_ = nullptr;   // While a send is in flight.
  io::Socket socket_;
  State state_ = State::kNew;
  bool paused_ = false;
  bool bulk_ = false;
  bool receiving_bulk_ = false;   // What recv_ was armed as.
  bool input_ended_ = false;
  bool end_output_wanted_ = false;
  bool output_ended_ = false;
  bool failed_ = false;
  bool filled_ = false;
  bool close_notify_sent_ = false;
  bool dirty_ = false;
  bool closing_ = false;
};

}  // namespace ringway::proxy
