// The proxy's end of the discovery stream: connects, says Hello with what it holds, hands complete
// transactions to a sink, answers Ack or Nack, and reconnects for ever. Traffic never waits for it.
//
// Thread rule: the control thread's; everything runs from Ring::turn() and TimerWheel::advance() on
// that thread. Invariants: (1) the set changes only by transactions the sink accepted; (2) what is
// read from the peer is bounded by DiscoveryLimits (the parsed form takes a small multiple of it);
// (3) every fault of the peer ends in a new connection after a back-off, none in an abort or a lost
// set.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "dataplane/config/discovery/resource_set.h"
#include "dataplane/config/discovery/transaction_sink.h"
#include "dataplane/io/ring.h"
#include "dataplane/io/timer_wheel.h"

namespace ringway::config {

// PEM files, read again for every connection, and a new connection is made when they change: so
// rotation needs no restart, and a certificate is never in use long after its successor came.
struct DiscoveryTls {
  std::string ca_file;           // Whom we believe; required.
  std::string certificate_file;  // Our certificate; both or neither.
  std::string key_file;
  std::string server_name;  // Name or IP address the controller's certificate must have; default:
                            // the host of the address.
};

struct DiscoveryLimits {
  uint32_t message_bytes_max =
      4u << 20;  // One gRPC message. Controllers send at most 1 MiB plus one resource.
  uint32_t transaction_bytes_max = 64u << 20;  // All messages of one transaction.
  uint32_t resources_max = 1u << 20;           // Resources held.
};

struct DiscoveryTimes {
  uint32_t connect_ms = 5000;       // Resolve, connect, TLS, HTTP/2 SETTINGS, together.
  uint32_t transaction_ms = 60000;  // From the first to the last message of a transaction.
  uint32_t ping_ms = 20000;         // Silence after which a PING asks whether the peer lives.
  uint32_t ping_timeout_ms = 10000;
  uint32_t backoff_min_ms =
      100;  // Doubles per failed try, with jitter (half to whole of the value).
  uint32_t backoff_max_ms = 10000;
  uint32_t files_ms = 30000;  // Between looks at the TLS files. Certificates live for hours.
};

struct DiscoveryOptions {
  std::string address;              // "unix:/path", "host:port", "10.0.0.1:18000", "[::1]:18000"
  std::optional<DiscoveryTls> tls;  // Not with unix:.
  std::string node_id;              // Unique per running proxy.
  std::string proxy_version = RINGWAY_VERSION;
  std::string config_class;  // Hello.class
  bool wildcard = true;
  DiscoveryLimits limits;
  DiscoveryTimes times;
};

enum class DiscoveryState : uint8_t {
  kStopped,  // Before start() and after stop() is done.
  kResolving,
  kConnecting,  // TCP or Unix connect, TLS, HTTP/2 SETTINGS.
  kConnected,   // Hello is sent.
  kClosing,     // Operations are on their way back.
  kBackoff,
};
std::string_view discovery_state_name(DiscoveryState state);  // "connected", "backoff", ...

// For metrics, /readyz?verbose and /config.
struct DiscoveryStatus {
  DiscoveryState state = DiscoveryState::kStopped;
  std::string last_error;  // Why the last connection ended; "" when none ended yet.
  uint64_t connects = 0;   // Streams that got as far as Hello.
  uint64_t failures = 0;   // Connections or tries that ended in an error.
  uint64_t accepted = 0;   // Transactions.
  uint64_t rejected = 0;
  uint64_t bytes_received = 0;      // gRPC message bytes.
  uint64_t resources_received = 0;  // Upserts and removals.
  uint64_t accepted_at_ns =
      0;  // Monotonic time of the last accepted transaction; 0 = none in this process.
  std::string rejection;  // Of the last refused transaction; "" after the next accepted one.
};

class DiscoveryClient {
 public:
  // One line of text when the options make no sense (address form, TLS with unix:, an unreadable
  // PEM file).
  static std::expected<void, std::string> check(const DiscoveryOptions& options);

  // `held` is what was kept from before (may be empty); the sink has it already. REQUIRES:
  // check(options). `ring`, `wheel`, `random` and `sink` outlive the client.
  DiscoveryClient(io::Ring& ring, io::TimerWheel& wheel, Random& random, DiscoveryOptions options,
                  ResourceSet held, TransactionSink& sink);
  ~DiscoveryClient();  // CHECKs stopped().
  DiscoveryClient(const DiscoveryClient&) = delete;
  DiscoveryClient& operator=(const DiscoveryClient&) = delete;

  void start();  // REQUIRES: stopped(). The first connect is tried at once.
  void stop();   // Ends the stream; drive ring and wheel until stopped().
  bool stopped() const;

  // Names wanted, for options.wildcard == false. Remembered over reconnects.
  void subscribe(v1::ResourceType type, const std::vector<std::string>& names);
  void unsubscribe(v1::ResourceType type, const std::vector<std::string>& names);

  const ResourceSet& resources() const;
  const DiscoveryStatus& status() const;

 private:
  class Session;
  std::unique_ptr<Session> session_;
};

}  // namespace ringway::config
