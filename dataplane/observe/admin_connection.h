// One client of the admin endpoint: a request, its answer, the next one. Private to AdminServer.
//
// Thread rule: the control thread's.
// Invariants: (1) one way to die: close() → every op back → the socket closed by the ring →
// AdminServer::release(); (2) `timer_` is armed in every state but kFree, so that no state lasts
// for ever; (3) at most one reply is awaited, and only its Pending can reach this connection.
#pragma once

#include <array>
#include <memory>
#include <string>

#include "dataplane/http/h1_server_codec.h"
#include "dataplane/observe/admin_server.h"

namespace ringway::observe {

class AdminServer::Connection final : public http::ServerSink {
 public:
  explicit Connection(AdminServer& server);

  void open(io::Socket socket);
  // Ends it after the answer being written, or at once when there is none.
  void drain();
  void close();
  bool waits() const {
    return state_ == State::kReading;
  }  // For a head: nothing is lost by closing it.
  uint64_t waiting_since_ns() const { return since_ns_; }

  http::RequestHead* new_request_head(http::StreamId stream) override;
  void on_request_head(http::StreamId stream, http::RequestHead& head, bool end) override;
  void on_request_body(http::StreamId stream, io::Slice data, bool end) override;
  void on_request_trailers(http::StreamId stream, const http::HeaderList& trailers) override;
  void on_request_error(http::StreamId stream, http::Error error) override;
  void on_writable(http::StreamId stream) override;

 private:
  enum class State : uint8_t {
    kFree,
    kReading,    // Waits for a head or is inside one.
    kAnswering,  // Waits for the handler, or writes.
    kLingering,  // The answer is sent and ours is the last word: reads what the client still sends,
                 // so that it gets to see the answer (RFC 9112 section 9.6).
    kClosing,
  };
  // What a reply holds on to; `connection` is cleared when the answer has begun or the client is
  // gone.
  struct Pending {
    Connection* connection;
  };

  void read();
  void on_recv(io::Completion&& completion);
  void on_send(io::Completion&& completion);
  void on_shutdown(io::Completion&& completion);
  void on_closed(io::Completion&& completion);
  void on_timer();
  void on_response_timer();
  void respond(AdminResponse response, bool close);
  void abandon_reply();
  void write_more();
  void next_piece();
  void end_answer();
  void linger();
  void close_when_idle();

  AdminServer& server_;
  State state_ = State::kFree;
  io::Socket socket_;
  std::unique_ptr<http::H1ServerCodec> codec_;
  http::RequestHead head_;
  bool head_begun_ = false;  // Bytes of a head are there: its deadline runs.
  bool has_body_ = false;    // The request announced a body, which is not read.
  bool answer_begun_ = false;
  bool input_unread_ = false;  // A body, or what follows a refused head.
  bool draining_ = false;
  uint64_t since_ns_ = 0;
  uint32_t linger_bytes_ = 0;
  std::shared_ptr<Pending> pending_;
  std::string body_;                        // Of the answer, or its piece.
  std::function<bool(std::string&)> more_;  // The pieces behind; none when empty.
  size_t body_queued_ = 0;                  // Of body_, given to the codec.
  io::SliceQueue output_;
  std::array<iovec, 16> vectors_;
  io::Op recv_;
  io::SendOp send_;
  io::Op shutdown_;
  io::Op close_;
  io::Timer timer_;           // Head, idle, write or linger deadline.
  io::Timer response_timer_;  // Of the whole answer.
};

}  // namespace ringway::observe
