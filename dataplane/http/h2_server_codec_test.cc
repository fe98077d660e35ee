// The server codec between a client by nghttp2, or raw frames, and a sink that writes down events.
#include <gtest/gtest.h>

#include "dataplane/http/h2_memory.h"
#include "dataplane/http/h2_server_harness.h"

namespace ringway::http::testing {
namespace {

TEST(H2Server, AnswersAndTellsItsSettings) {
  H2ServerHarness harness;
  H2TestClient client;
  const uint32_t one = client.get("/a?b");
  const uint32_t two = client.get("/c");
  harness.pump(client);
  EXPECT_EQ(harness.events, "1: head GET /a end\n3: head GET /c end\n");
  for (const uint32_t id : {one, two}) {
    EXPECT_EQ(client.response(id).status, 200);
    EXPECT_EQ(client.response(id).body, "ok");
    EXPECT_EQ(client.response(id).field("content-length"), "2");
    EXPECT_TRUE(client.response(id).ended);
    EXPECT_FALSE(client.response(id).reset);
  }
  EXPECT_EQ(client.settings[NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS], 128u);
  EXPECT_EQ(client.settings[NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE], 65536u);
  EXPECT_EQ(client.settings[NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL], 1u);
  EXPECT_TRUE(harness.codec.idle());
  EXPECT_FALSE(harness.codec.wants_close());
}

TEST(H2Server, ByteByByteGivesTheSame) {
  H2TestClient whole, cut;
  H2ServerHarness first, second;
  for (H2TestClient* client : {&whole, &cut}) {
    client->get("/x");
    const uint32_t post = client->request(with(kPost, {{"content-length", "7"}}), false);
    client->send(post, "content", true);
  }
  first.feed(whole.take_output());
  const std::string bytes = cut.take_output();
  for (const char c : bytes) second.feed({&c, 1});
  EXPECT_EQ(first.events, second.events);
  EXPECT_EQ(second.bodies[3], "content");
  EXPECT_NE(first.events, "");
}

TEST(H2Server, TrailersBothWays) {
  H2ServerHarness harness;
  harness.answers = false;
  H2TestClient client;
  const uint32_t id = client.request(kPost, false);
  client.send(id, "body", false);
  client.trailers(id, {{"x-check", "1"}, {"content-length", "4"}});
  harness.pump(client);
  EXPECT_EQ(harness.events, "1: head POST /p\n1: trailers  x-check=1;\n");
  ResponseHead head;
  head.status = 200;
  head.body = {BodyKind::kChunked};
  HeaderList trailers;
  trailers.add(HeaderName::kGrpcStatus, "0");
  trailers.add(HeaderName::kOther, "X-Upper", "v");
  harness.codec.send_head(id, head, false, false);
  harness.codec.send_body(id, slice_of(harness.pool, "data"), false);
  harness.codec.send_trailers(id, trailers);
  harness.finish(id);
  harness.pump(client);
  EXPECT_EQ(client.response(id).body, "data");
  EXPECT_EQ(client.response(id).trailers, (H2FieldList{{"grpc-status", "0"}, {"x-upper", "v"}}));
  EXPECT_TRUE(client.response(id).ended);
}

TEST(H2Server, InterimResponsesComeBeforeTheHead) {
  H2ServerHarness harness;
  harness.answers = false;
  H2TestClient client;
  const uint32_t id = client.request(with(kPost, {{"expect", "100-continue"}}), false);
  harness.pump(client);
  EXPECT_TRUE(harness.heads[id].expect_continue);
  harness.codec.send_interim(id, 100, {});
  harness.codec.send_interim(id, 103, {});
  harness.pump(client);
  EXPECT_EQ(client.response(id).interim, (std::vector<uint16_t>{100, 103}));
  client.send(id, "x", true);
  harness.answers = true;
  harness.pump(client);
  EXPECT_EQ(client.response(id).status, 200);
}

TEST(H2Server, AHeadRequestHasNoBody) {
  H2ServerHarness harness;
  H2TestClient client;
  H2FieldList fields = kGet;
  fields[0].second = "HEAD";
  const uint32_t id = client.request(fields);
  harness.pump(client);
  EXPECT_EQ(client.response(id).field("content-length"), "2");
  EXPECT_EQ(client.response(id).body, "");
  EXPECT_TRUE(client.response(id).ended);
}

TEST(H2Server, AnEarlyAnswerIsFollowedByAResetWithoutError) {
  H2ServerHarness harness;
  harness.on_head = [&](StreamId stream) { harness.answer_status(stream, 413); };
  H2TestClient client;
  const uint32_t id = client.request(kPost, false);
  client.send(id, std::string(1000, 'x'), false);
  harness.pump(client);
  EXPECT_EQ(client.response(id).status, 413);
  EXPECT_EQ(client.response(id).reset, NGHTTP2_NO_ERROR);
  EXPECT_EQ(harness.glitches[H2Glitch::kServerReset], 0u);
  const uint32_t next = client.get();
  harness.on_head = nullptr;
  harness.pump(client);
  EXPECT_EQ(client.response(next).status, 200);
}

// Back-pressure: what is not passed on opens no window, and stops no other stream.
TEST(H2Server, APausedStreamHoldsItsWindowAndNoOther) {
  H2ServerHarness harness;
  H2TestClient client;
  harness.answers = false;
  std::vector<uint32_t> paused;
  for (int i = 0; i < 12; ++i) {
    paused.push_back(client.request(kPost, false));
    client.send(paused.back(), std::string(200'000, 'x'), true);
  }
  harness.on_head = [&](StreamId stream) { harness.codec.pause(stream); };
  harness.pump(client);
  EXPECT_EQ(harness.codec.buffered(), 12u * 65536);
  for (const uint32_t id : paused) EXPECT_EQ(harness.bodies[id].size(), 0u);
  harness.on_head = nullptr;
  const uint32_t free = client.request(kPost, false);
  client.send(free, std::string(3'000'000, 'y'), true);
  harness.pump(client);
  EXPECT_EQ(harness.bodies[free].size(), 3'000'000u);
  for (const uint32_t id : paused) harness.codec.resume(id);
  harness.pump(client);
  for (const uint32_t id : paused) EXPECT_EQ(harness.bodies[id].size(), 200'000u);
  EXPECT_EQ(harness.codec.buffered(), 0u);
}

TEST(H2Server, ManyPausedStreamsAreBoundedForTheConnection) {
  H2ServerHarness harness;
  H2TestClient client;
  harness.answers = false;
  for (int i = 0; i < 60; ++i)
    client.send(client.request(kPost, false), std::string(100'000, 'x'), true);
  harness.on_head = [&](StreamId stream) { harness.codec.pause(stream); };
  harness.pump(client);
  EXPECT_GE(harness.codec.buffered(), H2ServerCodec::kHeldBytesMax);
  EXPECT_LE(harness.codec.buffered(), H2ServerCodec::kHeldBytesMax + 1024 * 1024 + 16384);
}

TEST(H2Server, ASlowReaderOfOneStreamStopsNoOther) {
  H2ServerHarness harness;
  harness.answers = false;
  H2TestClient client({.stream_window = 1000, .opens_windows = false});
  const uint32_t slow = client.get("/slow");
  const uint32_t fast = client.get("/fast");
  harness.pump(client);
  ResponseHead head;
  head.status = 200;
  head.body = {BodyKind::kChunked};
  for (const uint32_t id : {slow, fast}) {
    harness.codec.send_head(id, head, false, false);
    for (int i = 0; i < 10; ++i)
      harness.codec.send_body(id, slice_of(harness.pool, std::string(4000, 'x')), i == 9);
  }
  std::vector<StreamId> sent;
  harness.on_sent = [&](StreamId stream) { sent.push_back(stream); };
  harness.pump(client);
  EXPECT_EQ(harness.codec.queued(slow), 39'000u);
  EXPECT_FALSE(sent.empty());
  client.open_window(fast, 100'000);
  harness.pump(client);
  EXPECT_EQ(client.response(fast).body.size(), 40'000u);
  EXPECT_EQ(client.response(slow).body.size(), 1000u);
  EXPECT_EQ(harness.codec.queued(), 39'000u);
  client.reset(slow);
  harness.pump(client);
  EXPECT_EQ(harness.codec.queued(), 0u);
}

TEST(H2Server, ProduceIsBounded) {
  H2ServerHarness harness;
  harness.answers = false;
  H2TestClient client({.stream_window = 1 << 24});
  const uint32_t id = client.get();
  client.open_window(0, 1 << 24);
  harness.pump(client);
  ResponseHead head;
  head.status = 200;
  head.body = {BodyKind::kChunked};
  harness.codec.send_head(id, head, false, false);
  for (int i = 0; i < 100; ++i)
    harness.codec.send_body(id, slice_of(harness.pool, std::string(4000, 'x')), i == 99);
  harness.finish(id);
  harness.codec.produce(50'000);
  EXPECT_GE(harness.output.size(), 50'000u);
  EXPECT_LE(harness.output.size(), 50'000u + 16384 + 9);
  EXPECT_TRUE(harness.codec.wants_output());
  client.feed(text_of(harness.output));
  harness.output.clear();
  harness.pump(client);
  EXPECT_EQ(client.response(id).body.size(), 400'000u);
  EXPECT_TRUE(harness.codec.idle());
}

TEST(H2Server, WebSocketByExtendedConnect) {
  H2ServerHarness harness;
  harness.answers = false;
  H2TestClient client;
  const uint32_t id = client.request({{":method", "CONNECT"},
                                      {":protocol", "websocket"},
                                      {":scheme", "http"},
                                      {":authority", "a.test"},
                                      {":path", "/chat"},
                                      {"sec-websocket-version", "13"}},
                                     false);
  client.send(id, "early", false);
  harness.pump(client);
  EXPECT_EQ(harness.events, "1: head GET /chat end\n");
  EXPECT_TRUE(harness.heads[id].upgrade);
  EXPECT_EQ(harness.bodies[id], "");  // Bytes sent early are not a body.
  ResponseHead head;
  head.status = 101;
  head.headers.add(HeaderName::kUpgrade, "websocket");
  head.headers.add(HeaderName::kSecWebsocketAccept, "x");
  head.headers.add(HeaderName::kSecWebsocketProtocol, "chat");
  harness.codec.send_head(id, head, false, false);
  harness.codec.switch_to_tunnel(id);
  EXPECT_EQ(harness.bodies[id], "early");
  harness.codec.send_body(id, slice_of(harness.pool, "down"), false);
  client.send(id, " up", false);
  harness.pump(client);
  EXPECT_EQ(client.response(id).status, 200);
  EXPECT_EQ(client.response(id).fields, (H2FieldList{{"sec-websocket-protocol", "chat"}}));
  EXPECT_EQ(client.response(id).body, "down");
  EXPECT_EQ(harness.bodies[id], "early up");
  client.send(id, "", true);
  harness.pump(client);
  EXPECT_TRUE(harness.events.ends_with("1: end\n"));
  harness.codec.send_body(id, {}, true);
  harness.pump(client);
  EXPECT_TRUE(client.response(id).closed);
  EXPECT_TRUE(harness.events.ends_with("1: end\n"))
      << harness.events;  // No error behind an orderly end.
}

TEST(H2Server, DrainsInTwoSteps) {
  H2ServerHarness harness;
  harness.answers = false;
  H2TestClient client;
  const uint32_t open = client.get("/open");
  harness.pump(client);
  harness.codec.drain();
  const std::string first = harness.pump_output();
  client.feed(first);
  EXPECT_EQ(client.goaway, NGHTTP2_NO_ERROR);
  EXPECT_EQ(client.goaway_last_stream, INT32_MAX);
  EXPECT_FALSE(harness.codec.wants_close());
  harness.pump(client);  // The PING comes back.
  EXPECT_EQ(client.goaways, 2u);
  EXPECT_EQ(client.goaway_last_stream, 1);
  EXPECT_FALSE(harness.codec.wants_close());
  harness.answer(open, "ok");
  harness.pump(client);
  EXPECT_EQ(client.response(open).body, "ok");
  EXPECT_TRUE(harness.codec.wants_close());
}

TEST(H2Server, ATruncatedRequestIsTold) {
  H2ServerHarness harness;
  H2TestClient client;
  const uint32_t id = client.request(kPost, false);
  harness.pump(client);
  harness.codec.on_end_of_input();
  EXPECT_TRUE(harness.events.ends_with(std::to_string(id) + ": error truncated\n"));
  EXPECT_TRUE(harness.codec.wants_close() || harness.codec.streams() > 0);
  harness.pump_output();
  EXPECT_TRUE(harness.codec.wants_close());
}

TEST(H2Server, RefusalsThatCanBeAnsweredAre) {
  H2ServerHarness harness;
  H2TestClient client;
  const uint32_t large = client.request(with(kGet, {{"x", std::string(17'000, 'a')}}));
  const uint32_t connect =
      client.request({{":method", "CONNECT"}, {":authority", "a.test:1"}}, false);
  const uint32_t good = client.get();
  harness.pump(client);
  EXPECT_EQ(client.response(large).status, 431);
  EXPECT_EQ(client.response(connect).status, 405);
  EXPECT_EQ(client.response(good).status, 200);
}

TEST(H2Server, ABadPrefaceEndsTheConnection) {
  H2ServerHarness harness;
  harness.feed("PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n");
  EXPECT_TRUE(harness.codec.wants_close());
}

TEST(H2Server, NoRoomRefusesTheStreamOnly) {
  H2ServerHarness harness;
  harness.no_room = true;
  H2TestClient client;
  const uint32_t id = client.get();
  harness.pump(client);
  EXPECT_EQ(client.response(id).reset, NGHTTP2_REFUSED_STREAM);
  harness.no_room = false;
  const uint32_t next = client.get();
  harness.pump(client);
  EXPECT_EQ(client.response(next).status, 200);
}

TEST(H2Server, StreamsInTheSteadyStateTakeNoMemoryFromMalloc) {
  H2ServerHarness harness;
  H2TestClient client;
  const auto round = [&] {
    for (int i = 0; i < 50; ++i) {
      client.get("/a");
      const uint32_t post = client.request(kPost, false);
      client.send(post, "body", true);
    }
    harness.pump(client);
  };
  for (int i = 0; i < 5; ++i) round();
  const uint64_t before = h2_memory_stats().from_malloc;
  for (int i = 0; i < 20; ++i) round();
  EXPECT_EQ(h2_memory_stats().from_malloc, before);
  EXPECT_EQ(harness.pool.in_use(), 0u);
}

}  // namespace
}  // namespace ringway::http::testing
