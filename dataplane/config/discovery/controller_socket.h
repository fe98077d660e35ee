// The socket to the controller: connect, a receive that stays armed, one send at a time, and one
// way to die.
//
// Thread rule: the ring's thread. Used again for the next connection once it is drained.
#pragma once

#include <sys/uio.h>

#include <string>
#include <string_view>

#include "dataplane/io/ring.h"

namespace ringway::config {

class ControllerSocket {
 public:
  // Called from Ring::turn() only; none after drain() but on_drained().
  class Owner {
   public:
    virtual void on_connected(int error) = 0;  // 0 or an errno.
    virtual void on_received(std::string_view bytes) = 0;
    virtual void on_lost(int error) = 0;  // 0: end of stream. The owner drains.
    virtual void on_drained() = 0;

   protected:
    ~Owner() = default;
  };

  ControllerSocket(io::Ring& ring, Owner& owner);
  // REQUIRES: idle(). 0 or an errno; then nothing was started.
  int connect(const io::SocketAddress& target);
  void write(std::string_view bytes);  // Queued; sent in order. REQUIRES: connected.
  size_t unsent() const { return filling_.size() + sending_.size() - sent_; }
  // Gives everything back; on_drained() follows from a later turn. REQUIRES: !idle(). Idempotent.
  void drain();
  bool idle() const { return !socket_.valid(); }

 private:
  void on_connect(io::Completion&& completion);
  void on_recv(io::Completion&& completion);
  void on_send(io::Completion&& completion);
  void on_close(io::Completion&& completion);
  void send_more();
  void close_when_quiet();

  io::Ring& ring_;
  Owner& owner_;
  io::Socket socket_;
  bool draining_ = false;
  bool lost_ = false;
  io::ConnectOp connect_;
  io::Op recv_;
  io::SendOp send_;
  io::Op close_;
  iovec vector_{};
  std::string filling_;
  std::string sending_;  // The kernel's until the completion.
  size_t sent_ = 0;
};

}  // namespace ringway::config
