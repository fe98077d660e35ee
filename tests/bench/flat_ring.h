// A ring without a kernel and without chance, for counting what the proxy itself does: every
// submission completes whole in the next turn, in order, on a clock that moves 20 us a turn.
// `connections` clients ask the same request again and again, each when it has its answer; every
// server answers it the same. Unlike SimRing it copies nothing it need not and has no faults; it is
// no test of correctness.
//
// Counting (CALLGRIND's collection, the allocator's calls) is on only in the code of the proxy: the
// ring switches it off for its own work.
#pragma once

#include <cerrno>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/io/ring.h"
#include "tests/sim/message_reader.h"

namespace ringway::bench {

// Switches counting; nests not.
void count_on();
void count_off();
uint64_t counted_allocations();  // While counting was on.

struct Trace {
  std::string request;
  std::string response;
  uint32_t connections;
};

class FlatRing final : public io::Ring {
 public:
  FlatRing(const io::RingOptions& options, Trace trace);
  ~FlatRing() override;

  io::Backend backend() const override { return io::Backend::kSim; }
  std::expected<io::Socket, int> adopt(int fd) override;
  std::expected<io::Socket, int> open_stream(int family, const io::StreamOptions& options) override;
  void accept(io::AcceptOp& op, io::Socket listener) override;
  void connect(io::ConnectOp& op, io::Socket socket, const io::SocketAddress& target) override;
  void recv(io::Op& op, io::Socket socket, io::RecvMode mode) override;
  void send(io::SendOp& op, io::Socket socket, std::span<iovec> vectors) override;
  void shutdown(io::Op& op, io::Socket socket, io::ShutdownHow how) override;
  void close(io::Op& op, io::Socket socket) override;
  void write(io::WriteOp& op, io::Socket file, const void* bytes, uint32_t length) override;
  // Nothing that is counted has datagrams.
  std::expected<io::Socket, int> open_datagram(const io::SocketAddress&,
                                               const io::SocketAddress*) override {
    return std::unexpected(EMFILE);
  }
  void recv_datagrams(io::DatagramOp&, io::Socket) override { CHECK(false); }
  void send_datagram(io::DatagramSendOp&, io::Socket, std::span<iovec>) override { CHECK(false); }
  void cancel(io::Op& op) override;
  void wake() override {}
  uint32_t turn(uint64_t deadline_ns) override;

  // The clients ask until this many more answers have come.
  void ask(uint64_t requests) { wanted_ += requests; }
  bool answered() const { return answers_ == wanted_; }
  void hurry() { step_ns_ = 10'000'000; }  // The end: timers are due soon.

 private:
  enum class Kind : uint8_t { kFree, kListener, kClient, kServer };
  struct Place {
    explicit Place(Kind kind_in)
        : kind(kind_in),
          reader(kind_in == Kind::kClient ? sim::MessageReader::Kind::kResponse
                                          : sim::MessageReader::Kind::kRequest) {}
    Kind kind;
    io::Op* receive = nullptr;
    std::string_view input;     // What the peer has sent and the proxy not read.
    bool ended = false;         // The peer has ended its side.
    bool waits = false;         // A client that waits for its answer.
    sim::MessageReader reader;  // Of what the proxy sends.
  };

  void start(io::Op& op, io::OpKind kind, io::Socket socket);
  void finish(io::Op& op, int32_t result, io::Slice data = {}, bool more = false);
  io::Socket take(Kind kind);
  void run(io::Op& op);
  void accept_clients();
  void deliver(size_t index);
  int32_t take_sent(io::SendOp& op);
  void on_message(Place& place);
  void ask_again(Place& place);

  Trace trace_;
  std::deque<Place> places_;
  std::vector<io::Op*> queue_, batch_, cancels_;
  io::AcceptOp* accept_ = nullptr;
  uint32_t clients_ = 0, ran_ = 0;
  uint64_t wanted_ = 0, asked_ = 0, answers_ = 0, step_ns_ = 20'000;
};

}  // namespace ringway::bench
