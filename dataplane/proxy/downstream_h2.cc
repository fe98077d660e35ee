// Downstream as an HTTP/2 connection: how it begins, what its timer waits for, how it ends.
#include <algorithm>

#include "dataplane/http/text.h"
#include "dataplane/proxy/downstream.h"
#include "dataplane/proxy/h2_downstream.h"

namespace ringway::proxy {
namespace {

// What one send takes: enough to fill it, and little enough that a new stream's first frame does
// not wait behind much.
constexpr size_t kSendBytes = 128 * 1024;
constexpr size_t kTlsSendBytes = 64 * 1024;  // Encrypted at once.

// RFC 9113 section 3.4. No other method begins like this, so four bytes decide.
constexpr std::string_view kPreface = "PRI ";

// A first line of three words of which the last is no version of HTTP: neither protocol, and a broken preface of HTTP/2 for all we know, to
// which bytes of HTTP/1 are no answer (RFC 9113 section 3.4).
bool is_neither(std::string_view text) {
  const std::string_view line = text.substr(0, text.find("\r\n"));
  const size_t first = line.find(' ');
  const size_t last = line.rfind(' ');
  if (line.size() == text.size() || first == last || line.find(' ', first + 1) != last) return false;
  return !http::starts_with_ignoring_case(line.substr(last + 1), "http");
}

}  // namespace

// False: `data` is HTTP/1's to read.
bool Downstream::detect_http2(io::Slice& data) {
  const std::string_view expected = kPreface.substr(preface_bytes_);
  const std::string_view text = data.view().substr(0, expected.size());
  if (text.empty()) return false;
  const bool matches = expected.starts_with(text);
  if (matches &&
      text.size() < expected.size()) {  // So far. What they are is known, so they need not be kept.
    preface_bytes_ = static_cast<uint8_t>(preface_bytes_ + text.size());
    data.reset();
    return true;
  }
  protocol_known_ = true;
  if (!matches && preface_bytes_ == 0 && is_neither(data.view())) {
    ++context_.stats.request_errors[static_cast<size_t>(http::Error::kBadVersion)];
    data.reset();
    drain();
    return true;
  }
  io::Slice before;
  if (preface_bytes_ > 0) {
    before = context_.ring.output_pool().take();
    const std::string_view seen = kPreface.substr(0, preface_bytes_);
    std::memcpy(before.tail().data(), seen.data(), seen.size());
    before.extend(static_cast<uint32_t>(seen.size()));
  }
  if (matches) begin_http2();
  if (!before.empty())
    matches ? h2_->codec().feed(std::move(before)) : codec_.feed(std::move(before));
  return matches;
}

http::ServerCodec& Downstream::http2_codec() { return h2_->codec(); }

size_t Downstream::http2_queued(http::StreamId stream) const { return h2_->codec().queued(stream); }

size_t Downstream::http2_high_water() const { return h2_->response_high_water(); }

void Downstream::begin_http2() {
  protocol_known_ = true;
  h2_ = std::make_unique<H2Downstream>(context_, *this, transport_.output());
  transport_.set_filled();
  transport_.mark_dirty();  // Our SETTINGS.
}

void Downstream::feed_http2(io::Slice data) {
  if (data.empty()) return;
  in_codec_ = true;
  h2_->codec().feed(std::move(data));
  in_codec_ = false;
  after_http2_event();
}

void Downstream::on_transport_flush() {
  const bool within = std::exchange(in_codec_, true);
  h2_->produce(is_tls() ? kTlsSendBytes : kSendBytes);
  in_codec_ = within;
  if (h2_->codec().wants_close()) close_http2();
}

void Downstream::close_http2() {
  if (state_ != State::kServing || closing_) return;
  h2_->drop_exchanges();
  begin_closing();
}

void Downstream::after_http2_event() {
  if (in_codec_ || state_ != State::kServing) return;
  if (h2_->codec().wants_output()) transport_.mark_dirty();
  if (h2_->codec().wants_close()) close_http2();
  watch_http2();
}

void Downstream::drain_http2() {
  h2_->codec().drain();
  transport_.mark_dirty();
  watch_http2();
}

void Downstream::watch_http2() {
  if (closing_) {
    if (waiting_ == Waiting::kNothing) wait_for(Waiting::kWrite, policy().write_stall_timeout_ns);
    return;
  }
  const http::H2ServerCodec& codec = h2_->codec();
  if (codec.idle() && codec.draining()) {
    if (waiting_ == Waiting::kGoaway) return;
    set_idle(false);
    return wait_for(Waiting::kGoaway, kGoawayNs);
  }
  // The head as a whole has one deadline: more bytes do not put it off (slowloris). So have preface
  // and first request.
  if (codec.in_head() || requests_ == 0) {
    if (waiting_ != Waiting::kHead) wait_for(Waiting::kHead, policy().header_timeout_ns);
    return;
  }
  if (codec.queued() > 0 || transport_.queued() > 0) {
    if (waiting_ != Waiting::kStall) {
      h2_->sent_ns = context_.now_ns();
      wait_for(Waiting::kStall, policy().write_stall_timeout_ns / 4);
    }
    return;
  }
  if (!codec.idle()) {  // The exchanges' own timers watch.
    if (waiting_ != Waiting::kNothing) timer_.cancel();
    waiting_ = Waiting::kNothing;
    set_idle(false);
    return;
  }
  if (waiting_ == Waiting::kIdle) return;
  transport_.prefer_bulk(false);
  set_idle(true);
  wait_for(Waiting::kIdle, policy().idle_timeout_ns);
}

void Downstream::on_http2_timer(Waiting what) {
  switch (what) {
    case Waiting::kHead:
      ++context_.stats.timeouts_header;
      h2_->codec().end(NGHTTP2_NO_ERROR);
      return after_http2_event();
    case Waiting::kStall: {
      const uint64_t now_ns = context_.now_ns();
      if (transport_.queued() > 0 && now_ns - h2_->sent_ns >= policy().write_stall_timeout_ns) {
        ++context_.stats.timeouts_write;
        return drain();  // Who does not read gets no second wait for the rest.
      }
      h2_->give_up_stalled();
      if (state_ == State::kServing && !h2_->codec().wants_close() &&
          (h2_->codec().queued() > 0 || transport_.queued() > 0))
        wait_for(Waiting::kStall, policy().write_stall_timeout_ns / 4);
      return after_http2_event();
    }
    case Waiting::kIdle:
      ++context_.stats.timeouts_idle;
      return drain_http2();
    case Waiting::kGoaway:  // The PING was not answered.
      h2_->codec().finish_drain();
      return after_http2_event();
    default:
      return;
  }
}

void Downstream::note_request() {
  ++requests_;
  set_idle(false);
  if (waiting_ == Waiting::kIdle || waiting_ == Waiting::kHead) {
    timer_.cancel();
    waiting_ = Waiting::kNothing;
  }
  if (requests_ >= policy().keep_alive_requests_max || context_.draining) h2_->codec().drain();
}

}  // namespace ringway::proxy
