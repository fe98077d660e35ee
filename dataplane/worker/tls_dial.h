// A TLS client on the stage: BoringSSL's over a simulated connection.
#pragma once

#include <functional>
#include <string>
#include <utility>

#include "dataplane/tls/test_client.h"
#include "dataplane/worker/test_stage.h"

namespace ringway::worker {

struct TlsClient {
  // `piece`: what it sends goes out in segments of so many bytes, 1 ms apart; 0: as it comes.
  explicit TlsClient(Stage& stage, const tls::test::ClientOptions& options = {}, size_t piece = 0)
      : tls(options), peer(stage.dial()), stage(stage), piece(piece) {
    peer.on_connected = [this](io::SimPeer&) { go_on(); };
    peer.on_data = [this](io::SimPeer&, std::string_view bytes) {
      tls.feed(bytes);
      go_on();
    };
  }
  void go_on() {
    open = open || tls.handshake();
    if (open && !to_send.empty()) tls.write(std::exchange(to_send, {}));
    if (open) received += tls.read();
    const std::string out = tls.take_output();
    if (out.empty() || peer.closed()) return;
    if (piece == 0) return peer.write(out);
    for (size_t at = 0; at < out.size(); at += piece) {
      stage.ring.after((at / piece) * kMs,
                       [this, bytes = out.substr(at, piece)] { peer.write(bytes); });
    }
  }
  tls::test::Client tls;
  io::SimPeer& peer;
  Stage& stage;
  size_t piece;
  bool open = false;
  std::string to_send, received;
};

}  // namespace ringway::worker
