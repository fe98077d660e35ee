// One stream: gRPC's reactor around a ProxyCursor.
//
// Thread rule: gRPC's callbacks, publish() and the clock's thread meet under mutex_. The registry's
// lock is taken before it, never after. The stream deletes itself in OnDone, after it left the
// registry.
#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "controlplane/serve/proxy_cursor.h"
#include "controlplane/serve/server.h"
#include "ringway/v1/discovery.grpc.pb.h"

namespace ringway::serve {

class ProxyStream;

// The streams there are, and what they share.
class StreamRegistry {
 public:
  StreamRegistry(const ServerOptions& options, snapshot::Store& store)
      : options_(options), store_(store) {}

  bool add(ProxyStream& stream);  // False: proxies_max.
  void remove(ProxyStream& stream);
  void publish();     // Opens the gate, sends what is due.
  bool open() const;  // publish() was called.
  void check_deadlines(uint64_t now_ns);
  void send_away(const std::string& why);
  std::vector<ProxyStatus> proxies() const;
  DiscoveryServer::Totals totals() const;
  void count_refused();
  const ServerOptions& options() const { return options_; }
  const snapshot::Store& store() const { return store_; }

 private:
  const ServerOptions options_;
  snapshot::Store& store_;
  mutable std::mutex mutex_;
  std::set<ProxyStream*> streams_;
  std::atomic<bool> open_ = false;
  DiscoveryServer::Totals gone_;       // Of streams that left.
  std::atomic<uint64_t> refused_ = 0;  // Counted under a stream's lock.
};

class ProxyStream final : public grpc::ServerBidiReactor<v1::ProxyMessage, v1::ControllerMessage> {
 public:
  ProxyStream(StreamRegistry& registry, grpc::CallbackServerContext& context);

  void send_due();
  void check_deadline(uint64_t now_ns);
  void send_away(const std::string& why);
  ProxyStatus report() const;
  std::optional<uint64_t> floor() const;

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  // With mutex_ held:
  void pump();
  void finish(grpc::Status status);
  grpc::Status take(const v1::ProxyMessage& message);
  grpc::Status take_hello(const v1::Hello& hello);
  void log_nack() const;

  StreamRegistry& registry_;
  grpc::CallbackServerContext& context_;
  mutable std::mutex mutex_;
  ProxyCursor cursor_;
  ProxyStatus status_;
  PeerIdentity identity_;
  bool greeted_ = false;
  bool write_in_flight_ = false;
  bool finished_ = false;
  std::optional<grpc::Status> ending_;  // Finish() waits for the write in flight.
  uint64_t deadline_ns_;                // For Hello, then for the answer in flight.
  v1::ProxyMessage incoming_;
  v1::ControllerMessage outgoing_;
};

}  // namespace ringway::serve
