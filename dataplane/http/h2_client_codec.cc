#include "dataplane/http/h2_client_codec.h"

#include <algorithm>

#include "dataplane/http/h2_client_place.h"
#include "dataplane/http/response_parser.h"

namespace ringway::http {
namespace {

constexpr uint32_t kCopyMax = 1024;  // Smaller pieces do not keep their receive buffer.
// What a peer may waste before it is told to calm down: resets, empty frames, PINGs, SETTINGS,
// malformed heads. Every response that ends well gives one back.
constexpr uint32_t kBudget = 256;

}  // namespace

H2ClientCodec::H2ClientCodec(ClientSink& sink, io::SliceQueue& output, io::BufferPool& output_pool,
                             const Limits& limits, const Options& options)
    : sink_(sink),
      output_(output),
      output_pool_(output_pool),
      limits_(limits),
      options_(options),
      budget_(kBudget) {
  session_.reset(make_session());
  pump();
}

H2ClientCodec::~H2ClientCodec() = default;

// ---- streams ----

H2ClientCodec::Place& H2ClientCodec::place(StreamId stream) {
  CHECK(stream < places_.size() && places_[stream]->used);
  return *places_[stream];
}

bool H2ClientCodec::usable(const Place& place) const {
  return place.used && !place.released && !broken_;
}

uint32_t H2ClientCodec::streams_allowed() const {
  return std::min(
      options_.streams_max,
      nghttp2_session_get_remote_settings(session_.get(), NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS));
}

bool H2ClientCodec::extended_connect() const {
  return nghttp2_session_get_remote_settings(session_.get(),
                                             NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL) == 1;
}

bool H2ClientCodec::reusable() const {
  return !broken_ && !goaway_ && nghttp2_session_check_request_allowed(session_.get()) != 0;
}

bool H2ClientCodec::available() const { return reusable() && used_ < streams_allowed(); }

StreamId H2ClientCodec::open() {
  CHECK(available());
  if (free_.empty()) {
    places_.push_back(std::make_unique<Place>());
    places_.back()->id = static_cast<StreamId>(places_.size() - 1);
    places_.back()->codec = this;
    free_.reserve(places_.size());
    sent_.reserve(places_.size());
    free_.push_back(places_.back()->id);
  }
  const StreamId stream = free_.back();
  free_.pop_back();
  Place& at = *places_[stream];
  at.used = true;
  at.number = 0;
  at.closed = true;
  at.begin(Method::kOther);
  ++used_;
  return stream;
}

void H2ClientCodec::release(StreamId stream) {
  Place& at = place(stream);
  if (at.released) return;
  at.released = true;
  const bool ends_by_itself = at.response_ended && at.body_ended && at.body.empty();
  at.drop();
  if (!at.closed && !at.reset && !ends_by_itself) {
    at.reset = true;
    // nghttp2 answers with on_close, when the frame is written.
    CHECK(nghttp2_submit_rst_stream(session_.get(), NGHTTP2_FLAG_NONE, at.number, NGHTTP2_CANCEL) !=
          NGHTTP2_ERR_INVALID_ARGUMENT);
    pump();
    return;
  }
  free_if_done(at);
}

void H2ClientCodec::free_if_done(Place& at) {
  if (!at.used || !at.released || !at.closed) return;
  at.used = false;
  --used_;
  free_.push_back(at.id);
}

// ---- the way up ----

void H2ClientCodec::send_head(StreamId stream, const RequestHead& head, bool end) {
  Place& at = place(stream);
  if (!usable(at) || at.number != 0) return;
  at.begin(head.method);
  at.upgrade = head.upgrade;
  if (head.upgrade) {
    end = false;  // The tunnel's bytes follow.
    const Header* key = head.headers.find(HeaderName::kSecWebsocketKey);
    at.keyed = key != nullptr;
    if (at.keyed) at.accept = websocket_accept(key->value());
  }
  std::optional<uint64_t> length;
  if (head.body.kind == BodyKind::kKnown) length = head.body.bytes;
  static thread_local H2FieldWriter writer;
  writer.request(head, options_.tls ? "https" : "http", length);
  const nghttp2_data_provider body = body_of(at);
  const int32_t number = nghttp2_submit_request(session_.get(), nullptr, writer.data(),
                                                writer.size(), end ? nullptr : &body, &at);
  if (number < 0) return;  // No number is left; reusable() said so. The exchange's timer ends it.
  at.number = number;
  at.closed = false;
  at.body_ended = end;
  pump();
}

void H2ClientCodec::send_body(StreamId stream, io::Slice data, bool end) {
  Place& at = place(stream);
  if (!usable(at) || at.closed || at.body_ended) return;
  at.body_ended = end;
  if (data.size() <= kCopyMax || !at.body.empty()) {
    at.body.append_copy(output_pool_, data.view());
    return wake(at);
  }
  at.body.push(std::move(data));
  wake(at);
  // What waits for the endpoint's window must not hold receive buffers: the WINDOW_UPDATE that it
  // waits for may need one of them.
  if (at.body.empty()) return;
  io::SliceQueue copied;
  while (!at.body.empty()) copied.append_copy(output_pool_, at.body.pop().view());
  at.body = std::move(copied);
}

void H2ClientCodec::send_trailers(StreamId stream, const HeaderList& trailers) {
  Place& at = place(stream);
  if (!usable(at) || at.closed || at.body_ended) return;
  static thread_local H2FieldWriter writer;
  writer.trailers(trailers);
  for (size_t i = 0; i < writer.size(); ++i) {
    const nghttp2_nv& field = writer.data()[i];
    at.request_trailers.emplace_back(
        std::string(reinterpret_cast<const char*>(field.name), field.namelen),
        std::string(reinterpret_cast<const char*>(field.value), field.valuelen));
  }
  at.body_ended = true;
  wake(at);
}

void H2ClientCodec::wake(Place& at) {
  if (at.deferred) {
    at.deferred = false;
    nghttp2_session_resume_data(session_.get(), at.number);
  }
  pump();
}

size_t H2ClientCodec::queued(StreamId stream) const {
  return stream < places_.size() ? places_[stream]->body.size() : 0;
}

bool H2ClientCodec::request_ended(StreamId stream) const {
  return places_[stream]->body_ended && places_[stream]->body.empty();
}

void H2ClientCodec::reset(StreamId stream) { release(stream); }

void H2ClientCodec::shut_down() {
  if (goaway_ && broken_) return;
  goaway_ = true;
  nghttp2_submit_goaway(session_.get(), NGHTTP2_FLAG_NONE, 0, NGHTTP2_NO_ERROR, nullptr, 0);
  pump();
}

void H2ClientCodec::on_output_sent() {
  pump();
  raise_sent();
}

// Frames to the output queue, as far as it has room for bodies.
void H2ClientCodec::pump() {
  if (in_session_) return;
  in_session_ = true;
  for (;;) {
    const uint8_t* bytes = nullptr;
    const ssize_t length = nghttp2_session_mem_send(session_.get(), &bytes);
    if (length < 0) broken_ = true;
    if (length <= 0) break;
    output_.append_copy(output_pool_,
                        {reinterpret_cast<const char*>(bytes), static_cast<size_t>(length)});
  }
  in_session_ = false;
}

// A sink may send more from inside the event, which puts its stream in the list again.
void H2ClientCodec::raise_sent() {
  const size_t count = sent_.size();
  for (size_t i = 0; i < count; ++i) {
    Place& at = *places_[sent_[i]];
    at.sent = false;
    if (at.used && !at.released) sink_.on_request_sent(at.id);
  }
  sent_.erase(sent_.begin(), sent_.begin() + static_cast<ptrdiff_t>(count));
}

// ---- the way down ----

void H2ClientCodec::feed(io::Slice data) {
  if (data.empty() || broken_) return;
  CHECK(!in_session_);
  in_session_ = true;
  current_ = &data;
  const ssize_t taken = nghttp2_session_mem_recv(
      session_.get(), reinterpret_cast<const uint8_t*>(data.data()), data.size());
  current_ = nullptr;
  in_session_ = false;
  if (taken < 0) broken_ = true;
  pump();
  if (!broken_) raise_sent();
}

void H2ClientCodec::on_end_of_input() {
  broken_ = true;
  for (size_t i = 0; i < places_.size(); ++i) {
    Place& at = *places_[i];
    if (at.used && !at.released) fail(at, Error::kTruncated);
  }
}

void H2ClientCodec::spend(uint32_t glitches) {
  budget_ -= std::min(budget_, glitches);
  if (budget_ > 0 || broken_) return;
  broken_ = true;
  nghttp2_session_terminate_session(session_.get(), NGHTTP2_ENHANCE_YOUR_CALM);
}

void H2ClientCodec::forgive(uint32_t glitches) { budget_ = std::min(kBudget, budget_ + glitches); }

void H2ClientCodec::fail(Place& at, Error error) {
  at.in = Place::In::kEnded;
  sink_.on_response_error(at.id, error);
}

void H2ClientCodec::refuse(Place& at, Error error) {
  spend(1);
  if (!at.closed && !at.reset) {
    at.reset = true;
    nghttp2_submit_rst_stream(session_.get(), NGHTTP2_FLAG_NONE, at.number, NGHTTP2_PROTOCOL_ERROR);
  }
  fail(at, error);
}

void H2ClientCodec::on_head(Place& at, bool end) {
  if (at.released || at.reset) return fields_.drop();
  ResponseHead* head = sink_.new_response_head(at.id);
  if (head == nullptr) return fields_.drop();
  if (const H2Refusal refusal = fields_.finish_response(*head)) return refuse(at, refusal.error);
  if (head->status >= 200) return on_final_head(at, *head, end);
  if (end) return refuse(at, Error::kBadResponse);
  if (++at.interim_responses > limits_.interim_responses_max)
    return refuse(at, Error::kTooManyInterim);
  sink_.on_interim_response(at.id, *head);
}

// RFC 8441 section 5: 2xx opens the tunnel; length fields mean nothing (RFC 9113 section 8.5).
void H2ClientCodec::on_tunnel_head(Place& at, ResponseHead& head) {
  head.status = 101;
  head.body = {};
  head.headers.remove(HeaderName::kContentLength);
  head.headers.set(HeaderName::kUpgrade, "websocket");
  if (at.keyed) {
    head.headers.set(HeaderName::kSecWebsocketAccept, {at.accept.data(), at.accept.size()});
  }
  at.count.begin({BodyKind::kChunked});
  at.in = Place::In::kBody;
  sink_.on_response_head(at.id, head, false);
}

void H2ClientCodec::on_final_head(Place& at, ResponseHead& head, bool end) {
  if (at.upgrade && head.status < 300) {
    return end ? refuse(at, Error::kBadUpgrade) : on_tunnel_head(at, head);
  }
  const auto framing = complete_response_head(head, at.method);
  if (!framing) return refuse(at, framing.error());
  if (end && !framing->empty) {
    // RFC 9113 section 8.1.1
    if (head.body.kind == BodyKind::kKnown && head.body.bytes > 0)
      return refuse(at, Error::kBadContentLength);
    head.body = {BodyKind::kKnown, 0};
  }
  at.count.begin(framing->empty ? BodyLength{} : head.body);
  at.in = end ? Place::In::kEnded : Place::In::kBody;
  at.response_ended = end;
  if (end) forgive(1);
  sink_.on_response_head(at.id, head, end);
}

void H2ClientCodec::on_trailers(Place& at, bool end) {
  if (at.released || at.reset) return fields_.drop();
  HeaderList trailers;
  io::Slice memory;
  if (const H2Refusal refusal = fields_.finish_trailers(trailers, memory))
    return refuse(at, refusal.error);
  if (!end || at.in != Place::In::kBody) return refuse(at, Error::kBadResponse);
  if (!at.count.end()) return refuse(at, Error::kBadContentLength);
  at.in = Place::In::kEnded;
  at.response_ended = true;
  forgive(1);
  if (trailers.size() == 0) return end_response(at);
  if (at.kept.empty()) return sink_.on_response_trailers(at.id, trailers);
  at.kept_trailers = std::make_unique<HeaderList>(trailers);
  at.trailers_memory = std::move(memory);
  at.end_kept = true;
}

void H2ClientCodec::on_data(Place& at, std::string_view data) {
  if (at.released || at.reset) return;
  if (at.in != Place::In::kBody) return refuse(at, Error::kBadResponse);
  if (!at.count.add(data.size())) return refuse(at, Error::kBadContentLength);
  if (at.paused || !at.kept.empty()) return at.kept.append_copy(output_pool_, data);
  at.take(data.size());
  const std::string_view all = current_->view();
  DCHECK(data.data() >= all.data() && data.data() + data.size() <= all.data() + all.size());
  sink_.on_response_body(at.id,
                         current_->share(static_cast<uint32_t>(data.data() - all.data()),
                                         static_cast<uint32_t>(data.size())),
                         false);
}

void H2ClientCodec::on_end(Place& at) {
  if (at.released || at.reset || at.in == Place::In::kEnded) return;
  if (at.in == Place::In::kHead) return refuse(at, Error::kBadResponse);
  if (!at.count.end()) return refuse(at, Error::kBadContentLength);
  at.in = Place::In::kEnded;
  at.response_ended = true;
  end_response(at);
}

void H2ClientCodec::end_response(Place& at) {
  at.end_kept = !at.kept.empty();
  if (!at.end_kept) sink_.on_response_body(at.id, {}, true);
}

void H2ClientCodec::on_closed(Place& at, uint32_t error_code) {
  at.closed = true;
  at.body.clear();
  if (at.released) return free_if_done(at);
  if (at.in == Place::In::kEnded) return;  // The sink will release it, or has been told.
  fail(at, error_code == NGHTTP2_REFUSED_STREAM ? Error::kRefusedStream : Error::kStreamReset);
}

void H2ClientCodec::pause(StreamId stream) { place(stream).paused = true; }

void H2ClientCodec::resume(StreamId stream) {
  Place& at = place(stream);
  at.paused = false;
  while (!at.kept.empty() && !at.paused && !at.released) {
    io::Slice data = at.kept.pop();
    if (!at.closed) at.take(data.size());
    sink_.on_response_body(at.id, std::move(data), false);
  }
  if (at.end_kept && at.kept.empty() && !at.paused && !at.released) {
    at.end_kept = false;
    const std::unique_ptr<HeaderList> trailers = std::move(at.kept_trailers);
    const io::Slice memory = std::move(at.trailers_memory);
    if (trailers == nullptr) {
      sink_.on_response_body(at.id, {}, true);
    } else {
      sink_.on_response_trailers(at.id, *trailers);
    }
  }
  pump();
}

// Nothing to do: DATA frames are what passes in both directions (RFC 8441 section 5).
void H2ClientCodec::switch_to_tunnel(StreamId) {}

}  // namespace ringway::http
