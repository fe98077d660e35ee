// Sessions towards upstreams, against sessions of our own server side.
#include <gtest/gtest.h>

#include "dataplane/tls/client_context.h"
#include "dataplane/tls/test_client.h"
#include "dataplane/tls/test_keys.h"

namespace ringway::tls {
namespace {

using test::KeyKind;
using test::Server;

struct Peer {
  explicit Peer(std::shared_ptr<const ClientContext> context, ResumableSession* resumable = nullptr)
      : session(Session::connect(std::move(context), pool, resumable)) {
    session->start(cipher_out);
  }
  // Bytes to and fro until neither side has any, in slices of `slice_bytes`.
  void exchange(Server& server, size_t slice_bytes = 4096) {
    while (true) {
      const std::string to_server = test::take_all(cipher_out);
      server.receive(to_server, slice_bytes);
      std::string to_client = server.take_output();
      if (to_server.empty() && to_client.empty()) return;
      for (size_t at = 0; at < to_client.size(); at += slice_bytes) {
        session->receive(test::slice_of(pool, to_client.substr(at, slice_bytes)), plain,
                         cipher_out);
      }
    }
  }

  io::BufferPool pool{{4096, 64, 65536}};
  io::SliceQueue plain;
  io::SliceQueue cipher_out;
  std::unique_ptr<Session> session;
};

std::shared_ptr<ServerContext> server_context(std::vector<std::string> alpn) {
  static const auto certificate = test::make_certificate(KeyKind::kP256, {"a.example.com"});
  static const auto other = test::make_certificate(KeyKind::kP256, {"other"});
  ServerPolicy policy;
  policy.alpn = std::move(alpn);
  return ServerContext::make(policy, {{"a.example.com", certificate}}, other);
}

TEST(ClientSession, AgreesOnAProtocolAndCarriesBytes) {
  for (const size_t slice_bytes : {1u, 100u, 4096u}) {
    Server server(server_context({"h2", "http/1.1"}));
    Peer client(ClientContext::make({.alpn = {"h2"}}));
    client.exchange(server, slice_bytes);
    ASSERT_EQ(client.session->state(), SessionState::kOpen);
    EXPECT_EQ(client.session->alpn(), "h2");
    EXPECT_EQ(client.session->version(), "TLSv1.3");
    EXPECT_EQ(server.session->server_name(), "");  // As ingress-nginx: no name.
    io::SliceQueue request;
    request.append_copy(client.pool, "request");
    ASSERT_TRUE(client.session->send(request, client.cipher_out));
    client.exchange(server, slice_bytes);
    EXPECT_EQ(server.take_plain(), "request");
    ASSERT_TRUE(server.send("response"));
    client.exchange(server, slice_bytes);
    EXPECT_EQ(test::take_all(client.plain), "response");
  }
}

TEST(ClientSession, SendsTheNameItIsGiven) {
  Server server(server_context({"http/1.1"}));
  Peer client(ClientContext::make({.alpn = {"http/1.1"}, .server_name = "a.example.com"}));
  client.exchange(server);
  EXPECT_EQ(server.session->server_name(), "a.example.com");
}

TEST(ClientSession, ResumesTheNewestSession) {
  const auto context = ClientContext::make({.alpn = {"h2"}});
  const auto peer = server_context({"h2"});
  ResumableSession resumable;
  for (const bool resumed : {false, true, true}) {
    Server server(peer);
    Peer client(context, &resumable);
    client.exchange(server);
    ASSERT_EQ(client.session->state(), SessionState::kOpen);
    ASSERT_TRUE(server.send("hello"));  // Tickets go with the first bytes.
    client.exchange(server);
    EXPECT_EQ(client.session->resumed(), resumed);
    EXPECT_NE(resumable.newest(), nullptr);
  }
}

TEST(ClientSession, APeerThatSpeaksNoTlsFails) {
  Peer client(ClientContext::make({}));
  const SessionState state =
      client.session->receive(test::slice_of(client.pool, "HTTP/1.1 400 Bad Request\r\n\r\n"),
                              client.plain, client.cipher_out);
  EXPECT_EQ(state, SessionState::kFailed);
  EXPECT_NE(client.session->failure(), "");
}

TEST(ClientSession, NoProtocolInCommonFails) {
  Server server(server_context({"http/1.1"}));
  Peer client(ClientContext::make({.alpn = {"h2"}}));
  client.exchange(server);
  EXPECT_EQ(client.session->state(), SessionState::kFailed);
}

}  // namespace
}  // namespace ringway::tls
