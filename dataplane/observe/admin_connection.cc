#include "dataplane/observe/admin_connection.h"

#include <algorithm>

namespace ringway::observe {
namespace {

constexpr size_t kOutputHighWater = 64 * 1024;
constexpr uint64_t kLingerNs = kNsPerSecond;
constexpr uint32_t kLingerBytesMax = 256 * 1024;

const http::Limits& limits() {
  static const http::Limits limits;
  return limits;
}

}  // namespace

AdminServer::Connection::Connection(AdminServer& server) : server_(server) {
  io::bind<&Connection::on_recv>(recv_, *this);
  io::bind<&Connection::on_send>(send_, *this);
  io::bind<&Connection::on_shutdown>(shutdown_, *this);
  io::bind<&Connection::on_closed>(close_, *this);
  timer_.bind<&Connection::on_timer>(*this);
  response_timer_.bind<&Connection::on_response_timer>(*this);
}

void AdminServer::Connection::open(io::Socket socket) {
  CHECK(state_ == State::kFree);
  socket_ = socket;
  codec_ =
      std::make_unique<http::H1ServerCodec>(*this, output_, server_.ring_.output_pool(), limits());
  state_ = State::kReading;
  since_ns_ = server_.ring_.now_ns();
  head_begun_ = draining_ = input_unread_ = false;
  server_.wheel_.arm(timer_, since_ns_ + server_.options_.header_timeout_ns);
  read();
}

// ---- requests ----

void AdminServer::Connection::read() {
  if (!recv_.in_flight) server_.ring_.recv(recv_, socket_, io::RecvMode::kOnce);
}

void AdminServer::Connection::on_recv(io::Completion&& completion) {
  if (state_ == State::kClosing) return close_when_idle();
  if (state_ == State::kLingering) {
    linger_bytes_ += static_cast<uint32_t>(std::max(completion.result, 0));
    if (completion.result <= 0 || linger_bytes_ > kLingerBytesMax) return close();
    return read();
  }
  if (completion.result < 0) return close();
  if (completion.result == 0) {
    codec_->on_end_of_input();
  } else {
    codec_->feed(std::move(completion.data));
  }
  if (state_ != State::kReading) return;
  if (codec_->wants_close()) return close();
  if (!head_begun_ && codec_->buffered() > 0) {
    head_begun_ = true;  // One deadline for the whole head: a byte now and then does not move it.
    since_ns_ = server_.ring_.now_ns();
    server_.wheel_.arm(timer_, since_ns_ + server_.options_.header_timeout_ns);
  }
  read();
}

http::RequestHead* AdminServer::Connection::new_request_head(http::StreamId) { return &head_; }

void AdminServer::Connection::on_request_head(http::StreamId, http::RequestHead& head, bool end) {
  CHECK(state_ == State::kReading);
  ++server_.stats_.requests;
  state_ = State::kAnswering;
  has_body_ = !end;
  answer_begun_ = false;
  const uint64_t now_ns = server_.ring_.now_ns();
  server_.wheel_.arm(timer_, now_ns + server_.options_.response_timeout_ns +
                                 kNsPerSecond);  // The response timer comes first.
  server_.wheel_.arm(response_timer_, now_ns + server_.options_.response_timeout_ns);
  if (head.method != http::Method::kGet && head.method != http::Method::kHead)
    return respond({405, "text/plain; charset=utf-8", "method not allowed\n"}, false);
  if (has_body_)
    return respond({413, "text/plain; charset=utf-8", "request bodies are not taken\n"}, true);
  const auto found = server_.handlers_.find(head.path);
  if (found == server_.handlers_.end())
    return respond({404, "text/plain; charset=utf-8", "not found\n"}, false);
  const AdminRequest request{std::string(head.path),
                             std::string(head.query.empty() ? head.query : head.query.substr(1))};
  pending_ = std::make_shared<Pending>(Pending{this});
  found->second(request, [pending = pending_](AdminResponse response) {
    if (pending->connection != nullptr) pending->connection->respond(std::move(response), false);
  });
}

void AdminServer::Connection::on_request_body(http::StreamId, io::Slice, bool) {}
void AdminServer::Connection::on_request_trailers(http::StreamId, const http::HeaderList&) {}
void AdminServer::Connection::on_writable(http::StreamId) {}

void AdminServer::Connection::on_request_error(http::StreamId, http::Error error) {
  if (state_ != State::kReading || error == http::Error::kTruncated) return close();
  state_ = State::kAnswering;
  answer_begun_ = false;
  server_.wheel_.arm(response_timer_,
                     server_.ring_.now_ns() + server_.options_.response_timeout_ns);
  // The reason is a constant of ours, never what was sent.
  respond({http::status_of(error), "text/plain; charset=utf-8",
           std::string(http::error_name(error)) + "\n"},
          true);
}

// ---- answers ----

void AdminServer::Connection::abandon_reply() {
  if (pending_ != nullptr) pending_->connection = nullptr;
  pending_.reset();
}

void AdminServer::Connection::respond(AdminResponse response, bool close) {
  if (state_ != State::kAnswering || answer_begun_) return;
  abandon_reply();
  answer_begun_ = true;
  input_unread_ = close;
  if (server_.answer_bytes_ > 0 &&
      server_.answer_bytes_ + response.body.size() > server_.options_.answer_bytes_max) {
    response = {503, "text/plain; charset=utf-8", "too many answers are being read\n"};
  }
  http::ResponseHead head;
  head.status = response.status;
  head.body = {http::BodyKind::kKnown, response.body.size()};
  if (response.more != nullptr) head.body = {http::BodyKind::kChunked, 0};
  head.headers.add(http::HeaderName::kContentType, response.content_type);
  head.headers.add(http::HeaderName::kCacheControl, "no-store");
  head.headers.add(http::HeaderName::kXContentTypeOptions, "nosniff");
  if (response.status == 405) head.headers.add(http::HeaderName::kAllow, "GET, HEAD");
  const bool no_body =
      (response.body.empty() && response.more == nullptr) || head_.method == http::Method::kHead;
  codec_->send_head(
      0, head, no_body,
      close || draining_ || has_body_ || server_.state_ != AdminServer::State::kRunning);
  if (!no_body) {
    body_ = std::move(response.body);
    more_ = std::move(response.more);
  }
  body_queued_ = 0;
  server_.answer_bytes_ += body_.size();
  write_more();
}

void AdminServer::Connection::next_piece() {
  server_.answer_bytes_ -= body_.size();
  body_.clear();
  body_queued_ = 0;
  if (!more_(body_)) {
    more_ = nullptr;
    if (body_.empty()) codec_->send_body(0, {}, true);
  }
  server_.answer_bytes_ += body_.size();
}

void AdminServer::Connection::write_more() {
  io::BufferPool& pool = server_.ring_.output_pool();
  while (output_.size() < kOutputHighWater) {
    while (body_queued_ == body_.size() && more_ != nullptr) next_piece();
    if (body_queued_ == body_.size()) break;
    io::Slice slice = pool.try_take();
    if (slice.buffer() == nullptr) break;  // Goes on when this answer's own buffers have come back.
    const size_t bytes = std::min(slice.tail().size(), body_.size() - body_queued_);
    std::copy_n(reinterpret_cast<const std::byte*>(body_.data()) + body_queued_, bytes,
                slice.tail().data());
    slice.extend(static_cast<uint32_t>(bytes));
    body_queued_ += bytes;
    codec_->send_body(0, std::move(slice), body_queued_ == body_.size() && more_ == nullptr);
  }
  if (send_.in_flight) return;
  if (output_.empty())
    return body_queued_ == body_.size() && more_ == nullptr ? end_answer() : close();
  size_t count = 0;
  output_.for_each([&](const io::Slice& slice) {
    vectors_[count++] = {const_cast<std::byte*>(slice.data()), slice.size()};
    return count < vectors_.size();
  });
  server_.wheel_.arm(timer_, server_.ring_.now_ns() + server_.options_.write_timeout_ns);
  server_.ring_.send(send_, socket_, std::span(vectors_).first(count));
}

void AdminServer::Connection::on_send(io::Completion&& completion) {
  if (state_ == State::kClosing) return close_when_idle();
  if (completion.result <= 0) return close();
  output_.consume(static_cast<size_t>(completion.result));
  write_more();
}

void AdminServer::Connection::end_answer() {
  response_timer_.cancel();
  server_.answer_bytes_ -= body_.size();
  body_ = std::string();
  body_queued_ = 0;
  // Bytes that are not read make the kernel answer a close with a reset, which can overtake the
  // answer.
  if (codec_->wants_close()) return input_unread_ ? linger() : close();
  state_ = State::kReading;
  head_begun_ = false;
  since_ns_ = server_.ring_.now_ns();
  server_.wheel_.arm(timer_, since_ns_ + server_.options_.idle_timeout_ns);
  codec_->finish(0);  // May bring the next request, and its answer.
  if (state_ != State::kReading) return;
  if (codec_->wants_close()) return close();
  if (codec_->buffered() > 0) {
    head_begun_ = true;
    server_.wheel_.arm(timer_, since_ns_ + server_.options_.header_timeout_ns);
  }
  read();
}

// ---- the end ----

void AdminServer::Connection::linger() {
  state_ = State::kLingering;
  linger_bytes_ = 0;
  server_.wheel_.arm(timer_, server_.ring_.now_ns() + kLingerNs);
  server_.ring_.shutdown(shutdown_, socket_, io::ShutdownHow::kWrite);
}

void AdminServer::Connection::on_shutdown(io::Completion&& completion) {
  if (state_ == State::kClosing) return close_when_idle();
  if (completion.result < 0) return close();
  read();
}

void AdminServer::Connection::on_timer() {
  if (state_ != State::kLingering) ++server_.stats_.timeouts;
  close();
}

void AdminServer::Connection::on_response_timer() {
  ++server_.stats_.timeouts;
  if (answer_begun_) return close();  // It is taken too slowly.
  server_.wheel_.arm(response_timer_, server_.ring_.now_ns() + server_.options_.write_timeout_ns);
  respond({503, "text/plain; charset=utf-8", "no answer in time\n"}, true);
}

void AdminServer::Connection::drain() {
  draining_ = true;
  if (state_ == State::kReading) return close();
  if (state_ == State::kAnswering) codec_->drain();
}

void AdminServer::Connection::close() {
  if (state_ == State::kClosing || state_ == State::kFree) return;
  state_ = State::kClosing;
  timer_.cancel();
  response_timer_.cancel();
  abandon_reply();
  if (recv_.in_flight) server_.ring_.cancel(recv_);
  if (send_.in_flight) server_.ring_.cancel(send_);
  close_when_idle();
}

void AdminServer::Connection::close_when_idle() {
  if (recv_.in_flight || send_.in_flight || shutdown_.in_flight || close_.in_flight) return;
  server_.ring_.close(close_, socket_);
}

void AdminServer::Connection::on_closed(io::Completion&&) {
  server_.answer_bytes_ -= body_.size();
  body_ = std::string();
  more_ = nullptr;
  output_.clear();
  codec_.reset();
  head_.reset();
  socket_ = io::Socket{};
  state_ = State::kFree;
  server_.release(*this);
}

}  // namespace ringway::observe
