#include "tests/sim/h2_actors.h"

#include <charconv>
#include <vector>

namespace ringway::sim {
namespace {

using http::testing::h2_block;
using http::testing::h2_frame;
using http::testing::h2_uint32;

constexpr uint64_t kMs = 1'000'000;

io::SocketAddress some_address(Random& random) {
  io::SocketAddress from;
  from.v4.sin_family = AF_INET;
  from.v4.sin_addr.s_addr = htonl(0x0A020000 + random.below(200));
  from.v4.sin_port = htons(static_cast<uint16_t>(10000 + random.below(50000)));
  from.length = sizeof(sockaddr_in);
  return from;
}

bool is_beginning(const std::string& got, uint32_t id) {
  for (size_t i = 0; i < got.size(); ++i) {
    if (got[i] != body_byte(id, i)) return false;
  }
  return true;
}

}  // namespace

// ---- with manners ----

H2ClientActor::H2ClientActor(Script& script, Target target, uint32_t requests)
    : script_(script), target_(target), left_(requests) {}

void H2ClientActor::connect() {
  if (left_ == 0) {
    done_ = true;
    return;
  }
  const uint32_t generation = ++generation_;
  Random& random = script_.random;
  http::testing::H2TestClient::Settings settings;
  if (random.chance(30)) settings.stream_window = 500 + random.below(5000);
  client_ = std::make_unique<http::testing::H2TestClient>(settings);
  expected_.clear();
  sent_on_connection_ = 0;
  peer_ = &script_.ring.dial(target_.address, some_address(random));
  wire_ = std::make_unique<Wire>(*peer_, target_.tls, "h2");
  peer_->on_connected = [this, generation](io::SimPeer&) {
    if (generation != generation_) return;
    wire_->connected();
    if (wire_->open()) send_requests();
  };
  peer_->on_data = [this, generation](io::SimPeer&, std::string_view bytes) {
    if (generation != generation_) return;
    const bool was_open = wire_->open();
    const std::string plain = wire_->read(bytes);
    if (wire_->broken()) return on_cut();
    if (!was_open && wire_->open()) send_requests();
    if (plain.empty()) return;
    client_->feed(plain);
    flush();
    check();
  };
  const auto cut = [this, generation](io::SimPeer&) {
    if (generation == generation_) on_cut();
  };
  peer_->on_end = cut;
  peer_->on_reset = cut;
  if (!script_.calm && random.chance(5)) peer_->set_window(1 + random.below(3000));
}

void H2ClientActor::flush() { wire_->write(client_->take_output()); }

void H2ClientActor::send_requests() {
  const uint32_t batch = 1 + script_.random.below(6);
  for (uint32_t i = 0; i < batch && left_ > 0; ++i) send_request();
  flush();
  if (script_.calm || !script_.random.chance(5)) return;
  const uint32_t generation = generation_;
  script_.ring.after(script_.random.below(20) * kMs,
                     [this, generation] {  // Leaves in the middle of things.
                       if (generation != generation_) return;
                       script_.random.chance(50) ? peer_->reset() : peer_->close();
                       on_cut();
                     });
}

void H2ClientActor::send_request() {
  Random& random = script_.random;
  --left_;
  ++sent_on_connection_;
  const uint32_t id = script_.next_id++;
  ++script_.outcome.requests_sent;
  const bool post = random.chance(40);
  const bool head = !post && random.chance(15);
  const uint32_t length = post ? random.below(random.chance(20) ? 200'000 : 3000) : 0;
  const uint32_t want = random.below(random.chance(20) ? 300'000 : 3000);
  http::testing::H2FieldList fields = {{":method", post   ? "POST"
                                                   : head ? "HEAD"
                                                          : "GET"},
                                       {":scheme", target_.tls ? "https" : "http"},
                                       {":authority", "sim.test"},
                                       {":path", "/x/" + std::to_string(id)},
                                       {"x-id", std::to_string(id)},
                                       {"x-length", std::to_string(length)},
                                       {"x-want", std::to_string(want)}};
  if (post && random.chance(50)) fields.push_back({"content-length", std::to_string(length)});
  const uint32_t stream = client_->request(fields, !post);
  expected_[stream] = {id, want, head};
  if (post) client_->send(stream, body_of(id, length), true);
  if (!script_.calm && random.chance(5)) {
    const uint32_t generation = generation_;
    script_.ring.after(random.below(10) * kMs, [this, generation, stream] {
      if (generation != generation_ || expected_.erase(stream) == 0) return;
      client_->reset(stream);
      flush();
      check();
    });
  }
}

bool H2ClientActor::check_response(uint32_t stream, const Expected& expected) {
  const auto& response = client_->response(stream);
  const bool ok = response.head_complete && response.status == 200;
  if (ok && response.field("x-id") != std::to_string(expected.id)) {
    script_.violate("a response went to another stream: x-id " + response.field("x-id") + " for " + std::to_string(expected.id));
    return true;
  }
  if (ok && !is_beginning(response.body, expected.id)) {
    script_.violate("response body corrupted");
    return true;
  }
  if (response.reset && !response.ended) {
    if (script_.calm)
      script_.violate("calm, yet a stream was reset: " + std::to_string(*response.reset));
    return true;
  }
  if (!response.ended) return false;
  if (script_.calm && !ok) script_.violate("calm, yet: " + std::to_string(response.status));
  ++script_.outcome.responses_complete;
  const bool until_close = response.field("x-until-close") != "(none)" && !script_.calm;
  if (ok && !expected.head && !until_close && response.body.size() != expected.length) {
    script_.violate("a complete response of another length");
  }
  if (ok) ++script_.outcome.responses_ok;
  return true;
}

void H2ClientActor::check() {
  std::erase_if(expected_,
                [this](const auto& entry) { return check_response(entry.first, entry.second); });
  if (!expected_.empty() || sent_on_connection_ == 0) return;
  if (left_ == 0 || client_->goaway) {
    peer_->close();
    return connect();  // Or done.
  }
  const uint32_t generation = generation_;
  sent_on_connection_ = 0;
  script_.ring.after(script_.random.below(3) * kMs, [this, generation] {
    if (generation == generation_) send_requests();
  });
}

void H2ClientActor::on_cut() {
  ++script_.outcome.connections_cut;
  if (script_.calm && !expected_.empty())
    script_.violate("calm, yet a connection ended inside a response");
  connect();
}

std::string H2ClientActor::describe() const {
  std::string text = done_ ? "done" : "left " + std::to_string(left_);
  for (const auto& [stream, expected] : expected_) {
    const auto& response = client_->response(stream);
    text += ", stream " + std::to_string(stream) + " id " + std::to_string(expected.id) +
            ": status " + std::to_string(response.status) + ", " +
            std::to_string(response.body.size()) + " of " + std::to_string(expected.length);
  }
  return text + "\n";
}

// ---- without ----

void H2HostileActor::start() {
  peer_ = &script_.ring.dial(target_, some_address(script_.random));
  next_stream_ = 1;
  peer_->on_connected = [this](io::SimPeer& at) {
    at.write(http::testing::h2_hello());
    act();
  };
}

std::string H2HostileActor::piece() {
  Random& random = script_.random;
  const uint32_t stream = random.chance(70) ? next_stream_ : random.below(20);
  const auto number = [&] {
    return h2_uint32(static_cast<uint32_t>(random.next()) >> random.below(32));
  };
  const auto bytes = [&](uint32_t max) {
    std::string text(random.below(max), '\0');
    for (char& c : text) c = static_cast<char>(random.next());
    return text;
  };
  switch (random.below(11)) {
    case 0:
    case 1: {
      next_stream_ += 2;
      const std::string block = h2_block({{":method", random.chance(50) ? "GET" : "POST"},
                                          {":scheme", "http"},
                                          {":authority", "sim.test"},
                                          {":path", "/h"},
                                          {random.chance(10) ? "X" : "x", "y"}});
      const auto flags = static_cast<uint8_t>((random.chance(90) ? NGHTTP2_FLAG_END_HEADERS : 0) |
                                              random.below(2));
      return h2_frame(NGHTTP2_HEADERS, flags, next_stream_ - 2 + (random.chance(5) ? 1 : 0), block);
    }
    case 2:
      return h2_frame(NGHTTP2_DATA, static_cast<uint8_t>(random.below(2)),
                      stream > 2 ? stream - 2 : stream, bytes(2000));
    case 3:
      return h2_frame(NGHTTP2_RST_STREAM, 0, stream > 2 ? stream - 2 : stream, number());
    case 4:
      return h2_frame(NGHTTP2_WINDOW_UPDATE, 0, random.chance(50) ? 0 : stream - 2, number());
    case 5:
      return h2_frame(NGHTTP2_SETTINGS, 0, 0,
                      std::string("\0", 1) + static_cast<char>(random.below(9)) + number());
    case 6:
      return h2_frame(NGHTTP2_PING, 0, 0, "12345678");
    case 7:
      return h2_frame(NGHTTP2_PRIORITY, 0, stream, number() + "a");
    case 8:
      return h2_frame(NGHTTP2_CONTINUATION, static_cast<uint8_t>(random.below(2) * 4), stream,
                      bytes(50));
    case 9:
      return h2_frame(static_cast<uint8_t>(random.below(16)), static_cast<uint8_t>(random.next()),
                      stream, bytes(300));
    default:
      return random.chance(20) ? bytes(40) : h2_frame(NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, "");
  }
}

void H2HostileActor::act() {
  if (acts_left_ == 0 || peer_->closed()) return;
  --acts_left_;
  Random& random = script_.random;
  std::string text;
  for (uint32_t i = random.below(5); i-- > 0;) text += piece();
  peer_->write(text);
  if (random.chance(4)) {
    random.chance(50) ? peer_->reset() : peer_->close();
    if (acts_left_ > 0) start();
    return;
  }
  if (peer_->ended() || peer_->was_reset()) {
    peer_->close();
    return start();
  }
  script_.ring.after(random.below(5) * kMs, [this, peer = peer_] {
    if (peer == peer_) act();
  });
}

}  // namespace ringway::sim
