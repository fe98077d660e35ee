// What H2ServerCodec knows of one stream. Only for its two sources.
#pragma once

#include "dataplane/http/framing.h"
#include "dataplane/http/h2_server_codec.h"
#include "dataplane/http/kept_fields.h"

namespace ringway::http {

struct H2ServerCodec::Stream {
  StreamId id = 0;
  io::SliceQueue held;  // Request body that came while it was paused, or before a tunnel opened.
  io::SliceQueue out;   // Response body not yet framed.
  KeptFields held_trailers;
  KeptFields out_trailers;
  BodyCount body;                 // Of the request, against its Content-Length.
  uint64_t sent_bytes = 0;        // Of the response body.
  uint64_t mark_bytes = 0;        // sent_bytes when it last moved enough,
  uint64_t mark_ns = 0;           // and the time of that; 0: nothing waits.
  bool open_request : 1 = false;  // The sink has it.
  bool paused : 1 = false;
  bool end_held : 1 = false;       // END_STREAM came behind what is held.
  bool remote_ended : 1 = false;   // END_STREAM received.
  bool end_delivered : 1 = false;  // The sink knows.
  bool upgrade : 1 = false;        // Extended CONNECT: its bytes wait for the tunnel,
  bool tunnel : 1 = false;         // which is open now.
  bool head_request : 1 = false;
  bool head_sent : 1 = false;       // A final response head was submitted.
  bool no_body : 1 = false;         // HEAD, 204, 304, or ended with its head.
  bool response_ended : 1 = false;  // The sink has given everything.
  bool local_ended : 1 = false;     // END_STREAM sent.
  bool deferred : 1 = false;        // nghttp2 waits to be told of more body.
  bool reset : 1 = false;           // RST_STREAM submitted or received.
  bool blameless : 1 = false;       // That was not the client's doing.
  bool progressed : 1 = false;      // Is in progressed_.
  bool closed : 1 = false;          // For nghttp2.
  bool over : 1 = false;            // Is in over_.
};

// What may still refer to a stream of this codec; at the outermost end those that are over go.
class H2ServerCodec::Visit {
 public:
  explicit Visit(H2ServerCodec& codec) : codec_(codec) { ++codec_.depth_; }
  ~Visit() {
    if (--codec_.depth_ == 0) codec_.reap();
  }
  Visit(const Visit&) = delete;
  Visit& operator=(const Visit&) = delete;

 private:
  H2ServerCodec& codec_;
};

}  // namespace ringway::http
