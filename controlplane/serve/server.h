// The gRPC side of the controller: many proxies, each with its own cursor into one store.
//
// Thread rule: publish(), proxies() and stop() from any thread. gRPC calls back on its own threads.
// A slow proxy costs itself only: its transaction waits in its stream, one message of it in memory,
// and when it answers it gets the state of then, not every state between.
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "controlplane/serve/proxy_status.h"
#include "controlplane/snapshot/store.h"

namespace ringway::serve {

struct PeerIdentity {
  std::string peer;  // "ipv4:…", "unix:"
  bool tls = false;
  std::vector<std::string>
      names;  // Of the client certificate: subject alternative names, else its common name.
};

// Whether this peer may be the node it says. The error goes to the proxy and the log: one line.
using Authenticate = std::function<std::expected<void, std::string>(const PeerIdentity& peer,
                                                                    const v1::Hello& hello)>;

struct ServerOptions {
  std::string listen;           // "unix:/path" (mode 0600) or "host:port" ("[::1]:port")
  std::string tls_certificate;  // All three or none. Without TLS a TCP address must be loopback.
  std::string tls_key;
  std::string tls_client_ca;
  std::string config_class;   // Hello.class that is served, beside "".
  Authenticate authenticate;  // Empty: whoever got through TLS or the socket's permissions.
  uint32_t proxies_max = 10000;
  uint32_t answer_timeout_ms =
      60000;  // A proxy that does not answer a transaction is disconnected.
  uint32_t hello_timeout_ms = 10000;
  uint32_t keepalive_ms = 30000;  // PING on a silent connection.
  uint32_t keepalive_timeout_ms = 10000;
  uint32_t hello_bytes_max = 64u << 20;  // Hello names every resource that is held.
};

class DiscoveryServer {
 public:
  // One line of text when the options make no sense: for exit code 2.
  static std::expected<void, std::string> check(const ServerOptions& options);
  // Listens. `store` outlives the server. The error is one line: address in use, unreadable file.
  static std::expected<std::unique_ptr<DiscoveryServer>, std::string> start(ServerOptions options,
                                                                            snapshot::Store& store);
  ~DiscoveryServer();  // Stops.

  // The store has changed: sends what is due. Before the first call proxies wait for their first
  // transaction, so that a controller that still reads its objects empties nobody.
  void publish();
  // Ends the streams there are: their proxies connect again, and may get to another controller.
  // `why` is for their logs. Any thread.
  void send_away(const std::string& why);
  void stop();                               // Ends all streams; idempotent.
  int port() const;                          // Bound TCP port; 0 for Unix sockets.
  std::vector<ProxyStatus> proxies() const;  // Connected now, by node id.

  struct Totals {
    uint64_t connects = 0;
    uint64_t refused = 0;  // Streams that authentication or the protocol ended.
    uint64_t acks = 0;
    uint64_t nacks = 0;
    uint64_t transactions = 0;
    uint64_t bytes_sent = 0;
  };
  Totals totals() const;  // Since the start, of proxies that have left too.

 private:
  class State;
  explicit DiscoveryServer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace ringway::serve
