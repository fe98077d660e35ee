#include "dataplane/proxy/transport.h"

#include <cerrno>

namespace ringway::proxy {

Transport::Transport(Context& context, TransportSink& sink) : context_(context), sink_(sink) {
  io::bind<&Transport::on_recv>(recv_, *this);
  io::bind<&Transport::on_send>(send_, *this);
  io::bind<&Transport::on_control>(control_, *this);
}

Transport::~Transport() {
  CHECK(state_ == State::kNew || state_ == State::kClosed);
  CHECK(!dirty_);
}

void Transport::start(io::Socket socket, std::unique_ptr<tls::Session> session) {
  CHECK(state_ == State::kNew);
  CHECK(socket.valid());
  socket_ = socket;
  tls_ = std::move(session);
  state_ = State::kOpen;
  if (tls_ != nullptr) {
    cipher_ = std::make_unique<io::SliceQueue>();
    tls_->start(*cipher_);
    if (!cipher_->empty()) mark_dirty();
  }
  arm_receive();
}

void Transport::inject(io::SliceQueue early) {
  while (!early.empty() && state_ == State::kOpen && !failed_) deliver(early.pop());
}

void Transport::hold(io::Socket socket) {
  CHECK(state_ == State::kNew);
  socket_ = socket;
  state_ = State::kOpen;
}

void Transport::arm_receive() {
  DCHECK(!recv_.in_flight);
  if (state_ != State::kOpen || paused_ || input_ended_ || failed_) return;
  receiving_bulk_ = bulk_;
  if (!bulk_) {
    return context_.ring.recv(recv_, socket_, context_.multishot_fits() ? io::RecvMode::kMultishot : io::RecvMode::kOnce);
  }
  // Slow readers may hold most of the large buffers: small pieces then, for everyone.
  const bool scarce = context_.high_water() == kHighWaterMin;
  context_.ring.recv(recv_, socket_, scarce ? io::RecvMode::kOnce : io::RecvMode::kBulk);
}

void Transport::pause_reading() {
  if (paused_) return;
  paused_ = true;
  // From here on one receive at a time: the next resume must not put a multishot at the sender's mercy again.
  bulk_ = true;
  if (recv_.in_flight && !receiving_bulk_) context_.ring.cancel(recv_);
}

void Transport::resume_reading() {
  if (!paused_) return;
  paused_ = false;
  if (!recv_.in_flight) arm_receive();
}

void Transport::prefer_bulk(bool bulk) {
  if (bulk_ == bulk) return;
  bulk_ = bulk;
  // A multishot receive goes over to bulk when it is cancelled; a bulk one falls back by itself.
  if (bulk && recv_.in_flight && !receiving_bulk_) context_.ring.cancel(recv_);
}

void Transport::on_recv(io::Completion&& completion) {
  if (state_ == State::kDraining) {
    completion.data.reset();
    return finish_if_drained();
  }
  DCHECK(state_ == State::kOpen);
  if (completion.result > 0) {
    deliver(std::move(completion.data));
  } else if (completion.result == 0) {
    input_ended_ = true;
    sink_.on_transport_end();
  } else if (completion.result != -ECANCELED) {
    input_ended_ = true;
    fail(-completion.result);
  }
  if (state_ == State::kOpen && !recv_.in_flight) arm_receive();
}

void Transport::deliver(io::Slice data) {
  if (tls_ != nullptr) return deliver_tls(std::move(data));
  sink_.on_transport_data(std::move(data));
}

void Transport::deliver_tls(io::Slice data) {
  io::SliceQueue plain;
  const bool was_open = tls_->state() == tls::SessionState::kOpen;
  const tls::SessionState now = tls_->receive(std::move(data), plain, *cipher_);
  if (!cipher_->empty()) mark_dirty();
  if (!was_open && (now == tls::SessionState::kOpen || now == tls::SessionState::kClosed)) {
    sink_.on_transport_open();
  }
  while (!plain.empty() && state_ == State::kOpen) sink_.on_transport_data(plain.pop());
  if (state_ != State::kOpen) return;
  if (now == tls::SessionState::kFailed) return fail(0);
  if (now == tls::SessionState::kClosed && !input_ended_) {
    input_ended_ = true;
    sink_.on_transport_end();
  }
}

void Transport::flush() {
  if (state_ != State::kOpen || send_.in_flight || failed_) return;
  if (filled_) [[unlikely]] {
    sink_.on_transport_flush();
    if (state_ != State::kOpen) return;
  }
  if (tls_ == nullptr) {
    if (!output_.empty()) return send_queue(output_);
  } else {
    // Encrypt no more than one send's worth ahead: plaintext waits uncopied.
    // A client that said close_notify has ended its side only; answers still go out.
    const bool sends = tls_->state() == tls::SessionState::kOpen || tls_->state() == tls::SessionState::kClosed;
    if (!output_.empty() && cipher_->size() < kHighWaterSome && sends) {
      if (!tls_->send(output_, *cipher_)) return fail(0);
    }
    if (!cipher_->empty()) return send_queue(*cipher_);
  }
  finish_output_if_flushed();
}

void Transport::send_queue(io::SliceQueue& queue) {
  if (vectors_ == nullptr) vectors_ = context_.take_vectors();
  uint32_t count = 0;
  queue.for_each([&](const io::Slice& slice) {
    vectors_[count++] = {const_cast<std::byte*>(slice.data()), slice.size()};
    return count < kSendVectors;
  });
  context_.ring.send(send_, socket_, std::span(vectors_, count));
}

void Transport::on_send(io::Completion&& completion) {
  if (state_ == State::kDraining) return finish_if_drained();
  DCHECK(state_ == State::kOpen);
  if (completion.result < 0) {
    if (completion.result == -ECANCELED) return;
    return fail(-completion.result);
  }
  io::SliceQueue& queue = tls_ == nullptr ? output_ : *cipher_;
  queue.consume(static_cast<size_t>(completion.result));
  if (queue.empty() && vectors_ != nullptr) {
    context_.give_vectors(vectors_);
    vectors_ = nullptr;
  }
  sink_.on_transport_sent();
  if (state_ == State::kOpen && (queued() > 0 || end_output_wanted_)) mark_dirty();
}

void Transport::end_output() {
  if (end_output_wanted_ || state_ != State::kOpen) return;
  end_output_wanted_ = true;
  mark_dirty();
}

void Transport::finish_output_if_flushed() {
  if (!end_output_wanted_ || output_ended_ || !flushed()) return;
  if (tls_ != nullptr && !close_notify_sent_) {
    close_notify_sent_ = true;
    tls_->shutdown(*cipher_);
    if (!cipher_->empty()) return send_queue(*cipher_);
  }
  output_ended_ = true;
  context_.ring.shutdown(control_, socket_, io::ShutdownHow::kWrite);
}

void Transport::on_control(io::Completion&&) {
  if (closing_) {
    DCHECK(state_ == State::kDraining);
    state_ = State::kClosed;
    return sink_.on_transport_closed();  // May free *this.
  }
  if (state_ == State::kDraining) return finish_if_drained();
  sink_.on_transport_output_ended();
}

void Transport::fail(int error) {
  if (failed_) return;
  failed_ = true;
  // A TLS alert is worth one attempt; whether it arrives is the peer's luck.
  if (tls_ != nullptr && !cipher_->empty() && !send_.in_flight) send_queue(*cipher_);
  sink_.on_transport_failed(error);
}

bool Transport::fall_back_to_clear() {
  if (state_ != State::kOpen || tls_ == nullptr || send_.in_flight || !cipher_->empty()) return false;
  tls_.reset();
  cipher_.reset();
  failed_ = false;
  return true;
}

void Transport::drain() {
  if (state_ == State::kDraining || state_ == State::kClosed) return;
  CHECK(state_ == State::kOpen);
  state_ = State::kDraining;
  if (recv_.in_flight) context_.ring.cancel(recv_);
  if (send_.in_flight) {
    context_.ring.cancel(send_);
    // A send that the kernel handed to a worker thread of its own waits there for the peer, cancelled or not; an end of the connection wakes it.
    if (!control_.in_flight) context_.ring.shutdown(control_, socket_, io::ShutdownHow::kBoth);
  }
  finish_if_drained();
}

void Transport::finish_if_drained() {
  if (recv_.in_flight || send_.in_flight || control_.in_flight || closing_) return;
  output_.clear();
  if (cipher_ != nullptr) cipher_->clear();
  if (vectors_ != nullptr) {
    context_.give_vectors(vectors_);
    vectors_ = nullptr;
  }
  closing_ = true;
  context_.ring.close(control_, socket_);
}

}  // namespace ringway::proxy
