// A stream of an H2ClientCodec. For its two source files only.
#pragma once

#include <nghttp2/nghttp2.h>

#include <string>
#include <utility>

#include "dataplane/http/h2_client_codec.h"
#include "dataplane/http/websocket_accept.h"

namespace ringway::http {

struct H2ClientCodec::Place {
  enum class In : uint8_t { kHead, kBody, kEnded };

  H2ClientCodec* codec = nullptr;
  StreamId id = 0;
  int32_t number = 0;  // On the wire; 0: the head was not sent.
  Method method = Method::kOther;
  In in = In::kHead;
  uint16_t interim_responses = 0;
  bool used = false;
  bool released = false;
  bool closed = true;  // For nghttp2.
  bool paused = false;
  bool reset = false;           // Ours, for a malformed response.
  bool response_ended = false;  // END_STREAM came, and rightly so.
  bool body_ended = false;      // The last byte of the request is in `body`.
  bool deferred = false;        // nghttp2 waits for more of it.
  bool sent = false;            // Is in sent_.
  bool end_kept = false;        // The response has ended behind what is kept.
  bool upgrade = false;         // Extended CONNECT: its 2xx is the 101 of an exchange.
  bool keyed = false;
  bool wide = false;       // Its window is kWideStreamWindow.
  uint32_t taken = 0;      // Response bytes, until it is.
  WebsocketAccept accept;  // For the client's key, when `keyed`.
  BodyCount count;
  io::SliceQueue body;  // Of the request, not yet framed.
  io::SliceQueue kept;  // Of the response, while paused.
  std::unique_ptr<HeaderList> kept_trailers;
  io::Slice trailers_memory;
  std::vector<std::pair<std::string, std::string>> request_trailers;

  void begin(Method request_method) {
    method = request_method;
    in = In::kHead;
    interim_responses = 0;
    released = paused = reset = response_ended = body_ended = deferred = end_kept = wide = false;
    taken = 0;
  }
  // The sink takes bytes of the response: the peer may send as many more.
  void take(size_t bytes);
  void drop() {
    body.clear();
    kept.clear();
    kept_trailers.reset();
    trailers_memory.reset();
    request_trailers.clear();
  }
};

}  // namespace ringway::http
