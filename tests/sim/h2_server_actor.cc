#include "tests/sim/h2_server_actor.h"

#include <cstdlib>

namespace ringway::sim {
namespace {

constexpr uint64_t kMs = 1'000'000;

uint32_t number(const std::string& text) {
  return static_cast<uint32_t>(std::strtoul(text.c_str(), nullptr, 10));
}

}  // namespace

void H2ServerActor::accept(io::SimPeer& peer) {
  Random& random = script_.random;
  Server::Settings settings;
  settings.streams_max = random.chance(30) ? 1 + random.below(4) : 100;
  // Never smaller than what a client may use before it has read the SETTINGS: nghttp2's server calls
  // bytes that were under way then a FLOW_CONTROL_ERROR.
  settings.window = 65535 + (random.chance(30) ? random.below(100'000) : 0);
  auto connection = std::make_shared<Connection>(settings);
  connection->server.on_end = [this, &peer,
                               weak = std::weak_ptr(connection)](Server::Request& request) {
    if (const Kept kept = weak.lock()) consider(peer, kept, request);
  };
  if (!script_.calm && random.chance(5)) peer.set_window(1 + random.below(2000));
  peer.on_data = [this, connection](io::SimPeer& at, std::string_view bytes) {
    if (connection->closed) return;
    connection->server.feed(bytes);
    if (connection->server.failed) return script_.violate("the proxy broke HTTP/2");
    flush(at, *connection);
  };
  peer.on_end = [connection](io::SimPeer& at) {
    connection->closed = true;
    at.close();
  };
  peer.on_reset = [connection](io::SimPeer&) { connection->closed = true; };
  flush(peer, *connection);
}

void H2ServerActor::flush(io::SimPeer& peer, Connection& connection) {
  const std::string out = connection.server.take_output();
  if (!out.empty() && !connection.closed && !peer.closed()) peer.write(out);
}

void H2ServerActor::consider(io::SimPeer& peer, const Kept& connection,
                             const Server::Request& request) {
  const uint32_t id = number(request.field("x-id"));
  if (id == 0 && !script_.hostile)
    return script_.violate("a request without its id reached a server");
  if (id != 0) {
    if (request.body != body_of(id, request.body.size()))
      return script_.violate("request body corrupted");
    if (request.body.size() != number(request.field("x-length"))) {
      return script_.violate("a complete request has another length than was sent");
    }
    if (request.field("x-forwarded-for").empty()) script_.violate("no X-Forwarded-For");
  }
  const int32_t stream = request.stream;
  script_.ring.after(script_.random.below(5) * kMs,
                     [this, &peer, connection, stream] { answer(peer, connection, stream); });
}

bool H2ServerActor::misbehave(io::SimPeer& peer, Connection& connection, int32_t stream) {
  Random& random = script_.random;
  if (script_.calm || !random.chance(6)) return false;
  switch (random.below(5)) {
    case 0:
      connection.closed = true;
      peer.reset();
      return true;
    case 1:
      connection.closed = true;
      peer.close();
      return true;
    case 2:
      connection.server.reset(stream, NGHTTP2_REFUSED_STREAM);
      return true;
    case 3:
      connection.server.reset(stream, NGHTTP2_INTERNAL_ERROR);
      return true;
    default:
      connection.server.goaway(stream);
      return false;
  }
}

void H2ServerActor::answer(io::SimPeer& peer, const Kept& connection, int32_t stream) {
  if (connection->closed || peer.closed()) return;
  const Server::Request& request = connection->server.requests[stream];
  if (request.reset) return;
  if (!misbehave(peer, *connection, stream)) {
    const uint32_t id = number(request.field("x-id"));
    const uint32_t length = number(request.field("x-want"));
    const bool head = request.field(":method") == "HEAD";
    Server::Fields fields{{":status", "200"}, {"x-id", std::to_string(id)}};
    if (script_.random.chance(50) || head)
      fields.emplace_back("content-length", std::to_string(length));
    const bool trailers = !head && length > 0 && script_.random.chance(20);
    connection->server.respond(stream, fields, head ? std::string() : body_of(id, length),
                               trailers ? Server::Fields{{"x-sum", "1"}} : Server::Fields{});
  }
  flush(peer, *connection);
}

}  // namespace ringway::sim
