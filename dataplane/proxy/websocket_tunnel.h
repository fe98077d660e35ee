// What an exchange knows of a WebSocket it carries, to end it in order: which bytes begin a frame.
//
// Thread rule: one worker.
#pragma once

#include "dataplane/http/websocket_frames.h"
#include "dataplane/io/slice.h"

namespace ringway::proxy {

struct WebSocketTunnel {
  struct Way {
    http::WebSocketFrames frames;
    bool said =
        false;  // Our Close frame went this way: nothing follows it (RFC 6455 section 5.5.1).

    // Takes what came, and cuts it to what goes on. True: our Close frame is to follow it now.
    // `closing`: it is to be said at the next boundary, unless the sender has said one.
    bool pass(io::Slice& data, bool closing);
    // The sender's Close frame came behind ours, and so went no further.
    bool answered() const { return said && frames.close_seen(); }
  };
  Way up, down;

  bool lost() const { return up.frames.lost() || down.frames.lost(); }
  bool peers_close() const { return up.frames.close_seen() || down.frames.close_seen(); }
};

}  // namespace ringway::proxy
