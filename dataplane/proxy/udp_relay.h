// One bound socket for datagrams of one worker, and the sessions of the clients that send to it.
//
// A session is a client's address and the address of ours it sends to. It has a socket of its own,
// connected to one endpoint, so that answers find their client, strangers' datagrams never come up
// and a dead endpoint is noticed (ICMP). Answers leave from the address the client sent to.
//
// Thread rule: one worker. The kernel gives all datagrams of a client to the same worker's socket
// (SO_REUSEPORT goes by addresses and ports). Sessions end when nothing came either way for the
// idle time, after StreamPolicy::udp_responses answers, and when their endpoint leaves the cluster.
// One whose endpoint refuses goes on with another endpoint at once, if there is one.
// States: kOpen → kStopping (the process ends: no new sessions, quiet ones end soon) → kClosing →
// kClosed.
// Bounds: sessions by StreamPolicy::connections_max, datagrams under way by kSendsMax; what does
// not fit is dropped and counted. Nothing is logged per datagram.
// Datagrams that the kernel has put together (UDP_GRO) go on together (UDP_SEGMENT).
#pragma once

#include <array>
#include <expected>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "dataplane/config/snapshot.h"
#include "dataplane/proxy/context.h"

namespace ringway::proxy {

// A client and the address of ours that it sends to, packed for hashing.
struct UdpKey {
  std::array<uint64_t, 5> words{};
  bool operator==(const UdpKey&) const = default;
};
UdpKey udp_key(const io::SocketAddress& peer, const io::SocketAddress& local);

// Seeded: a client that chooses its addresses cannot choose the bucket.
struct UdpKeyHash {
  uint64_t seed = 0;
  size_t operator()(const UdpKey& key) const;
};

class UdpRelay {
 public:
  // `socket`: bound to `address` (ListenerSockets::bind), adopted by the worker's ring. `workers`:
  // who share the listener's bounds.
  UdpRelay(Context& context, std::shared_ptr<const config::Listener> listener, std::string address,
           io::Socket socket, uint32_t workers);
  ~UdpRelay();

  void start();
  void update(std::shared_ptr<const config::Listener> listener);  // For sessions from now on.
  void
  stop();  // No new sessions; closes when the last has ended, after the idle time at the latest.
  void drain();  // Closes now.
  bool closed() const { return state_ == State::kClosed; }

  const std::string& listener_name() const { return listener_->name; }
  const std::string& address() const { return address_; }
  uint32_t sessions() const { return static_cast<uint32_t>(sessions_.size()); }

 private:
  enum class State : uint8_t { kNew, kOpen, kStopping, kClosing, kClosed };
  // More than a socket's receive buffer holds of small datagrams by default.
  static constexpr uint32_t kSendsMax = 2048;

  struct Client {
    UdpKey key;
    io::SocketAddress peer, local;  // local: of an unspecified family when the socket has but one.
  };
  struct Session;
  // A datagram on its way out; its bytes stay where they were received.
  struct Sending {
    UdpRelay* relay = nullptr;
    Session* session = nullptr;  // Whose socket it leaves by; nullptr: the listener's.
    io::DatagramSendOp op;
    iovec vector{};
    io::Slice data;
    void on_sent(io::Completion&& completion);
  };

  void on_datagram(io::Completion&& completion);
  void on_close(io::Completion&& completion);
  void on_timer();
  std::expected<io::Socket, int> open_socket(const Client& client,
                                             const io::SocketAddress& endpoint);
  std::expected<Session*, observe::DatagramDrop> open_session(
      const Client& client, const upstream::EndpointState* refused);
  Session* find(const UdpKey& key);
  Sending* take_sending();
  void forward(Session& session, io::Slice data, uint32_t segment_bytes);  // To its endpoint.
  void answer(const io::SocketAddress& to, const io::SocketAddress& from, io::Slice data,
              uint32_t segment_bytes);  // To a client.
  void send(Sending& sending, io::Slice data, uint32_t segment_bytes, io::Socket socket);
  void on_unsent(Sending& sending, Session* by, int error);
  void send_singly(const Sending& sending, Session* by);
  void drop(observe::DatagramDrop reason);
  void touch(Session& session);
  void link(Session& session);
  void unlink(Session& session);
  void refuse(Session& session);
  void end(Session& session, upstream::Outcome outcome);
  void end_idle();
  void leave_gone_endpoints();
  void free_if_gone(Session& session);
  void close_if_done();
  void log_access(const Session& session);

  Context& context_;
  std::shared_ptr<const config::Listener> listener_;
  std::string address_;
  io::Socket socket_;
  uint32_t workers_;
  bool wildcard_;  // Clients send to several addresses of ours.
  State state_ = State::kNew;
  uint64_t stop_deadline_ns_ = 0;
  io::DatagramOp recv_;
  io::Op close_;
  io::Timer timer_;
  std::unordered_map<UdpKey, std::unique_ptr<Session>, UdpKeyHash> sessions_;
  std::unordered_map<Session*, std::unique_ptr<Session>> ending_;  // Until their socket is closed.
  Session* oldest_ = nullptr;                                      // By last activity.
  Session* newest_ = nullptr;
  std::shared_ptr<const upstream::Cluster> seen_;  // All sessions have an endpoint of it.
  std::vector<std::unique_ptr<Sending>> sendings_;
  std::vector<Sending*> free_sendings_;
  uint32_t replies_in_flight_ = 0;  // On the listener's socket.
};

}  // namespace ringway::proxy
