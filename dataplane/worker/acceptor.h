// One listening socket of one worker and the connections that came by it: who serves each of them is decided here.
//
// Thread rule: the worker's. Pool empty policy: at a connection limit, or when the process has no descriptors left, accepting pauses (the
// kernel's queue holds the clients) and goes on when connections ended or after kRetryNs; it never spins.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "dataplane/proxy/context.h"
#include "dataplane/proxy/downstream.h"
#include "dataplane/proxy/prelude.h"

namespace ringway::worker {

class Acceptor final : public proxy::PreludeOwner {
 public:
  // `socket`: listening, adopted by the worker's ring. `connections_max`: this worker's share.
  Acceptor(proxy::Context& context, std::shared_ptr<const config::Listener> listener, std::string address,
           io::Socket socket, uint32_t workers);
  ~Acceptor();

  void start();
  void update(std::shared_ptr<const config::Listener> listener);   // For connections from now on.
  void stop_accepting();                                           // Closes the listening socket.
  void drain_gracefully();
  void close_tunnels(uint64_t grace_ns);
  void drain();
  bool closed() const { return state_ == State::kClosed && connections_ == 0; }

  const std::string& listener_name() const { return listener_->name; }
  const std::string& address() const { return address_; }
  uint32_t connections() const { return connections_; }

 private:
  enum class State : uint8_t { kAccepting, kPaused, kStopping, kClosed };
  static constexpr uint64_t kRetryNs = 100 * kNsPerMs;

  void on_accept(io::Completion&& completion);
  void on_close(io::Completion&& completion);
  void on_retry();
  void on_accepted_closed(proxy::Accepted& connection) override;
  bool on_prelude_read(proxy::Prelude& prelude, io::Socket socket, const proxy::Client& client,
                       std::string_view server_name, io::SliceQueue& early) override;
  void admit(io::Socket socket);
  void link(proxy::Accepted& connection);
  void unlink(proxy::Accepted& connection);
  void limit_address(proxy::Accepted& connection);
  void serve(std::shared_ptr<const config::Listener> listener, const config::ClusterTarget* relay_to, io::Socket socket,
             const proxy::Client& client, io::SliceQueue early);
  bool full() const;
  bool over_address_limit(std::string_view address) const;

  proxy::Context& context_;
  std::shared_ptr<const config::Listener> listener_;
  std::string address_;
  io::Socket socket_;
  uint32_t workers_;
  State state_ = State::kPaused;
  io::AcceptOp accept_;
  io::Op close_;
  io::Timer retry_;
  io::SocketAddress local_;                // Of the listening socket, as far as the configuration tells.
  proxy::Accepted* first_ = nullptr;
  uint32_t connections_ = 0;
  std::unordered_map<std::string, uint32_t> by_address_;           // Only with connections_per_address_max.
};

}  // namespace ringway::worker
