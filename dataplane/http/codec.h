// What stands between bytes and messages. A codec knows no socket, no clock and not what is on the
// other side: plaintext slices in, events out; commands in, bytes appended to an output queue out.
// The same interface for HTTP/1.1 and HTTP/2.
//
// Thread rule: one worker. Re-entrance: a sink may call commands from inside an event; a command
// never raises an event for the stream it was called on, except on_*_reset from nowhere else than
// feed() or on_end_of_input().
//
// Lifetime: a head passed to an event is the sink's (it was taken from the sink by new_*_head)
// until the stream ends; trailers and their views end with the event.
//
// Order per stream: head, body*, (trailers | the last body with end=true); after reset or the end
// nothing more comes.
#pragma once

#include <cstdint>
#include <string_view>

#include "dataplane/http/message.h"
#include "dataplane/io/slice.h"

namespace ringway::http {

using StreamId = uint32_t;  // HTTP/1: 0. HTTP/2: see the codec.

// ---- downstream: we are the server ----

class ServerSink {
 public:
  // Where the next request's head is to be parsed into; the sink keeps it until the stream is
  // finished. nullptr: no room; the codec stops parsing until resume().
  virtual RequestHead* new_request_head(StreamId stream) = 0;
  virtual void on_request_head(StreamId stream, RequestHead& head, bool end) = 0;
  // `data` may be empty only when `end`.
  virtual void on_request_body(StreamId stream, io::Slice data, bool end) = 0;
  // Implies the end. Forbidden fields are gone already.
  virtual void on_request_trailers(StreamId stream, const HeaderList& trailers) = 0;
  // The request is refused or broken off. Before a head: the head was refused and `error` names the
  // status to answer (the sink answers by send_head/…, then closes). After a head: the body was
  // malformed, or (kTruncated) the peer is gone.
  virtual void on_request_error(StreamId stream, Error error) = 0;
  // What was queued for this stream went below the low-water mark after send_body returned false.
  virtual void on_writable(StreamId stream) = 0;

 protected:
  ~ServerSink() = default;
};

class ServerCodec {
 public:
  virtual ~ServerCodec() = default;

  // Bytes of the client, in order. Consumes what it can now and keeps the rest (paused, or a
  // request is still being served).
  virtual void feed(io::Slice data) = 0;
  virtual void on_end_of_input() = 0;  // The client half-closed.
  // Bytes kept unparsed; the connection stops reading above its high-water mark.
  virtual size_t buffered() const = 0;

  // 100, 103
  virtual void send_interim(StreamId stream, uint16_t status, const HeaderList& headers) = 0;
  // `end`: no body follows. `body` says how it will be framed. HTTP/1: `close` puts Connection:
  // close; for an HTTP/1.0 client an unknown length is framed by closing. HEAD and 204/304 are
  // known to the codec: send_body after them is dropped.
  virtual void send_head(StreamId stream, const ResponseHead& head, bool end, bool close) = 0;
  virtual void send_body(StreamId stream, io::Slice data, bool end) = 0;
  virtual void send_trailers(StreamId stream, const HeaderList& trailers) = 0;  // Ends the stream.
  // The response can't be finished: HTTP/1 must close without a last chunk; HTTP/2 RST_STREAM.
  virtual void reset(StreamId stream) = 0;
  // Request body delivery of a stream on and off (back-pressure).
  virtual void pause(StreamId stream) = 0;
  virtual void resume(StreamId stream) = 0;
  // After 101 was sent: bytes of both directions pass as they are (on_request_body / send_body),
  // `end` is the half-close.
  virtual void switch_to_tunnel(StreamId stream) = 0;

  // The exchange of this stream has ended on both sides. HTTP/1: the next pipelined request is
  // parsed now (events come from inside this call).
  virtual void finish(StreamId stream) = 0;
  // The connection must be closed once what is queued has been sent (error, Connection: close,
  // HTTP/1.0).
  virtual bool wants_close() const = 0;
  virtual bool idle() const = 0;  // No stream open, nothing buffered.
  // Tell the client: no more (Connection: close on the next response; GOAWAY).
  virtual void drain() = 0;
};

// ---- upstream: we are the client ----

class ClientSink {
 public:
  virtual ResponseHead* new_response_head(StreamId stream) = 0;
  // 1xx but 101; not final.
  virtual void on_interim_response(StreamId stream, ResponseHead& head) = 0;
  // 101 only when asked for and correct.
  virtual void on_response_head(StreamId stream, ResponseHead& head, bool end) = 0;
  virtual void on_response_body(StreamId stream, io::Slice data, bool end) = 0;
  virtual void on_response_trailers(StreamId stream, const HeaderList& trailers) = 0;
  // Malformed, truncated, or closed early.
  virtual void on_response_error(StreamId stream, Error error) = 0;
  // HTTP/2: what waits to be sent of this stream has become less. HTTP/1: the output queue tells.
  virtual void on_request_sent(StreamId) {}

 protected:
  ~ClientSink() = default;
};

class ClientCodec {
 public:
  virtual ~ClientCodec() = default;

  virtual void feed(io::Slice data) = 0;
  virtual void on_end_of_input() = 0;

  virtual StreamId open() = 0;  // Begins a stream. REQUIRES: available().
  virtual void send_head(StreamId stream, const RequestHead& head, bool end) = 0;
  virtual void send_body(StreamId stream, io::Slice data, bool end) = 0;
  virtual void send_trailers(StreamId stream, const HeaderList& trailers) = 0;
  virtual void reset(StreamId stream) = 0;  // HTTP/1: the connection is not usable afterwards.
  virtual void pause(StreamId stream) = 0;
  virtual void resume(StreamId stream) = 0;
  virtual void switch_to_tunnel(StreamId stream) = 0;  // After an accepted 101.

  virtual bool available() const = 0;  // Another stream can be opened now.
  // Connection may go back to the pool: no stream, no stray bytes, keep-alive.
  virtual bool reusable() const = 0;
};

}  // namespace ringway::http
