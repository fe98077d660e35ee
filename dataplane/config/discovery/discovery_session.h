// The machine behind DiscoveryClient: one connection after the other.
//
//   kStopped ─start─▶ kResolving ─▶ kConnecting ─settings─▶ kConnected
//                        ▲                │ fault               │ fault, end
//                     kBackoff ◀──────── kClosing ◀─────────────┘        stop(): kClosing ─▶
//                     kStopped
//
// Hello goes out with the request, before the peer's SETTINGS: one round trip less. Every way out
// of a connection is fail() or stop(), and both go through kClosing, where operations come back.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/file_stamp.h"
#include "dataplane/config/discovery/controller_address.h"
#include "dataplane/config/discovery/controller_socket.h"
#include "dataplane/config/discovery/controller_tls.h"
#include "dataplane/config/discovery/discovery_client.h"
#include "dataplane/config/discovery/grpc_stream.h"
#include "dataplane/config/discovery/transaction_assembly.h"

namespace ringway::config {

class DiscoveryClient::Session final : public ControllerSocket::Owner, public GrpcStream::Owner {
 public:
  Session(io::Ring& ring, io::TimerWheel& wheel, Random& random, DiscoveryOptions options,
          ResourceSet held, TransactionSink& sink);
  ~Session();

  void start();
  void stop();
  void subscribe(v1::ResourceType type, const std::vector<std::string>& names, bool add);

  DiscoveryStatus status;
  ResourceSet set;

 private:
  // ControllerSocket::Owner
  void on_connected(int error) override;
  void on_received(std::string_view bytes) override;
  void on_lost(int error) override;
  void on_drained() override;
  // GrpcStream::Owner
  void on_settings() override;
  bool on_message(std::string_view message) override;

  void on_resolved(std::vector<io::SocketAddress> addresses);
  void on_stage_timer();  // Connect timeout or the end of a back-off.
  void on_ping_timer();
  void on_transaction_timer();
  void on_files_timer();

  void watch_transaction();
  void connect();
  void open_stream();
  void say_hello();
  void apply(v1::Transaction&& message, size_t wire_bytes);
  void accept(AssembledTransaction&& assembled);
  void refuse(const RefusedTransaction& refused);
  void send(const v1::ProxyMessage& message);
  void flush();  // Stream → TLS → socket.
  void fail(std::string reason);
  const std::string& server_name() const;
  void close();
  void finish_close();
  void arm(io::Timer& timer, uint64_t delay_ms);

  io::Ring& ring_;
  io::TimerWheel& wheel_;
  Random& random_;
  const DiscoveryOptions options_;
  TransactionSink& sink_;
  ControllerAddress address_;

  std::vector<io::SocketAddress> addresses_;  // What the name means; tried in turn.
  size_t next_address_ = 0;
  NameLookup lookup_;
  ControllerSocket socket_;
  std::unique_ptr<ControllerTls> tls_;
  std::unique_ptr<GrpcStream> stream_;
  TransactionAssembly assembly_;
  std::string plaintext_;  // Scratch of one receive.
  std::string output_;

  io::Timer stage_timer_;
  io::Timer ping_timer_;
  io::Timer transaction_timer_;
  io::Timer files_timer_;
  using FileStamps = std::array<std::optional<FileStamp>, 3>;
  FileStamps file_stamps() const;
  FileStamps used_files_;     // Of the connection.
  FileStamps refused_files_;  // Could not be used; looked at again when they change.
  uint64_t backoff_ms_ = 0;   // 0: the next failure starts at backoff_min_ms.
  uint64_t ping_ms_;
  uint64_t bytes_at_ping_ = 0;
  uint64_t bytes_seen_ = 0;
  bool ping_open_ = false;
  bool settings_seen_ = false;
  bool stopping_ = false;
  std::string logged_error_;  // A fault that repeats is logged once.
  std::set<ResourceKey> wanted_;
};

}  // namespace ringway::config
