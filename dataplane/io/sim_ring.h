// A ring without a kernel: one thread, a virtual clock, and a network whose every delay, split,
// error and order is drawn from a seed. The same seed and the same program give the same run
// (trace_hash()).
//
// The proxy uses it as a Ring. The test plays everyone else: it gives the proxy listeners
// (listen()), dials them, puts servers at addresses (serve()), and acts in callbacks on the virtual
// clock (after()).
//
// Where it differs from the kernel:
//  - time passes only in turn(), from event to event and at least 1 us a turn: computing costs
//  nothing;
//  - an op's effect comes 1-20 us after its submission, in no order between ops, sends and a
//  shutdown of the same socket included;
//  - a peer's write is never refused: bytes beyond a real send buffer wait at the peer; its effect
//  on the proxy is the same;
//  - the proxy's sends may be short at any time, as EpollRing's; UringRing finishes them itself
//  (MSG_WAITALL);
//  - a receive never joins what a fault split; there are no packets, no Nagle, no urgent data, no
//  TIME_WAIT;
//  - after a reset the bytes that had arrived are still read, then ECONNRESET once, then end of
//  stream (as Linux does);
//  - connections run between the proxy and the test, never from the proxy to itself; listen queues
//  are unbounded;
//  - a freed buffer is overwritten, and the bytes of a send are compared between submission and
//  completion.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/random.h"
#include "dataplane/io/ring.h"
#include "dataplane/io/sim_network.h"

namespace ringway::io {

class SimRing final : public Ring {
 public:
  SimRing(const RingOptions& options, const SimOptions& sim);
  ~SimRing() override;

  Backend backend() const override { return Backend::kSim; }
  // A listening descriptor becomes a simulated listener at its address; anything else a file whose
  // writes written() shows.
  std::expected<Socket, int> adopt(int fd) override;
  std::expected<Socket, int> open_stream(int family, const StreamOptions& options) override;
  void accept(AcceptOp& op, Socket listener) override;
  void connect(ConnectOp& op, Socket socket, const SocketAddress& target) override;
  void recv(Op& op, Socket socket, RecvMode mode) override;
  void send(SendOp& op, Socket socket, std::span<iovec> vectors) override;
  void shutdown(Op& op, Socket socket, ShutdownHow how) override;
  void close(Op& op, Socket socket) override;
  void write(WriteOp& op, Socket file, const void* bytes, uint32_t length) override;
  std::expected<Socket, int> open_datagram(const SocketAddress& peer,
                                           const SocketAddress* source) override;
  void recv_datagrams(DatagramOp& op, Socket socket) override;
  void send_datagram(DatagramSendOp& op, Socket socket, std::span<iovec> vectors) override;
  void cancel(Op& op) override;
  void wake() override;
  // Virtual: runs to the next completion, a wake or the deadline. When nothing can happen any more
  // and there is no deadline, returns 0 and stuck() is true; CHECKs that the caller notices within
  // 1,000 turns.
  uint32_t turn(uint64_t deadline_ns) override;

  // --- The test's side ---
  using OnConnection = std::function<void(SimPeer&)>;
  // A listener of the proxy, to be handed to it. REQUIRES: the address is free.
  Socket listen(const SocketAddress& address);
  // Connects a client to the proxy's listener at `address`, from `from`. Refused (on_reset) when
  // there is none.
  SimPeer& dial(const SocketAddress& address, const SocketAddress& from);
  // A server outside the proxy; on_connection sets the new peer's callbacks. Replaces an earlier
  // one at this address.
  void serve(const SocketAddress& address, OnConnection on_connection);
  void stop_serving(const SocketAddress& address);   // Connects are refused from now on.
  void lose_connects(const SocketAddress& address);  // Connects find no answer.
  // Connects find no port of ours left towards it (EADDRNOTAVAIL); serve() ends that.
  void exhaust_ports(const SocketAddress& address);
  // Datagrams: who takes what the proxy sends to `address`, client or server. Without anyone there
  // a connected socket of the proxy is told so (ECONNREFUSED).
  using OnDatagram = std::function<void(const SocketAddress& from, std::string_view bytes)>;
  void serve_datagrams(const SocketAddress& address, OnDatagram on_datagram);
  void stop_serving_datagrams(const SocketAddress& address);
  void datagram_to_proxy(const SocketAddress& from, const SocketAddress& to,
                         std::string_view bytes);
  // Runs `call` from turn() once the clock has passed now + delay.
  void after(uint64_t delay_ns, std::function<void()> call);

  Random& random() { return random_; }
  SimFaults& faults() {
    return sim_.faults;
  }  // May be changed between turns, e.g. calm for the end.
  // Nothing is under way: no submission, event or call would ever bring a completion. Ops may still
  // wait.
  bool quiescent() const { return events_.empty(); }
  bool stuck() const { return stuck_turns_ > 0; }
  uint32_t sockets_open() const { return sockets_open_; }
  const std::string& written(Socket file) const { return sockets_[file.index].written; }
  uint64_t trace_hash() const { return trace_hash_; }
  const std::string& trace() const { return trace_; }  // With SimOptions::keep_trace.

