// An HTTP/2 client on the stage.
#pragma once

#include <string>

#include "dataplane/http/h2_test_client.h"
#include "dataplane/worker/test_stage.h"

namespace ringway::worker {

class H2Dial {
 public:
  using Client = http::testing::H2TestClient;

  explicit H2Dial(Stage& stage, Client::Settings settings = {}, uint32_t from = 0x0A010001)
      : stage_(stage), client(settings), peer(stage.dial({}, from)) {
    peer.on_connected = [this](io::SimPeer&) {
      connected_ = true;
      flush();
    };
    peer.on_data = [this](io::SimPeer&, std::string_view bytes) {
      client.feed(bytes);
      flush();
    };
  }
  H2Dial(const H2Dial&) = delete;
  H2Dial& operator=(const H2Dial&) = delete;
  ~H2Dial() {
    peer.on_data = nullptr;
    peer.on_connected = nullptr;
    peer.close();
  }

  // Sends what the client has queued.
  void flush() {
    if (connected_) peer.write(client.take_output());
  }
  const Client::Response& response(uint32_t stream) { return client.response(stream); }
  // Sends, and runs until the response has ended one way or the other.
  bool finishes(uint32_t stream, uint64_t limit_ns = 10 * kSecond) {
    flush();
    return stage_.run_until(
        [&] { return response(stream).ended || response(stream).reset || peer.ended(); }, limit_ns);
  }

 private:
  Stage& stage_;
  bool connected_ = false;

 public:
  Client client;
  io::SimPeer& peer;
};

}  // namespace ringway::worker
