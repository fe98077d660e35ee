// An HTTP/2 server on the stage: one H2TestServer per connection.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/http/h2_test_server.h"
#include "dataplane/tls/test_client.h"
#include "dataplane/worker/test_stage.h"

namespace ringway::worker {

class H2Backend {
 public:
  using Server = http::testing::H2TestServer;
  struct Connection {
    Connection(io::SimPeer& at, const Server::Settings& settings) : peer(&at), server(settings) {}
    io::SimPeer* peer;
    Server server;
    std::unique_ptr<tls::test::Server> tls;
    void flush() {
      if (tls == nullptr) return peer->write(server.take_output());
      if (tls->session->state() == tls::SessionState::kOpen) tls->send(server.take_output());
      peer->write(tls->take_output());
    }
  };
  using OnRequest = std::function<void(Connection&, Server::Request&)>;

  // By default every complete request is answered with 200 and "ok".
  explicit H2Backend(TestServer& server, Server::Settings settings = {},
                     std::shared_ptr<tls::ServerContext> tls = nullptr)
      : server_(server), settings_(settings), tls_(std::move(tls)) {
    server.on_bytes = [this](io::SimPeer& peer, std::string_view bytes) {
      Connection& connection = of(peer);
      if (connection.tls != nullptr) {
        connection.tls->receive(bytes);
        connection.server.feed(connection.tls->take_plain());
      } else {
        connection.server.feed(bytes);
      }
      connection.flush();
    };
  }

  ~H2Backend() {
    server_.on_bytes = [](io::SimPeer&, std::string_view) {};  // The stage drains after us.
  }

  Connection& of(io::SimPeer& peer) {
    for (const auto& connection : connections) {
      if (connection->peer == &peer) return *connection;
    }
    connections.push_back(std::make_unique<Connection>(peer, settings_));
    Connection& made = *connections.back();
    if (tls_ != nullptr) made.tls = std::make_unique<tls::test::Server>(tls_);
    made.server.on_end = [this, &made](Server::Request& request) {
      ++requests;
      if (on_request) return on_request(made, request);
      made.server.respond(request.stream, {{":status", "200"}}, "ok");
    };
    return made;
  }

  OnRequest on_request;
  uint32_t requests = 0;
  std::vector<std::unique_ptr<Connection>> connections;

 private:
  TestServer& server_;
  Server::Settings settings_;
  std::shared_ptr<tls::ServerContext> tls_;
};

}  // namespace ringway::worker