 private:
  friend class SimPeer;
  enum class SocketKind : uint8_t { kFree, kListener, kStream, kFile, kDatagram };
  enum class EventKind : uint8_t {
    kEffect,
    kDeliver,
    kCall,
    kToProxy,
    kToPeer,
    kFinToProxy,
    kFinToPeer,
    kResetProxy,
    kResetPeer
  };

  struct SimDatagram {
    SocketAddress from;
    std::string bytes;
  };
  struct SimSocket {
    SocketKind kind = SocketKind::kFree;
    bool read_ended = false;  // shutdown() by the proxy.
    bool write_ended = false;
    uint16_t ops = 0;
    Op* reader = nullptr;  // recv or accept.
    Op* writer = nullptr;  // send or connect.
    SimPeer* peer = nullptr;
    SocketAddress address;  // Of a listener; of a stream: StreamOptions::source.
    std::vector<SimPeer*> backlog;
    std::string written;
    int fd = -1;           // Adopted: closed with the socket.
    SocketAddress remote;  // Of a connected kDatagram.
    std::deque<SimDatagram> inbox;
    bool refused = false;
  };
  struct Pending {  // What the ring knows of an op in flight.
    uint64_t serial = 0;
    bool scheduled = false;  // An effect event is under way.
    bool captured = false;   // The effect is done, the completion not delivered.
    bool parked = false;
    bool begun = false;  // A connect is under way, answered at ...
    uint64_t answer_ns = 0;
    int32_t answer = 0;        // ... with this; 0 as long as the server stands then.
    uint64_t fingerprint = 0;  // Of a send's bytes.
    Completion completion;
  };
  struct Event {
    uint64_t time_ns;
    uint64_t serial;  // Breaks ties: first scheduled, first run.
    EventKind kind;
    Op* op = nullptr;
    uint64_t op_serial = 0;
    SimPeer* peer = nullptr;
    size_t value = 0;  // Bytes, or the number of a call.
  };
  struct Server {
    OnConnection on_connection;
    bool lost = false;
    bool no_port = false;
  };
  using AddressKey = std::string;
  static AddressKey key_of(const SocketAddress& address);

  int32_t take_socket(SocketKind kind);
  SimSocket& socket(Socket socket);
  void start(Op& op, OpKind kind, Socket socket);
  void schedule(Event event);
  void schedule_effect(Op& op, uint64_t delay_ns);
  void service(int32_t index);  // Something changed for this socket: its waiting ops look again.
  uint64_t latency();
  void run_event(const Event& event);
  void arrive_at_proxy(SimPeer& peer, size_t bytes);
  void arrive_at_peer(SimPeer& peer, size_t bytes);
  void fin_at_peer(SimPeer& peer);
  void reset_proxy(SimPeer& peer);
  void reset_peer(SimPeer& peer);
  void rearm_parked();
  void park(Op& op, Pending& pending);

  void effect(Op& op, Pending& pending);
  void capture(Op& op, Pending& pending, Completion&& completion);
  bool effect_accept(AcceptOp& op, Pending& pending);
  bool effect_connect(ConnectOp& op, Pending& pending);
  bool effect_recv(Op& op, Pending& pending);
  bool effect_send(SendOp& op, Pending& pending);
  void effect_write(WriteOp& op, Pending& pending);
  void effect_now(Op& op, Pending& pending);  // Those that never wait.
  void effect_shutdown(Op& op, Pending& pending);
  void effect_close(Op& op, Pending& pending);
  bool effect_datagrams(DatagramOp& op, Pending& pending);
  void join_followers(SimSocket& source, DatagramOp& op, Slice& slice);
  void travel(const SimSocket& source, const SocketAddress& to, std::string bytes);
  void effect_send_datagram(DatagramSendOp& op, Pending& pending);
  bool could_complete(Op& op);
  void deliver(Op& op, uint64_t serial);
  void note(const Op& op, const Completion& completion);

  void travel(SimPipe& pipe, SimPeer& peer, EventKind kind,
              size_t bytes);          // In order behind what is in the pipe.
  bool lost_to_reset(SimPeer& peer);  // The fault: resets both ends.
  SimPeer& new_peer();

  RingOptions options_;
  SimOptions sim_;
  Random random_;
  std::vector<SimSocket> sockets_;
  std::vector<int32_t> free_sockets_;
  uint32_t sockets_open_ = 0;
  std::map<AddressKey, int32_t> listeners_;
  std::map<AddressKey, Server> servers_;
  std::map<AddressKey, int32_t> datagram_sockets_;
  std::map<AddressKey, OnDatagram> datagram_peers_;
  uint32_t datagram_ports_ = 0;
  std::vector<std::unique_ptr<SimPeer>> peers_;
  std::unordered_map<Op*, Pending>
      pending_;                // Looked up only, never walked: its order is not the seed's.
  std::vector<Event> events_;  // A heap.
  std::unordered_map<size_t, std::function<void()>> calls_;
  std::deque<Op*> parked_[2];
  std::vector<std::pair<Op*, uint64_t>> batch_;  // Delivered in this turn.
  uint64_t next_serial_ = 1;
  uint64_t clock_ = 0;  // Of the event that runs; now_ns_ is what the proxy has seen of it.
  std::atomic<bool> woken_{false};
  uint32_t stuck_turns_ = 0;
  uint32_t ran_ = 0;
  uint64_t trace_hash_ = 0xcbf29ce484222325u;
  std::string trace_;
};

}  // namespace ringway::io
