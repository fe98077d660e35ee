#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "base/clock.h"
#include "dataplane/tls/test_client.h"
#include "dataplane/tls/test_keys.h"
#include "dataplane/tls/ticket_keys.h"

namespace ringway::tls {
namespace {

using test::Client;
using test::connect;
using test::KeyKind;
using test::Server;

constexpr uint16_t kVersions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

struct Hosts {
  std::shared_ptr<const Certificate> a = test::make_certificate(KeyKind::kP256, {"a.example.com"});
  std::shared_ptr<const Certificate> b = test::make_certificate(KeyKind::kP256, {"b.example.com"});

  std::shared_ptr<ServerContext> context(const ServerPolicy& policy) const {
    return ServerContext::make(policy, {{"a.example.com", a}, {"b.example.com", b}},
                               Certificate::self_signed());
  }
};

// The session of a connection to `server_name`, whose tickets leave with the first answer.
bssl::UniquePtr<SSL_SESSION> visit(std::shared_ptr<ServerContext> context, uint16_t version,
                                   const char* server_name) {
  Client client({.server_name = server_name, .version_min = version, .version_max = version});
  Server server(std::move(context));
  EXPECT_TRUE(connect(client, server));
  EXPECT_FALSE(server.session->resumed());
  EXPECT_TRUE(server.send("answer"));
  client.feed(server.take_output());
  EXPECT_EQ(client.read(), "answer");
  EXPECT_NE(client.session(), nullptr);
  return bssl::UpRef(client.session());
}

// True when the session resumes; the handshake must succeed in any case.
bool resumes(std::shared_ptr<ServerContext> context, uint16_t version, const char* server_name,
             SSL_SESSION* session) {
  Client client({.server_name = server_name,
                 .version_min = version,
                 .version_max = version,
                 .session = session});
  Server server(std::move(context));
  EXPECT_TRUE(connect(client, server)) << server.session->failure();
  EXPECT_EQ(client.resumed(), server.session->resumed());
  EXPECT_EQ(server.session->server_name(), server_name);
  client.write("request");
  server.receive(client.take_output());
  EXPECT_EQ(server.take_plain(), "request");
  return server.session->resumed();
}

class ResumptionTest : public testing::TestWithParam<uint16_t> {
 protected:
  Hosts hosts_;
  std::shared_ptr<TicketKeys> keys_ = std::make_shared<TicketKeys>(monotonic_ns());
};
INSTANTIATE_TEST_SUITE_P(Versions, ResumptionTest, testing::ValuesIn(kVersions),
                         [](const auto& test) {
                           return test.param == TLS1_2_VERSION ? "tls12" : "tls13";
                         });

TEST_P(ResumptionTest, SameHostResumes) {
  const auto context = hosts_.context({.ticket_keys = keys_});
  const auto session = visit(context, GetParam(), "a.example.com");
  EXPECT_TRUE(resumes(context, GetParam(), "a.example.com", session.get()));
  EXPECT_TRUE(resumes(context, GetParam(), "A.example.com", session.get()));
}

TEST_P(ResumptionTest, OutlivesAnExchangeOfCertificates) {
  const auto session =
      visit(hosts_.context({}), GetParam(), "a.example.com");  // With the keys of the process.
  hosts_.b = test::make_certificate(KeyKind::kRsa2048, {"b.example.com"});
  EXPECT_TRUE(resumes(hosts_.context({}), GetParam(), "a.example.com", session.get()));
  hosts_.a = test::make_certificate(KeyKind::kP256, {"a.example.com"});
  EXPECT_TRUE(resumes(hosts_.context({}), GetParam(), "a.example.com", session.get()));
}

// A session of TLS 1.2 has a cipher suite of one kind of key, so it ends with that kind; the client
// is served all the same.
TEST_P(ResumptionTest, AnotherKindOfKey) {
  const auto session = visit(hosts_.context({}), GetParam(), "a.example.com");
  hosts_.a = test::make_certificate(KeyKind::kRsa2048, {"a.example.com"});
  EXPECT_EQ(resumes(hosts_.context({}), GetParam(), "a.example.com", session.get()),
            GetParam() == TLS1_3_VERSION);
}

TEST_P(ResumptionTest, NotUnderAnotherName) {
  const auto context = hosts_.context({.ticket_keys = keys_});
  const auto session = visit(context, GetParam(), "a.example.com");
  EXPECT_FALSE(resumes(context, GetParam(), "b.example.com", session.get()));
  EXPECT_FALSE(resumes(context, GetParam(), "unknown.org", session.get()));
}

TEST_P(ResumptionTest, NotUnderAnotherPolicyOrOtherKeys) {
  const auto session = visit(hosts_.context({.ticket_scope = "one", .ticket_keys = keys_}),
                             GetParam(), "a.example.com");
  EXPECT_TRUE(resumes(hosts_.context({.ticket_scope = "one", .ticket_keys = keys_}), GetParam(),
                      "a.example.com", session.get()));
  EXPECT_FALSE(resumes(hosts_.context({.ticket_scope = "two", .ticket_keys = keys_}), GetParam(),
                       "a.example.com", session.get()));
  EXPECT_FALSE(
      resumes(hosts_.context({.ticket_scope = "one"}), GetParam(), "a.example.com", session.get()));
  if (GetParam() == TLS1_3_VERSION) {
    EXPECT_FALSE(
        resumes(hosts_.context(
                    {.version_min = TLS1_3_VERSION, .ticket_scope = "one", .ticket_keys = keys_}),
                GetParam(), "a.example.com", session.get()));
  }
}

TEST_P(ResumptionTest, OneRotationKeepsTicketsTwoEndThem) {
  const auto context = hosts_.context({.ticket_keys = keys_});
  const auto session = visit(context, GetParam(), "a.example.com");
  keys_->rotate(monotonic_ns());
  EXPECT_TRUE(resumes(context, GetParam(), "a.example.com", session.get()));
  keys_->rotate(monotonic_ns());
  EXPECT_FALSE(resumes(context, GetParam(), "a.example.com", session.get()));
}

TEST(TicketKeysTest, SealsAndOpensAndKnowsItsAge) {
  TicketKeys keys(0);
  const std::vector<uint8_t> session(200, 7);
  std::vector<uint8_t> ticket(session.size() + TicketKeys::kOverheadBytes);
  const uint64_t sealed_at = TicketKeys::kPeriodNs - 1;
  ASSERT_EQ(keys.seal(sealed_at, session, ticket), ticket.size());
  std::vector<uint8_t> out(ticket.size());
  ASSERT_EQ(keys.open(sealed_at, ticket, out), session.size());
  EXPECT_TRUE(std::equal(session.begin(), session.end(), out.begin()));
  EXPECT_TRUE(keys.open(TicketKeys::kPeriodNs, ticket, out).has_value());  // Rotates.
  EXPECT_TRUE(keys.open(2 * TicketKeys::kPeriodNs - 1, ticket, out).has_value());
  EXPECT_FALSE(keys.open(2 * TicketKeys::kPeriodNs, ticket, out).has_value());
}

TEST(TicketKeysTest, AWholePeriodWithoutUseEndsTicketsToo) {
  TicketKeys keys(0);
  const std::vector<uint8_t> session(20, 7);
  std::vector<uint8_t> ticket(session.size() + TicketKeys::kOverheadBytes), out(ticket.size());
  ASSERT_TRUE(keys.seal(1, session, ticket).has_value());
  EXPECT_FALSE(keys.open(2 * TicketKeys::kPeriodNs, ticket, out).has_value());
}

TEST(TicketKeysTest, RefusesWhatWasAlteredOrIsShort) {
  TicketKeys keys(0);
  const std::vector<uint8_t> session(40, 7);
  std::vector<uint8_t> ticket(session.size() + TicketKeys::kOverheadBytes), out(ticket.size());
  EXPECT_FALSE(keys.seal(1, session, std::span(ticket).first(ticket.size() - 1)).has_value());
  ASSERT_TRUE(keys.seal(1, session, ticket).has_value());
  for (size_t i = 0; i < ticket.size(); ++i) {
    ticket[i] ^= 1;
    EXPECT_FALSE(keys.open(1, ticket, out).has_value()) << i;
    ticket[i] ^= 1;
    EXPECT_FALSE(keys.open(1, std::span(ticket).first(i), out).has_value()) << i;
  }
  EXPECT_TRUE(keys.open(1, ticket, out).has_value());
}

TEST(TicketKeysTest, SealsInPlace) {
  TicketKeys keys(0);
  const std::vector<uint8_t> session(40, 7);
  std::vector<uint8_t> ticket(session.size() + TicketKeys::kOverheadBytes), out(ticket.size());
  std::copy(session.begin(), session.end(), ticket.begin());
  ASSERT_TRUE(keys.seal(1, std::span(ticket).first(session.size()), ticket).has_value());
  ASSERT_EQ(keys.open(1, ticket, out), session.size());
  EXPECT_TRUE(std::equal(session.begin(), session.end(), out.begin()));
}

// For TSan: workers seal and open while the keys rotate; what was sealed a moment ago opens as long
// as at most one rotation came between.
TEST(TicketKeysTest, ThreadsShareThem) {
  TicketKeys keys(0);
  std::atomic<uint64_t> opened = 0;
  std::vector<std::thread> workers;
  for (int i = 0; i < 3; ++i) {
    workers.emplace_back([&] {
      const std::vector<uint8_t> session(100, 7);
      std::vector<uint8_t> ticket(session.size() + TicketKeys::kOverheadBytes), out(ticket.size());
      for (int round = 0; round < 2000; ++round) {
        ASSERT_TRUE(keys.seal(1, session, ticket).has_value());
        if (keys.open(1, ticket, out).has_value()) ++opened;
      }
    });
  }
  for (int i = 0; i < 50; ++i) keys.rotate(1);
  for (std::thread& worker : workers) worker.join();
  EXPECT_GT(opened, 5000u);
}

}  // namespace
}  // namespace ringway::tls
