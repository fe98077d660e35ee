#include "dataplane/config/discovery/controller_socket.h"

#include <utility>

#include "base/check.h"

namespace ringway::config {
namespace {

constexpr size_t kKeptBytes = 64 * 1024;  // A Hello of a large configuration takes megabytes, once.

}  // namespace

ControllerSocket::ControllerSocket(io::Ring& ring, Owner& owner) : ring_(ring), owner_(owner) {
  io::bind<&ControllerSocket::on_connect>(connect_, *this);
  io::bind<&ControllerSocket::on_recv>(recv_, *this);
  io::bind<&ControllerSocket::on_send>(send_, *this);
  io::bind<&ControllerSocket::on_close>(close_, *this);
}

int ControllerSocket::connect(const io::SocketAddress& target) {
  CHECK(idle());
  const auto socket =
      ring_.open_stream(target.family(), io::StreamOptions{.no_delay = true, .keep_alive = true});
  if (!socket) return socket.error();
  socket_ = *socket;
  draining_ = lost_ = false;
  filling_.clear();
  sending_.clear();
  sent_ = 0;
  ring_.connect(connect_, socket_, target);
  return 0;
}

void ControllerSocket::write(std::string_view bytes) {
  CHECK(!idle() && !connect_.in_flight);
  if (draining_ || lost_) return;
  filling_.append(bytes);
  if (!send_.in_flight) send_more();
}

void ControllerSocket::drain() {
  CHECK(!idle());
  if (draining_) return;
  draining_ = true;
  if (connect_.in_flight) ring_.cancel(connect_);
  if (recv_.in_flight) ring_.cancel(recv_);
  if (send_.in_flight) ring_.cancel(send_);
  close_when_quiet();
}

void ControllerSocket::close_when_quiet() {
  if (connect_.in_flight || recv_.in_flight || send_.in_flight || close_.in_flight) return;
  ring_.close(close_, socket_);
}

void ControllerSocket::on_connect(io::Completion&& completion) {
  if (draining_) return close_when_quiet();
  if (completion.result >= 0) ring_.recv(recv_, socket_, io::RecvMode::kMultishot);
  owner_.on_connected(completion.result < 0 ? -completion.result : 0);
}

void ControllerSocket::on_recv(io::Completion&& completion) {
  if (draining_) {
    completion.data.reset();
    if (!completion.more) close_when_quiet();
    return;
  }
  if (completion.result <= 0) {
    lost_ = true;
    return owner_.on_lost(-completion.result);
  }
  if (!completion.more) ring_.recv(recv_, socket_, io::RecvMode::kMultishot);
  owner_.on_received(completion.data.view());
}

void ControllerSocket::send_more() {
  if (sent_ == sending_.size()) {
    if (sending_.capacity() > kKeptBytes) sending_ = {};
    sending_.clear();
    sent_ = 0;
    std::swap(sending_, filling_);
  }
  if (sending_.empty()) return;
  vector_ = {sending_.data() + sent_, sending_.size() - sent_};
  ring_.send(send_, socket_, {&vector_, 1});
}

void ControllerSocket::on_send(io::Completion&& completion) {
  if (draining_) return close_when_quiet();
  if (completion.result < 0) {
    // The receive says so too, and may still hold what the peer said before it left (a GOAWAY, a
    // TLS alert).
    sending_.clear();
    filling_.clear();
    sent_ = 0;
    lost_ = true;
    if (!recv_.in_flight) owner_.on_lost(-completion.result);
    return;
  }
  sent_ += static_cast<size_t>(completion.result);
  send_more();
}

void ControllerSocket::on_close(io::Completion&&) {
  socket_ = {};
  sending_.clear();
  filling_.clear();
  sent_ = 0;
  owner_.on_drained();
}

}  // namespace ringway::config
