#include "tests/sim/actors.h"

#include <charconv>

#include "tests/sim/tunnel_actor.h"

namespace ringway::sim {
namespace {

constexpr uint64_t kMs = 1'000'000;

uint32_t number(const std::optional<std::string>& text) {
  uint32_t value = 0;
  if (text) std::from_chars(text->data(), text->data() + text->size(), value);
  return value;
}

void append_chunked(std::string& out, const std::string& body, Random& random) {
  char size[16];
  for (size_t at = 0; at < body.size();) {
    const size_t piece = std::min<size_t>(body.size() - at, 1 + random.below(3000));
    const auto end = std::to_chars(size, size + sizeof size, piece, 16).ptr;
    out.append(size, end).append("\r\n").append(body, at, piece).append("\r\n");
    at += piece;
  }
  out.append("0\r\n\r\n");
}

// A wrong body that has the right beginning is a truncation; anything else is corruption.
bool is_prefix(const std::string& got, uint32_t id) {
  for (size_t i = 0; i < got.size(); ++i) {
    if (got[i] != body_byte(id, i)) return false;
  }
  return true;
}

}  // namespace

std::string body_of(uint32_t id, uint64_t length) {
  std::string body(length, '\0');
  for (uint64_t i = 0; i < length; ++i) body[i] = body_byte(id, i);
  return body;
}

// ---- server ----

void ServerActor::accept(io::SimPeer& peer) {
  auto connection = std::make_shared<Connection>();
  if (!script_.calm && script_.random.chance(5)) peer.set_window(1 + script_.random.below(2000));
  peer.on_data = [this, connection](io::SimPeer& at, std::string_view bytes) { on_data(at, connection, bytes); };
  peer.on_end = [connection](io::SimPeer& at) {
    connection->closed = true;
    at.close();
  };
  peer.on_reset = [connection](io::SimPeer&) { connection->closed = true; };
}

void ServerActor::on_data(io::SimPeer& peer, std::shared_ptr<Connection> connection, std::string_view bytes) {
  connection->reader.feed(bytes);
  consider(peer, connection);
}

void ServerActor::consider(io::SimPeer& peer, std::shared_ptr<Connection> connection) {
  MessageReader& reader = connection->reader;
  if (connection->closed || connection->answering) return;
  if (reader.malformed()) return script_.violate("the proxy sent a malformed request");
  const MessageReader::Message& message = reader.message();
  if (!message.head_complete) return;
  const uint32_t id = number(MessageReader::header(message.head, "x-id"));
  if (id == 0) {   // A hostile client's, when it happened to be one.
    if (!script_.hostile) return script_.violate("a request without its id reached a server: " + message.head);
    if (!message.complete) return;
    peer.write("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    reader.next();
    return consider(peer, connection);
  }
  if (!is_prefix(message.body, id)) return script_.violate("request body corrupted");
  if (!MessageReader::header(message.head, "x-forwarded-for")) script_.violate("no X-Forwarded-For");
  if (!message.complete) {
    // An early answer, now and then, before the body is read.
    if (script_.calm || !script_.random.chance(3)) return;
  } else if (message.body.size() != number(MessageReader::header(message.head, "x-length"))) {
    return script_.violate("a complete request has another length than was sent");
  }
  if (MessageReader::header(message.head, "upgrade")) {
    connection->closed = true;   // No more HTTP here.
    return serve_tunnel(peer, message.head);
  }
  connection->answering = true;
  script_.ring.after(script_.random.below(5) * kMs, [this, &peer, connection] { answer(peer, connection); });
}

std::string ServerActor::make_response(uint32_t id, uint32_t length, bool head, bool& close) {
  Random& random = script_.random;
  std::string out = "HTTP/1.1 200 OK\r\nx-id: " + std::to_string(id) + "\r\n";
  const std::string body = head ? std::string() : body_of(id, length);
  const uint32_t framing = random.below(3);
  close = framing == 2 || random.chance(10);
  if (close) out += "connection: close\r\n";
  if (framing == 0 || head) {
    out += "content-length: " + std::to_string(length) + "\r\n\r\n" + body;
  } else if (framing == 1) {
    out += "transfer-encoding: chunked\r\n\r\n";
    append_chunked(out, body, random);
  } else {
    out += "x-until-close: 1\r\n\r\n" + body;   // Cut short, nobody can tell (RFC 9112 section 8).
  }
  return out;
}

void ServerActor::answer(io::SimPeer& peer, std::shared_ptr<Connection> connection) {
  if (connection->closed || peer.closed()) return;
  const MessageReader::Message message = connection->reader.message();
  const uint32_t id = number(MessageReader::header(message.head, "x-id"));
  const bool head = message.start_line.starts_with("HEAD ");
  const uint32_t length = number(MessageReader::header(message.head, "x-want"));
  bool close = !message.complete;
  bool close_after = false;
  std::string response = make_response(id, length, head, close_after);
  close = close || close_after;
  Random& random = script_.random;
  if (!script_.calm && random.chance(4)) {
    connection->closed = true;
    if (random.chance(50)) return peer.reset();
    response.resize(random.below(static_cast<uint32_t>(response.size())) + 1);   // Cut short.
    peer.write(response);
    return peer.close();
  }
  if (random.chance(10)) response.insert(0, "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n");
  peer.write(response);
  if (close) {
    connection->closed = true;
    return peer.half_close();
  }
  connection->answering = false;
  connection->reader.next();
  consider(peer, connection);
}

// ---- client ----

ClientActor::ClientActor(Script& script, Target target, uint32_t requests)
    : script_(script), target_(target), left_(requests) {}

void ClientActor::start() { connect(); }

void ClientActor::connect() {
  if (left_ == 0) {
    done_ = true;
    return;
  }
  const uint32_t generation = ++generation_;
  reader_ = std::make_unique<MessageReader>(MessageReader::Kind::kResponse);
  expected_.clear();
  io::SocketAddress from;
  from.v4.sin_family = AF_INET;
  from.v4.sin_addr.s_addr = htonl(0x0A010000 + script_.random.below(200));
  from.v4.sin_port = htons(static_cast<uint16_t>(10000 + script_.random.below(50000)));
  from.length = sizeof(sockaddr_in);
  peer_ = &script_.ring.dial(target_.address, from);
  wire_ = std::make_unique<Wire>(*peer_, target_.tls, "http/1.1");
  peer_->on_connected = [this, generation](io::SimPeer&) {
    if (generation != generation_) return;
    wire_->connected();
    if (wire_->open()) send_request();
  };
  peer_->on_data = [this, generation](io::SimPeer&, std::string_view bytes) {
    if (generation == generation_) on_data(bytes);
  };
  const auto cut = [this, generation](io::SimPeer&) {
    if (generation == generation_) on_cut();
  };
  peer_->on_end = cut;
  peer_->on_reset = cut;
  if (!script_.calm && script_.random.chance(5)) peer_->set_window(1 + script_.random.below(3000));
}

void ClientActor::send_request() {
  Random& random = script_.random;
  const uint32_t batch = random.chance(20) ? std::min(left_, 1 + random.below(3)) : 1;   // Pipelined now and then.
  for (uint32_t i = 0; i < batch && left_ > 0; ++i) {
    --left_;
    const uint32_t id = script_.next_id++;
    ++script_.outcome.requests_sent;
    const bool post = random.chance(40);
    const bool head = !post && random.chance(15);
    const uint32_t length = post ? random.below(random.chance(20) ? 200'000 : 3000) : 0;
    const uint32_t want = random.below(random.chance(20) ? 300'000 : 3000);
    const bool chunked = post && random.chance(50);
    std::string text = std::string(post ? "POST" : head ? "HEAD" : "GET") + " /x/" + std::to_string(id) +
                       " HTTP/1.1\r\nHost: sim.test\r\nX-Id: " + std::to_string(id) + "\r\nX-Length: " +
                       std::to_string(length) + "\r\nX-Want: " + std::to_string(want) + "\r\n";
    if (post) text += chunked ? "Transfer-Encoding: chunked\r\n" : "Content-Length: " + std::to_string(length) + "\r\n";
    wire_->write(text + "\r\n");
    expected_.push_back({id, want, head});
    if (head && expected_.size() == 1) reader_->expect_no_body();
    if (post) write_body(id, length, chunked);
    if (!script_.calm && random.chance(3)) {
      const uint32_t generation = generation_;
      script_.ring.after(random.below(20) * kMs, [this, generation] {   // Leaves in the middle of things.
        if (generation != generation_) return;
        script_.random.chance(50) ? peer_->reset() : peer_->close();
        on_cut();
      });
    }
  }
}

void ClientActor::write_body(uint32_t id, uint64_t length, bool chunked) {
  const std::string body = body_of(id, length);
  if (!chunked) return wire_->write(body);
  std::string out;
  append_chunked(out, body, script_.random);
  wire_->write(out);
}

void ClientActor::on_data(std::string_view bytes) {
  const bool was_open = wire_->open();
  const std::string plain = wire_->read(bytes);
  if (wire_->broken()) return on_cut();
  if (!was_open && wire_->open()) send_request();
  if (plain.empty()) return;
  reader_->feed(plain);
  check_response();
}

void ClientActor::check_response() {
  while (true) {
    if (reader_->malformed()) return script_.violate("the proxy sent a malformed response");
    const MessageReader::Message& message = reader_->message();
    if (!message.head_complete) return;
    if (expected_.empty()) return script_.violate("a response nobody asked for: " + message.head);
    const Expected expected = expected_.front();
    const bool interim = message.start_line.starts_with("HTTP/1.1 1");
    const bool ok = message.start_line.starts_with("HTTP/1.1 200");
    if (ok && number(MessageReader::header(message.head, "x-id")) != expected.id) {
      return script_.violate("a response went to another request");
    }
    if (ok && !is_prefix(message.body, expected.id)) return script_.violate("response body corrupted");
    if (script_.calm && !ok && !interim) return script_.violate("calm, yet: " + message.start_line);
    if (!message.complete) return;
    if (interim) {
      reader_->next(expected.head);
      continue;
    }
    ++script_.outcome.responses_complete;
    const bool until_close = MessageReader::header(message.head, "x-until-close").has_value() && !script_.calm;
    if (ok && !expected.head && !until_close && message.body.size() != expected.length) {
      return script_.violate("a complete response of another length");
    }
    if (ok) ++script_.outcome.responses_ok;
    const bool close = MessageReader::header(message.head, "connection") == "close";
    expected_.erase(expected_.begin());
    reader_->next(!expected_.empty() && expected_.front().head);
    if (close) {
      peer_->close();
      left_ += static_cast<uint32_t>(expected_.size());   // Pipelined behind a close: asked again on the next connection.
      script_.outcome.requests_sent -= static_cast<uint32_t>(expected_.size());
      return connect();
    }
    if (!expected_.empty()) continue;
    if (left_ == 0) {
      peer_->close();
      ++generation_;
      done_ = true;
      return;
    }
    const uint32_t generation = generation_;
    script_.ring.after(script_.random.below(3) * kMs, [this, generation] {
      if (generation == generation_) send_request();
    });
    return;
  }
}

std::string ClientActor::describe() const {
  std::string text = done_ ? "done" : "left " + std::to_string(left_) + ", waits for " + std::to_string(expected_.size());
  if (!expected_.empty()) {
    text += ": id " + std::to_string(expected_.front().id) + (expected_.front().head ? " HEAD" : "") + " of " +
            std::to_string(expected_.front().length) + " bytes, has " + reader_->message().head + " and " +
            std::to_string(reader_->message().body.size()) + " bytes";
  }
  return text + "\n";
}

void ClientActor::on_cut() {
  ++generation_;
  reader_->end_of_input();
  if (script_.calm) return script_.violate("calm, yet a connection was cut");
  ++script_.outcome.connections_cut;
  if (!peer_->closed()) peer_->close();
  const uint32_t generation = generation_;
  script_.ring.after(kMs, [this, generation] {
    if (generation == generation_) connect();
  });
}

// ---- hostile client ----

void HostileActor::start() {
  io::SocketAddress from;
  from.v4.sin_family = AF_INET;
  from.v4.sin_addr.s_addr = htonl(0x0A020001);
  from.v4.sin_port = htons(static_cast<uint16_t>(10000 + script_.random.below(50000)));
  from.length = sizeof(sockaddr_in);
  peer_ = &script_.ring.dial(target_, from);
  if (script_.random.chance(30)) peer_->set_window(1 + script_.random.below(200));
  if (script_.random.chance(30)) peer_->pause();
  act();
}

std::string HostileActor::piece() {
  static constexpr std::string_view kPieces[] = {
      "GET / HTTP/1.1\r\nHost: evil\r\n\r\n", "POST /x HTTP/1.1\r\nHost: evil\r\nContent-Length: 5\r\n\r\n",
      "PUT / HTTP/1.1\r\nHost: evil\r\nTransfer-Encoding: chunked\r\n\r\n", "HEAD / HTTP/1.0\r\n\r\n", "5\r\nhello\r\n",
      "0\r\n\r\n", "ffffffffffffffff\r\n", "\r\n", "Transfer-Encoding: chunked\r\n", "Content-Length: 7\r\n",
      "Expect: 100-continue\r\n", "Connection: Upgrade\r\nUpgrade: websocket\r\n", "GET http://a/ HTTP/1.1\r\n", "\n", ":", "hello"};
  Random& random = script_.random;
  if (random.chance(70)) return std::string(kPieces[random.below(std::size(kPieces))]);
  std::string bytes(1 + random.below(random.chance(10) ? 20'000 : 50), '\0');
  for (char& byte : bytes) byte = static_cast<char>(random.below(256));
  return bytes;
}

void HostileActor::act() {
  if (acts_left_-- == 0) return;
  Random& random = script_.random;
  if (!peer_->closed()) {
    const uint32_t choice = random.below(100);
    if (choice < 3) {
      peer_->reset();
    } else if (choice < 6) {
      peer_->close();
    } else {
      for (uint32_t i = random.below(4) + 1; i > 0; --i) peer_->write(piece());
    }
  }
  script_.ring.after(random.below(3000) * 1000, [this] {
    if (acts_left_ == 0) return;
    peer_->closed() || script_.random.chance(10) ? start() : act();
  });
}

}  // namespace ringway::sim
