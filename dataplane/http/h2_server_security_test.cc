// Rows 26 and 29 to 34 of the table of attacks, against the server codec.
#include <gtest/gtest.h>

#include "dataplane/http/h2_server_harness.h"

namespace ringway::http::testing {
namespace {

// Row 26: an upgrade to h2c is HTTP/1's to ignore; here its fields are malformed or dropped.
TEST(SecurityRow26, UpgradeFieldsAreRefused) {
  H2ServerHarness harness;
  H2TestClient client;
  const uint32_t id =
      client.request(with(kGet, {{"upgrade", "h2c"}, {"http2-settings", "AAMAAABk"}}));
  harness.pump(client);
  EXPECT_EQ(client.response(id).reset, NGHTTP2_PROTOCOL_ERROR);
}

TEST(SecurityRow29, ContentLengthIsCheckedAgainstData) {
  struct Case {
    const char* name;
    std::string length;
    std::string data;
    bool trailers;
  };
  for (const Case& c :
       {Case{"short", "10", "12345", false}, Case{"long", "3", "12345", false},
        Case{"short with trailers", "10", "12345", true}, Case{"none sent", "1", "", false}}) {
    SCOPED_TRACE(c.name);
    H2ServerHarness harness;
    H2TestClient client;
    const uint32_t id = client.request(with(kPost, {{"content-length", c.length}}), false);
    client.send(id, c.data, !c.trailers);
    if (c.trailers) client.trailers(id, {{"x", "y"}});
    const uint32_t good = client.get();
    harness.pump(client);
    EXPECT_EQ(client.response(id).reset, NGHTTP2_PROTOCOL_ERROR);
    EXPECT_NE(harness.events.find("1: error bad_content_length"), std::string::npos)
        << harness.events;
    EXPECT_EQ(harness.events.find("1: end"), std::string::npos);
    EXPECT_EQ(client.response(good).status, 200);
  }
  H2ServerHarness harness;
  harness.feed(h2_hello() + headers(1, with(kPost, {{"content-length", "5"}})));
  EXPECT_EQ(harness.events, "1: malformed bad_content_length\n");
}

TEST(SecurityRow30And31, AMalformedHeadIsResetAndNotSeen) {
  for (const H2FieldList& fields :
       {with(kGet, {{"x", "a\r\nb"}}), with(kGet, {{"x", "a "}}), with(kGet, {{":path", "/"}}),
        with(kGet, {{"host", "b.test"}}), with(kGet, {{"transfer-encoding", "chunked"}})}) {
    H2ServerHarness harness;
    H2TestClient client;
    const uint32_t id = client.request(fields);
    const uint32_t good = client.get();
    harness.pump(client);
    EXPECT_EQ(client.response(id).reset, NGHTTP2_PROTOCOL_ERROR);
    EXPECT_EQ(harness.events.find("1: head"), std::string::npos);
    EXPECT_EQ(client.response(good).status, 200);
    EXPECT_EQ(harness.glitches[H2Glitch::kServerReset], 1u);
  }
}

TEST(SecurityRow32, RapidResetIsCounted) {
  H2ServerHarness harness;
  harness.answers = false;
  harness.glitches_max = 50;
  std::string text = h2_hello();
  for (uint32_t id = 1; id < 400; id += 2)
    text += headers(id, kGet) + h2_frame(NGHTTP2_RST_STREAM, 0, id, h2_uint32(NGHTTP2_CANCEL));
  harness.feed(text);
  EXPECT_EQ(harness.glitches[H2Glitch::kClientReset], 51u);
  EXPECT_EQ(harness.codec.open_requests(), 0u);
  EXPECT_TRUE(harness.codec.wants_close());
  H2TestClient reader;
  reader.take_output();
  reader.feed(harness.pump_output());
  EXPECT_EQ(reader.goaway, NGHTTP2_ENHANCE_YOUR_CALM);
}

// MadeYouReset: the client's own violations make us reset.
TEST(SecurityRow32, ResetsThatTheClientMadeUsSendAreCounted) {
  struct Case {
    const char* name;
    std::string frame;
  };
  const uint32_t id = 1;
  const Case cases[] = {
      {"window overflow", h2_frame(NGHTTP2_WINDOW_UPDATE, 0, id, h2_uint32(0x7fffffff))},
      {"data behind the end", h2_frame(NGHTTP2_DATA, 0, id, "x")},
      {"head behind the end", headers(id, kGet)},
      {"window update of zero", h2_frame(NGHTTP2_WINDOW_UPDATE, 0, id, h2_uint32(0))},
      {"priority of itself", h2_frame(NGHTTP2_PRIORITY, 0, id, h2_uint32(id) + "\x10")},
      {"priority of a wrong length", h2_frame(NGHTTP2_PRIORITY, 0, id, "abc")},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    H2ServerHarness harness;
    harness.answers = false;
    harness.feed(h2_hello() + headers(id, kGet) + c.frame);
    harness.pump_output();
    // A reset that counts, or the end of the connection; never an open request behind either.
    const bool ended = harness.codec.wants_close();
    EXPECT_TRUE(ended || harness.glitches[H2Glitch::kServerReset] == 1) << harness.events;
    EXPECT_TRUE(ended || harness.codec.open_requests() == 0) << harness.events;
  }
}

TEST(SecurityRow32, WhatIsResetCountsUntilItsExchangeIsGone) {
  H2ServerHarness harness({.streams_max = 4});
  harness.answers = false;
  std::string text = h2_hello();
  for (uint32_t id = 1; id <= 7; id += 2) text += headers(id, kPost, false);
  harness.feed(text);
  EXPECT_EQ(harness.codec.open_requests(), 4u);
  EXPECT_EQ(harness.heads.size(), 4u);
}

TEST(SecurityRow33, FloodsOfFramesAreCountedByKind) {
  struct Case {
    H2Glitch kind;
    std::string frame;
  };
  const Case cases[] = {
      {H2Glitch::kPing, h2_frame(NGHTTP2_PING, 0, 0, "12345678")},
      {H2Glitch::kSettings, h2_frame(NGHTTP2_SETTINGS, 0, 0, "")},
      {H2Glitch::kPriority, h2_frame(NGHTTP2_PRIORITY, 0, 5, std::string("\0\0\0\0\x10", 5))},
      {H2Glitch::kWindowUpdate, h2_frame(NGHTTP2_WINDOW_UPDATE, 0, 0, h2_uint32(1))},
      {H2Glitch::kEmptyData, h2_frame(NGHTTP2_DATA, 0, 1, "")},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(h2_glitch_name(c.kind));
    H2ServerHarness harness;
    harness.answers = false;
    harness.feed(h2_hello() + headers(1, kPost, false));
    harness.glitches.clear();
    harness.glitches_max = 100;
    std::string text;
    for (int i = 0; i < 500; ++i) text += c.frame;
    harness.feed(text);
    EXPECT_EQ(harness.glitches[c.kind], 101u);
    EXPECT_TRUE(harness.codec.wants_close());
    EXPECT_EQ(harness.codec.open_requests(), 0u) << "the request of an ended connection is told";
  }
}

TEST(SecurityRow33, DataBehindTheEndOfAStreamEndsTheConnection) {
  for (const bool cut : {false, true}) {
    H2ServerHarness harness;
    const std::string text = h2_hello() + headers(1, kPost, false) +
                             h2_frame(NGHTTP2_RST_STREAM, 0, 1, h2_uint32(NGHTTP2_CANCEL)) +
                             h2_frame(NGHTTP2_DATA, 0, 1, "x");
    for (size_t i = 0; i < text.size(); i += cut ? 1 : text.size())
      harness.feed(text.substr(i, cut ? 1 : text.size()));
    EXPECT_TRUE(harness.codec.wants_close());
    EXPECT_EQ(harness.glitches[H2Glitch::kClosedStream], 1u);
  }
  // What was under way when we reset is not the client's fault.
  H2ServerHarness harness;
  harness.on_head = [&](StreamId stream) { harness.answer_status(stream, 413); };
  harness.feed(h2_hello() + headers(1, kPost, false));
  harness.pump_output();
  harness.feed(h2_frame(NGHTTP2_DATA, 0, 1, "x") + h2_frame(NGHTTP2_DATA, 1, 1, "y"));
  EXPECT_FALSE(harness.codec.wants_close());
  EXPECT_EQ(harness.glitches[H2Glitch::kClosedStream], 2u);
}

TEST(SecurityRow33, AnEndlessFieldBlockEnds) {
  H2ServerHarness harness;
  harness.feed(h2_hello() + h2_frame(NGHTTP2_HEADERS, 0, 1, h2_block(kGet)));
  EXPECT_TRUE(harness.codec.in_head());
  for (int i = 0; i < 40 && !harness.codec.wants_close(); ++i) {
    harness.feed(h2_frame(NGHTTP2_CONTINUATION, 0, 1, h2_block({{"x", std::string(10'000, 'a')}})));
    harness.pump_output();
  }
  EXPECT_TRUE(harness.codec.wants_close());
  EXPECT_GT(harness.glitches[H2Glitch::kContinuation], 0u);
  EXPECT_EQ(harness.events, "");
  EXPECT_LT(harness.pool.in_use(), 8u);
}

// One field in the table, then references to it of one byte each.
TEST(SecurityRow34, AnHpackBombEndsTheConnection) {
  H2ServerHarness harness;
  std::string block = h2_block(kGet);
  block += '\x40';  // Literal with incremental indexing.
  block += h2_block({{"x", std::string(100, 'v')}}).substr(1);
  block += std::string(10'000, '\xbe');  // Index 62: the field just added.
  harness.feed(h2_hello() + h2_frame(NGHTTP2_HEADERS,
                                     NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, 1, block));
  EXPECT_TRUE(harness.codec.wants_close());
  EXPECT_EQ(harness.glitches[H2Glitch::kHeaders], 1u);
  EXPECT_EQ(harness.events, "");
}

TEST(SecurityRow34, StreamsThatDoNotMoveAreGivenUp) {
  constexpr uint64_t kSecond = 1'000'000'000;
  H2ServerHarness harness;
  harness.answers = false;
  H2TestClient client({.stream_window = 0, .opens_windows = false});
  const uint32_t stuck = client.get("/stuck");
  const uint32_t waiting = client.get("/waiting");
  harness.pump(client);
  ResponseHead head;
  head.status = 200;
  head.body = {BodyKind::kChunked};
  harness.codec.send_head(stuck, head, false, false);
  harness.codec.send_body(stuck, slice_of(harness.pool, std::string(4000, 'x')), false);
  harness.pump(client);
  EXPECT_EQ(harness.codec.give_up_stalled(1 * kSecond, 60 * kSecond).streams, 0u);
  for (uint64_t second = 2; second <= 60;
       ++second) {  // A byte of window now and then changes nothing.
    client.open_window(stuck, 1);
    harness.pump(client);
    EXPECT_EQ(harness.codec.give_up_stalled(second * kSecond, 60 * kSecond).streams, 0u);
  }
  const auto stalls = harness.codec.give_up_stalled(61 * kSecond, 60 * kSecond);
  EXPECT_EQ(stalls.streams, 1u);
  EXPECT_FALSE(stalls.connection);  // Another request waits for its answer.
  harness.pump(client);
  EXPECT_EQ(client.response(stuck).reset, NGHTTP2_ENHANCE_YOUR_CALM);
  EXPECT_EQ(harness.codec.queued(), 0u);
  harness.codec.send_head(waiting, head, false, false);
  harness.codec.send_body(waiting, slice_of(harness.pool, "x"), false);
  harness.pump(client);
  harness.codec.give_up_stalled(100 * kSecond, 60 * kSecond);
  EXPECT_TRUE(harness.codec.give_up_stalled(160 * kSecond, 60 * kSecond).connection);
  harness.pump(client);
  EXPECT_EQ(client.goaway, NGHTTP2_ENHANCE_YOUR_CALM);
}

}  // namespace
}  // namespace ringway::http::testing
