#include "tests/sim/tunnel_actor.h"

#include <arpa/inet.h>

#include <algorithm>

#include "dataplane/http/websocket_accept.h"

namespace ringway::sim {
namespace {

constexpr uint64_t kMs = 1'000'000;
constexpr std::string_view kKey = "dGhlIHNhbXBsZSBub25jZQ==";   // RFC 6455 section 1.3

}  // namespace

TunnelActor::TunnelActor(Script& script, io::SocketAddress target) : script_(script), target_(target) {}

void TunnelActor::start() {
  Random& random = script_.random;
  id_ = script_.next_id++;
  length_ = random.below(random.chance(20) ? 200'000 : 5000);
  io::SocketAddress from;
  from.v4.sin_family = AF_INET;
  from.v4.sin_addr.s_addr = htonl(0x0A030001);
  from.v4.sin_port = htons(static_cast<uint16_t>(10000 + random.below(50000)));
  from.length = sizeof(sockaddr_in);
  peer_ = &script_.ring.dial(target_, from);
  peer_->on_data = [this](io::SimPeer&, std::string_view bytes) { on_data(bytes); };
  peer_->on_end = [this](io::SimPeer&) { on_end(false); };
  peer_->on_reset = [this](io::SimPeer&) { on_end(true); };
  if (!script_.calm && random.chance(20)) peer_->set_window(1 + random.below(3000));
  ++script_.outcome.tunnels_asked;
  peer_->write("GET /ws HTTP/1.1\r\nHost: sim.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
               "Sec-WebSocket-Key: " + std::string(kKey) + "\r\nX-Id: " + std::to_string(id_) + "\r\n\r\n");
}

void TunnelActor::write_piece() {
  if (done_ || peer_->closed()) return;
  Random& random = script_.random;
  if (written_ == length_) return peer_->half_close();
  const uint32_t size = std::min(length_ - written_, 1 + random.below(20'000));
  std::string piece(size, '\0');
  for (uint32_t i = 0; i < size; ++i) piece[i] = body_byte(id_, written_ + i);
  peer_->write(piece);
  written_ += size;
  if (!script_.calm && random.chance(2)) {
    random.chance(50) ? peer_->reset() : peer_->close();
    return on_end(true);
  }
  script_.ring.after(random.below(3) * kMs, [this] { write_piece(); });
}

bool TunnelActor::take_head() {
  const size_t end = head_.find("\r\n\r\n");
  if (end == std::string::npos) return false;
  if (!head_.starts_with("HTTP/1.1 101 ")) {
    if (script_.calm) script_.violate("calm, yet an upgrade got: " + head_.substr(0, end));
    peer_->close();
    on_end(false);
    return false;
  }
  const auto accept = MessageReader::header(head_.substr(0, end + 4), "sec-websocket-accept");
  const http::WebsocketAccept expected = http::websocket_accept(kKey);
  if (!accept || *accept != std::string_view(expected.data(), expected.size())) script_.violate("a 101 without the right accept");
  head_.erase(0, end + 4);
  tunnel_ = true;
  ++script_.outcome.tunnels_open;
  write_piece();
  return true;
}

void TunnelActor::on_data(std::string_view bytes) {
  if (done_) return;
  std::string early;
  if (!tunnel_) {
    head_.append(bytes);
    if (!take_head()) return;
    early = std::move(head_);
    bytes = early;
  }
  for (const char byte : bytes) {
    if (echoed_ >= written_) return script_.violate("a tunnel brought bytes that nobody sent");
    if (byte != body_byte(id_, echoed_++)) return script_.violate("a tunnel's bytes are wrong");
  }
}

void TunnelActor::on_end(bool reset) {
  if (done_) return;
  done_ = true;
  if (script_.calm && (reset || !tunnel_)) script_.violate("calm, yet a tunnel was cut");
  if (script_.calm && echoed_ != length_) script_.violate("calm, yet a tunnel ended before its last byte");
  if (echoed_ == length_ && tunnel_) ++script_.outcome.tunnels_complete;
  if (!peer_->closed()) peer_->close();
}

std::string TunnelActor::describe() const {
  return std::string("tunnel ") + (done_ ? "done" : tunnel_ ? "open" : "asked") + ": id " + std::to_string(id_) + ", " +
         std::to_string(written_) + " of " + std::to_string(length_) + " bytes written, " + std::to_string(echoed_) + " back\n";
}

void serve_tunnel(io::SimPeer& peer, const std::string& head) {
  const auto key = MessageReader::header(head, "sec-websocket-key");
  const http::WebsocketAccept accept = http::websocket_accept(key ? *key : std::string());
  peer.on_data = [](io::SimPeer& at, std::string_view bytes) { at.write(bytes); };
  peer.on_end = [](io::SimPeer& at) { at.half_close(); };
  peer.on_reset = {};
  peer.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: " +
             std::string(accept.data(), accept.size()) + "\r\n\r\n");
}

}  // namespace ringway::sim
