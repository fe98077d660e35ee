// HTTP/2 clients of the worker, HTTP/1.1 servers behind it.
#include <gtest/gtest.h>

#include "dataplane/http/h2_glitch.h"
#include "dataplane/http/websocket_accept.h"
#include "dataplane/worker/h2_dial.h"

namespace ringway::worker {
namespace {

using http::testing::h2_frame;
using http::testing::h2_uint32;
using http::testing::H2FieldList;

const H2FieldList kPost = {
    {":method", "POST"}, {":scheme", "http"}, {":authority", "a.test"}, {":path", "/p"}};

TEST(Http2, IsForwardedAndAnswered) {
  Stage stage;
  H2Dial dial(stage);
  const uint32_t id = dial.client.get("/x?y");
  ASSERT_TRUE(dial.finishes(id));
  EXPECT_EQ(dial.response(id).status, 200);
  EXPECT_EQ(dial.response(id).body, "ok");
  ASSERT_EQ(stage.servers[0]->requests.size(), 1u);
  const std::string& request = stage.servers[0]->requests[0];
  EXPECT_TRUE(request.starts_with("GET /x?y HTTP/1.1\r\nHost: a.test\r\n")) << request;
  EXPECT_NE(request.find("10.1.0.1"), std::string::npos);
  EXPECT_EQ(stage.stats().http2_connections, 1u);
  EXPECT_EQ(stage.stats().requests, 1u);
  EXPECT_EQ(stage.stats().connections_idle, 1u);
}

TEST(Http2, ManyStreamsAtOnceEachGetItsOwn) {
  StageOptions options;
  options.pool.connections_max = 64;
  Stage stage(options);
  stage.servers[0]->on_request = [](io::SimPeer& peer, const std::string& request) {
    peer.write(response_of(request.substr(0, request.find(" HTTP"))));
  };
  H2Dial dial(stage);
  std::vector<uint32_t> ids;
  for (int i = 0; i < 100; ++i) ids.push_back(dial.client.get("/" + std::to_string(i)));
  for (size_t i = 0; i < ids.size(); ++i) {
    ASSERT_TRUE(dial.finishes(ids[i]));
    EXPECT_EQ(dial.response(ids[i]).body, "GET /" + std::to_string(i));
  }
  EXPECT_EQ(stage.stats().requests, 100u);
}

TEST(Http2, BodiesBothWaysWithTrailersAndInterim) {
  Stage stage;
  std::string up;
  stage.servers[0]->on_request = [&](io::SimPeer& peer, const std::string& request) {
    up = request;
    std::string chunks;
    for (int i = 0; i < 100; ++i) chunks += "1000\r\n" + std::string(4096, 'd') + "\r\n";
    peer.write(
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: "
        "chunked\r\nTrailer: X-Sum\r\n\r\n" +
        chunks + "0\r\nX-Sum: 7\r\n\r\n");
  };
  H2Dial dial(stage);
  const uint32_t id = dial.client.request(kPost, false);
  dial.client.send(id, std::string(300'000, 'u'), true);
  ASSERT_TRUE(dial.finishes(id));
  EXPECT_EQ(dial.response(id).interim, std::vector<uint16_t>{103});
  EXPECT_EQ(dial.response(id).body.size(), 409'600u);
  EXPECT_EQ(dial.response(id).trailers, (H2FieldList{{"x-sum", "7"}}));
  EXPECT_EQ(dial.response(id).field("transfer-encoding"), "(none)");
  EXPECT_NE(up.find(std::string(300'000, 'u')), std::string::npos);
}

TEST(Http2, ALocalAnswerAndOneTooLargeKeepTheConnection) {
  StageOptions options;
  options.route.request_body_bytes_max = 10;
  Stage stage(options);
  H2Dial dial(stage);
  const uint32_t large = dial.client.request(kPost, false);
  dial.client.send(large, std::string(1000, 'x'), false);
  ASSERT_TRUE(dial.finishes(large));
  EXPECT_EQ(dial.response(large).status, 413);
  const uint32_t good = dial.client.get();
  ASSERT_TRUE(dial.finishes(good));
  EXPECT_EQ(dial.response(good).status, 200);
  EXPECT_FALSE(dial.peer.ended());
}

TEST(Http2, AServerThatFailsCostsItsOwnStream) {
  Stage stage;
  stage.servers[0]->on_request = [](io::SimPeer& peer, const std::string& request) {
    if (!request.starts_with("GET /bad")) return peer.write(response_of("ok"));
    peer.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort");
    peer.close();
  };
  H2Dial dial(stage);
  const uint32_t bad = dial.client.get("/bad");
  const uint32_t good = dial.client.get("/good");
  ASSERT_TRUE(dial.finishes(bad));
  ASSERT_TRUE(dial.finishes(good));
  EXPECT_EQ(dial.response(bad).reset, NGHTTP2_INTERNAL_ERROR);
  EXPECT_EQ(dial.response(good).status, 200);
}

TEST(Http2, AResetOfTheClientCancelsTheUpstream) {
  Stage stage;
  stage.servers[0]->on_request = [](io::SimPeer&, const std::string&) {};
  H2Dial dial(stage);
  const uint32_t id = dial.client.get();
  dial.flush();
  ASSERT_TRUE(stage.run_until([&] { return stage.servers[0]->requests.size() == 1; }));
  dial.client.reset(id);
  dial.flush();
  ASSERT_TRUE(
      stage.run_until([&] { return stage.stats().upstream_connections_active == 0; }, kSecond));
  EXPECT_EQ(stage.stats().requests_active, 0u);
  EXPECT_FALSE(dial.peer.ended());
}

TEST(Http2, ASlowServerHoldsItsStreamBackAndNoOther) {
  StageOptions options;
  options.route.request_body_bytes_max = ~uint64_t{0};
  options.pool.connections_max = 8;
  Stage stage(options);
  stage.ring.serve(stage.servers[0]->address, [&](io::SimPeer& peer) {
    stage.servers[0]->peers.push_back(&peer);
    peer.on_data = [&peer](io::SimPeer& at, std::string_view bytes) {
      if (bytes.starts_with("POST")) {
        at.set_window(1);
        return at.pause();
      }
      at.write(response_of("fast"));
    };
    peer.on_end = [](io::SimPeer& at) { at.close(); };
  });
  H2Dial dial(stage);
  const uint32_t slow = dial.client.request(kPost, false);
  dial.client.send(slow, std::string(4'000'000, 'x'), true);
  dial.flush();
  stage.run(kSecond);
  for (int i = 0; i < 10; ++i) {
    const uint32_t fast = dial.client.get();
    ASSERT_TRUE(dial.finishes(fast, kSecond));
    EXPECT_EQ(dial.response(fast).body, "fast");
  }
  // Of the slow one no more is here than its window and what one queue takes.
  EXPECT_LT((stage.ring.small_pool().in_use() + stage.ring.output_pool().in_use()) * 1024 +
                stage.ring.bulk_pool().in_use() * 16384,
            1'500'000u);
}

TEST(Http2, ASlowReaderHoldsItsServerBackAndNoOther) {
  StageOptions options;
  options.pool.connections_max = 8;
  Stage stage(options);
  stage.servers[0]->on_request = [](io::SimPeer& peer, const std::string& request) {
    peer.write(response_of(request.starts_with("GET /big") ? std::string(4'000'000, 'y') : "fast"));
  };
  H2Dial dial(stage, {.stream_window = 1000, .opens_windows = false});
  const uint32_t big = dial.client.get("/big");
  dial.flush();
  stage.run(kSecond);
  EXPECT_GT(stage.servers[0]->peers[0]->unread_by_proxy(), 3'000'000u);
  const uint32_t fast = dial.client.get("/fast");
  ASSERT_TRUE(dial.finishes(fast, kSecond));
  EXPECT_EQ(dial.response(fast).body, "fast");
  for (int i = 0; i < 300 && !dial.response(big).ended; ++i) {
    dial.client.open_window(0, 100'000);
    dial.client.open_window(big, 100'000);
    dial.flush();
    stage.run(100 * kMs);
  }
  EXPECT_EQ(dial.response(big).body.size(), 4'000'000u);
}

TEST(Http2, AWindowKeptShutEndsInCalm) {
  StageOptions options;
  options.policy.write_stall_timeout_ns = 4 * kSecond;
  Stage stage(options);
  stage.servers[0]->on_request = [](io::SimPeer& peer, const std::string&) {
    peer.write(response_of(std::string(2'000'000, 'y')));
  };
  H2Dial dial(stage, {.stream_window = 0, .opens_windows = false});
  for (int i = 0; i < 20; ++i) dial.client.get();
  dial.flush();
  for (int i = 0; i < 20 && !dial.peer.ended(); ++i) {
    stage.run(kSecond);
    for (uint32_t id = 1; id < 40; id += 2) dial.client.open_window(id, 1);
    dial.flush();
  }
  EXPECT_EQ(dial.client.goaway, NGHTTP2_ENHANCE_YOUR_CALM);
  EXPECT_TRUE(stage.run_until([&] { return stage.stats().requests_active == 0; }));
  EXPECT_EQ(stage.stats().http2_calmed[static_cast<size_t>(http::H2Glitch::kStalled)], 1u);
}

TEST(Http2, RapidResetEndsInCalmAndStartsLittle) {
  Stage stage;
  stage.servers[0]->on_request = [](io::SimPeer&, const std::string&) {};
  io::SimPeer& peer = stage.dial();
  std::string text = http::testing::h2_hello();
  const std::string block = http::testing::h2_block(
      {{":method", "GET"}, {":scheme", "http"}, {":authority", "a"}, {":path", "/"}});
  for (uint32_t id = 1; id < 20'000; id += 2) {
    text +=
        h2_frame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, id, block) +
        h2_frame(NGHTTP2_RST_STREAM, 0, id, h2_uint32(NGHTTP2_CANCEL));
  }
  peer.on_connected = [&](io::SimPeer& at) { at.write(text); };
  ASSERT_TRUE(stage.run_until([&] { return peer.ended() || peer.was_reset(); }));
  EXPECT_EQ(stage.stats().http2_calmed[static_cast<size_t>(http::H2Glitch::kClientReset)], 1u);
  EXPECT_LE(stage.stats().upstream_connects, 260u);
  EXPECT_EQ(stage.stats().requests_active, 0u);
}

TEST(Http2, IdleConnectionsEndAfterTheirTimeout) {
  StageOptions options;
  options.policy.idle_timeout_ns = 5 * kSecond;
  Stage stage(options);
  H2Dial dial(stage);
  ASSERT_TRUE(dial.finishes(dial.client.get()));
  stage.run(4 * kSecond);
  EXPECT_FALSE(dial.client.goaway);
  ASSERT_TRUE(stage.run_until([&] { return dial.peer.ended(); }, 5 * kSecond));
  EXPECT_EQ(dial.client.goaway, NGHTTP2_NO_ERROR);
  EXPECT_EQ(stage.stats().timeouts_idle, 1u);
}

TEST(Http2, AClientThatSendsNoRequestIsClosedByTheHeadersDeadline) {
  StageOptions options;
  options.policy.header_timeout_ns = 2 * kSecond;
  Stage stage(options);
  io::SimPeer& silent = stage.dial(http::testing::h2_hello());
  io::SimPeer& partial = stage.dial("PR");
  // A field block that never ends, a piece now and then.
  io::SimPeer& slow =
      stage.dial(http::testing::h2_hello() +
                 h2_frame(NGHTTP2_HEADERS, 0, 1, http::testing::h2_block({{":method", "GET"}})));
  ASSERT_TRUE(stage.run_until([&] { return silent.ended() && partial.ended() && slow.ended(); },
                              4 * kSecond));
  EXPECT_EQ(stage.stats().timeouts_header, 3u);
}

TEST(Http2, AnUnreadableConnectionIsDropped) {
  StageOptions options;
  options.policy.write_stall_timeout_ns = 4 * kSecond;
  Stage stage(options);
  stage.servers[0]->on_request = [](io::SimPeer& peer, const std::string&) {
    peer.write(response_of(std::string(500'000, 'y')));
  };
  H2Dial dial(stage, {.stream_window = 1 << 24});
  dial.client.get();
  dial.client.open_window(0, 1 << 24);
  dial.peer.set_window(1);
  dial.peer.pause();
  ASSERT_TRUE(stage.run_until([&] { return stage.servers[0]->requests.size() == 1; }));
  ASSERT_TRUE(stage.run_until([&] { return stage.stats().connections_active == 0; }, 10 * kSecond));
  EXPECT_GE(stage.stats().timeouts_write, 1u);
}

TEST(Http2, WebSocketOverAStream) {
  Stage stage;
  std::string received;
  io::SimPeer* server = nullptr;
  stage.servers[0]->on_bytes = [&](io::SimPeer& peer, std::string_view bytes) {
    if (server != nullptr) {
      received += bytes;
      return;
    }
    server = &peer;
    const std::string_view name = "Sec-WebSocket-Key: ";
    const size_t at = bytes.find(name);
    ASSERT_NE(at, std::string_view::npos) << bytes;
    EXPECT_NE(bytes.find("Upgrade: websocket\r\n"), std::string_view::npos);
    EXPECT_TRUE(bytes.starts_with("GET /chat HTTP/1.1\r\n"));
    const std::string key(bytes.substr(at + name.size(), 24));
    const http::WebsocketAccept accept = http::websocket_accept(key);
    peer.write(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "
        "websocket\r\nSec-WebSocket-Accept: " +
        std::string(accept.data(), accept.size()) + "\r\n\r\nhello");
  };
  H2Dial dial(stage);
  const uint32_t id = dial.client.request({{":method", "CONNECT"},
                                           {":protocol", "websocket"},
                                           {":scheme", "http"},
                                           {":authority", "a"},
                                           {":path", "/chat"},
                                           {"sec-websocket-version", "13"}},
                                          false);
  dial.client.send(id, "early ", false);
  dial.flush();
  ASSERT_TRUE(stage.run_until([&] { return dial.response(id).body == "hello"; }));
  EXPECT_EQ(dial.response(id).status, 200);
  EXPECT_EQ(stage.stats().tunnels_active, 1u);
  dial.client.send(id, "up", false);
  dial.flush();
  ASSERT_TRUE(stage.run_until([&] { return received == "early up"; }));
  const uint32_t other = dial.client.get();  // The connection goes on beside it.
  dial.client.send(id, "", true);
  dial.flush();
  stage.run(100 * kMs);
  server->close();
  ASSERT_TRUE(stage.run_until([&] { return stage.stats().tunnels_active == 0; }));
  EXPECT_TRUE(dial.response(id).ended);
  EXPECT_FALSE(dial.peer.ended());
  dial.client.reset(other);
  dial.flush();
}

TEST(Http2, DrainingFinishesWhatIsOpen) {
  Stage stage;
  stage.servers[0]->on_request = [&](io::SimPeer& peer, const std::string&) {
    stage.ring.after(kSecond, [&peer] { peer.write(response_of("late")); });
  };
  H2Dial busy(stage), idle(stage);
  const uint32_t id = busy.client.get();
  busy.flush();
  idle.client.ping();
  idle.flush();
  ASSERT_TRUE(stage.run_until([&] { return stage.servers[0]->requests.size() == 1; }));
  stage.drain(0, 20 * kSecond);
  ASSERT_TRUE(busy.finishes(id));
  EXPECT_EQ(busy.response(id).body, "late");
  EXPECT_TRUE(stage.run_until([&] { return stage.worker->finished(); }, 5 * kSecond));
  EXPECT_EQ(busy.client.goaway, NGHTTP2_NO_ERROR);
}

TEST(Http2, ThePrefaceMayComeInPiecesAndHttp1IsNotTakenForIt) {
  Stage stage;
  io::SimPeer& pieces = stage.dial();
  pieces.on_connected = [&](io::SimPeer& at) { at.write("P"); };
  stage.run(10 * kMs);
  pieces.write("R");
  stage.run(10 * kMs);
  pieces.write(http::testing::h2_hello().substr(2));
  ASSERT_TRUE(stage.receives(pieces, std::string_view("\0\0\0\x04\x01", 5)));
  io::SimPeer& put = stage.dial("P");
  stage.run(10 * kMs);
  put.write("UT / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
  ASSERT_TRUE(stage.receives(put, "HTTP/1.1 200 OK"));
}

TEST(Http2, CanBeTurnedOff) {
  StageOptions options;
  options.policy.http2 = false;
  Stage stage(options);
  EXPECT_TRUE(stage.ask("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").starts_with("HTTP/1.1 505 "));
}

TEST(Http2, AMalformedRequestIsCountedAndCostsNoOther) {
  Stage stage;
  H2Dial dial(stage);
  const uint32_t bad = dial.client.request({{":method", "GET"},
                                            {":scheme", "http"},
                                            {":authority", "a"},
                                            {":path", "/"},
                                            {"connection", "close"}});
  const uint32_t good = dial.client.get();
  ASSERT_TRUE(dial.finishes(good));
  EXPECT_EQ(dial.response(bad).reset, NGHTTP2_PROTOCOL_ERROR);
  EXPECT_EQ(dial.response(good).status, 200);
  EXPECT_EQ(stage.stats().request_errors[static_cast<size_t>(http::Error::kBadHeader)], 1u);
  EXPECT_EQ(stage.servers[0]->requests.size(), 1u);
}

}  // namespace
}  // namespace ringway::worker
