#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/random.h"
#include "dataplane/tls/test_client.h"
#include "dataplane/tls/test_keys.h"

namespace ringway::tls {
namespace {

using test::Client;
using test::connect;
using test::KeyKind;
using test::Server;

constexpr uint16_t kVersions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

std::shared_ptr<ServerContext> context_of() {
  static const auto certificate = test::make_certificate(KeyKind::kP256, {"a.example.com"});
  return ServerContext::make({}, {}, certificate);
}

std::string random_bytes(Random& random, size_t size) {
  std::string bytes(size, '\0');
  for (char& c : bytes) c = static_cast<char>(random.next());
  return bytes;
}

TEST(StreamTest, LargeDataArrivesWhole) {
  for (uint16_t version : kVersions) {
    for (uint64_t seed = 1; seed <= 3; ++seed) {
      SCOPED_TRACE(testing::Message() << version << " seed " << seed);
      Random random(seed);
      Client client({.version_min = version, .version_max = version});
      Server server(context_of());
      ASSERT_TRUE(connect(client, server));
      io::BufferPool bodies({65536, 4, 256});
      const std::string up = random_bytes(random, 1'000'000);
      const std::string down = random_bytes(random, 1'000'000);
      std::string got_up, got_down;
      for (size_t sent = 0; sent < up.size();) {
        const size_t bytes = std::min<size_t>(1 + random.below(40'000), up.size() - sent);
        client.write(std::string_view(up).substr(sent, bytes));
        sent += bytes;
        server.receive(client.take_output(), 1 + random.below(4096));
        got_up += server.take_plain();
      }
      EXPECT_EQ(got_up, up);
      for (size_t sent = 0; sent < down.size();) {
        io::SliceQueue queue;
        for (uint32_t slices = 1 + random.below(8); slices > 0 && sent < down.size(); --slices) {
          const uint32_t limit = random.chance(50) ? 300 : 65536;
          const size_t bytes = std::min<size_t>(1 + random.below(limit), down.size() - sent);
          queue.push(test::slice_of(bodies, std::string_view(down).substr(sent, bytes)));
          sent += bytes;
        }
        ASSERT_TRUE(server.send(queue));
        EXPECT_TRUE(queue.empty());
        client.feed(server.take_output());
        got_down += client.read();
      }
      EXPECT_EQ(got_down, down);
      EXPECT_EQ(server.buffers_in_use(), 0u);
      EXPECT_EQ(bodies.in_use(), 0u);
    }
  }
}

// Counts the records in a stream of whole ones.
size_t records(std::string_view stream) {
  size_t count = 0;
  for (; stream.size() >= 5; ++count) {
    stream.remove_prefix(5 +
                         (static_cast<uint8_t>(stream[3]) << 8 | static_cast<uint8_t>(stream[4])));
  }
  return count;
}

TEST(StreamTest, SmallSlicesShareARecord) {
  Client client({});
  Server server(context_of());
  ASSERT_TRUE(connect(client, server));
  ASSERT_TRUE(server.send("tickets go first"));
  client.feed(server.take_output());
  client.read();
  struct {
    size_t bytes, slice_bytes, records;
  } const cases[] = {{300, 100, 1},     {16384, 1024, 1}, {16385, 4096, 2},
                     {40'000, 4096, 3}, {1, 1, 1},        {0, 1, 0}};
  for (const auto& c : cases) {
    ASSERT_TRUE(server.send(std::string(c.bytes, 'x'), c.slice_bytes));
    const std::string out = server.take_output();
    EXPECT_EQ(records(out), c.records) << c.bytes;
    client.feed(out);
    EXPECT_EQ(client.read().size(), c.bytes);
  }
}

TEST(StreamTest, ManyRecordsInOneReceive) {
  Client client({});
  Server server(context_of());
  ASSERT_TRUE(connect(client, server));
  std::string sent;
  for (int i = 0; i < 50; ++i) {
    sent += std::to_string(i);
    client.write(std::to_string(i));
  }
  server.receive(client.take_output());
  EXPECT_EQ(server.plain.slices(), 1u);  // Small records share a buffer.
  EXPECT_EQ(server.take_plain(), sent);
}

TEST(StreamTest, DataBehindTheFinishedMessageIsNotLost) {
  for (uint16_t version : kVersions) {
    Client client({.version_min = version, .version_max = version});
    Server server(context_of());
    std::string last_flight;
    while (!client.handshake()) {
      server.receive(last_flight = client.take_output());
      client.feed(server.take_output());
    }
    client.write("at once");
    server.receive(client.take_output());
    EXPECT_EQ(server.take_plain(), "at once");
  }
}

TEST(StreamTest, CloseNotifyIsToldFromTruncation) {
  for (uint16_t version : kVersions) {
    Client client({.version_min = version, .version_max = version});
    Server server(context_of());
    ASSERT_TRUE(connect(client, server));
    client.write("whole");
    const std::string whole = client.take_output();
    client.write("part");
    const std::string part = client.take_output();
    EXPECT_EQ(server.receive(whole + part.substr(0, part.size() - 1)),
              SessionState::kOpen);  // The stream ends here: cut.
    EXPECT_EQ(server.take_plain(), "whole");
    EXPECT_EQ(server.buffers_in_use(), 0u);
    server.receive(part.substr(part.size() - 1));
    EXPECT_EQ(server.take_plain(), "part");

    client.shutdown();
    EXPECT_EQ(server.receive(client.take_output() + "anything"), SessionState::kClosed);
    EXPECT_EQ(server.receive("more"), SessionState::kClosed);
    EXPECT_EQ(server.take_plain(), "");
    EXPECT_EQ(server.buffers_in_use(), 0u);
    EXPECT_EQ(server.session->failure(), "");
  }
}

TEST(StreamTest, AnswersAClientThatHasClosedItsSide) {
  Client client({});
  Server server(context_of());
  ASSERT_TRUE(connect(client, server));
  client.write("request");
  client.shutdown();
  EXPECT_EQ(server.receive(client.take_output()), SessionState::kClosed);
  EXPECT_EQ(server.take_plain(), "request");
  EXPECT_TRUE(server.send("answer"));
  server.shutdown();
  client.feed(server.take_output());
  EXPECT_EQ(client.read(), "answer");
  EXPECT_TRUE(client.closed());
}

TEST(StreamTest, ShutdownTellsTheClient) {
  for (uint16_t version : kVersions) {
    Client client({.version_min = version, .version_max = version});
    Server server(context_of());
    ASSERT_TRUE(connect(client, server));
    server.shutdown();
    client.feed(server.take_output());
    EXPECT_EQ(client.read(), "");
    EXPECT_TRUE(client.closed());
  }
  Server handshaking(context_of());
  handshaking.shutdown();
  EXPECT_TRUE(handshaking.cipher_out.empty());
}

TEST(StreamTest, AnAlteredRecordFailsAfterWhatWasGood) {
  for (uint16_t version : kVersions) {
    Client client({.version_min = version, .version_max = version});
    Server server(context_of());
    ASSERT_TRUE(connect(client, server));
    client.write("good");
    std::string stream = client.take_output();
    client.write("altered");
    stream += client.take_output();
    stream.back() = static_cast<char>(stream.back() ^ 1);
    EXPECT_EQ(server.receive(stream), SessionState::kFailed);
    EXPECT_EQ(server.session->failure(), "bad_record_mac");
    EXPECT_EQ(server.take_plain(), "good");
    EXPECT_FALSE(server.send("x"));
    client.feed(server.take_output());
    client.read();
    EXPECT_EQ(client.alert(), SSL_AD_BAD_RECORD_MAC);
  }
}

TEST(StreamTest, KeyUpdatesAreFollowedAndBounded) {
  Client client({.version_min = TLS1_3_VERSION});
  Server server(context_of());
  ASSERT_TRUE(connect(client, server));
  ASSERT_EQ(SSL_key_update(client.ssl(), SSL_KEY_UPDATE_REQUESTED), 1);
  client.write("after");
  server.receive(client.take_output());
  EXPECT_EQ(server.take_plain(), "after");
  ASSERT_TRUE(server.send("with our new key"));
  client.feed(server.take_output());
  EXPECT_EQ(client.read(), "with our new key");
  std::string flood;
  for (int i = 0; i < 100; ++i) {
    ASSERT_EQ(SSL_key_update(client.ssl(), SSL_KEY_UPDATE_NOT_REQUESTED), 1);
    SSL_write(client.ssl(), "", 0);
    flood += client.take_output();
  }
  EXPECT_EQ(server.receive(flood), SessionState::kFailed);
  EXPECT_EQ(server.session->failure(), "too_many_key_updates");
}

TEST(StreamTest, AClientThatDislikesTheCertificateIsNamed) {
  for (uint16_t version : kVersions) {
    Client client({.version_min = version, .version_max = version});
    SSL_set_custom_verify(client.ssl(), SSL_VERIFY_PEER, [](SSL*, uint8_t* alert) {
      *alert = SSL_AD_UNKNOWN_CA;
      return ssl_verify_invalid;
    });
    Server server(context_of());
    EXPECT_FALSE(connect(client, server));
    EXPECT_EQ(server.session->state(), SessionState::kFailed);
    EXPECT_EQ(server.session->failure(), "alert_unknown_ca");
  }
}

TEST(StreamTest, CloseNotifyInTheHandshakeIsAFailure) {
  Server server(context_of());
  EXPECT_EQ(server.receive(std::string("\x15\x03\x01\x00\x02\x01\x00", 7)), SessionState::kFailed);
  EXPECT_EQ(server.session->failure(), "closed_in_handshake");
}

}  // namespace
}  // namespace ringway::tls
