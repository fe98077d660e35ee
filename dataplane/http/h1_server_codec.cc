#include "dataplane/http/h1_server_codec.h"

#include "dataplane/http/head_writer.h"
#include "dataplane/http/request_parser.h"

namespace ringway::http {
namespace {

constexpr uint8_t kEmptyLinesMax =
    4;  // Before a request line (RFC 9112 section 2.2 asks for at least one).

}  // namespace

H1ServerCodec::H1ServerCodec(ServerSink& sink, io::SliceQueue& output, io::BufferPool& output_pool,
                             const Limits& limits)
    : sink_(sink), output_(output), output_pool_(output_pool), limits_(limits) {}

// ---- input ----

void H1ServerCodec::feed(io::Slice data) {
  if (in_ == In::kClosed) return;
  input_.push(std::move(data));
  run();
}

void H1ServerCodec::on_end_of_input() {
  end_of_input_ = true;
  run();
}

size_t H1ServerCodec::buffered() const {
  return input_.size() + (gather_ == nullptr ? 0 : gather_->view().size());
}

void H1ServerCodec::run() {
  if (running_) return;
  running_ = true;
  while (!input_.empty() && step()) {
  }
  if (end_of_input_ && input_.empty()) end_of_input();
  running_ = false;
}

// False: no progress before a command or more input comes.
bool H1ServerCodec::step() {
  switch (in_) {
    case In::kHead:
      return gather_ == nullptr ? read_head() : read_gathered_head();
    case In::kBody:
      return !paused_ && read_body();
    case In::kHeld:
      return false;
    case In::kTunnel:
      if (paused_) return false;
      sink_.on_request_body(0, input_.pop(), false);
      return true;
    case In::kClosed:
      input_.clear();
      return false;
  }
  return false;
}

bool H1ServerCodec::read_head() {
  const std::string_view text = input_.front().view();
  if (text.starts_with("\r\n")) {
    input_.consume(2);
    return count_empty_line();
  }
  if (head_ == nullptr) head_ = sink_.new_request_head(0);
  if (head_ == nullptr) return false;
  head_->reset();
  HeadProgress progress;
  const ParseResult parsed = parse_request_head(text, limits_, progress, *head_);
  switch (parsed.status) {
    case ParseStatus::kComplete: {
      io::Slice memory = input_.front().share(0, parsed.bytes);
      input_.consume(parsed.bytes);
      on_head_complete(std::move(memory));
      return true;
    }
    case ParseStatus::kIncomplete:
      gather_ = std::make_unique<HeadGather>(output_pool_);
      head_->reset();
      return read_gathered_head();
    case ParseStatus::kError:
      refuse(parsed.error);
      return true;
  }
  return false;
}

bool H1ServerCodec::read_gathered_head() {
  bool moved = false;
  const uint32_t appended = gather_->append(input_.front().view(), moved);
  if (moved) head_->reset();
  const std::string_view text = gather_->view();
  if (text.starts_with("\r\n")) {  // The CR was there alone.
    input_.consume(1);
    gather_.reset();
    return count_empty_line();
  }
  const ParseResult parsed = parse_request_head(text, limits_, gather_->progress, *head_);
  switch (parsed.status) {
    case ParseStatus::kIncomplete:
      input_.consume(appended);
      return true;
    case ParseStatus::kError:
      refuse(parsed.error);
      return true;
    case ParseStatus::kComplete: {
      input_.consume(appended - (text.size() - parsed.bytes));
      io::Slice memory = gather_->take(parsed.bytes);
      gather_.reset();
      on_head_complete(std::move(memory));
      return true;
    }
  }
  return false;
}

bool H1ServerCodec::count_empty_line() {
  if (++empty_lines_ > kEmptyLinesMax) refuse(Error::kBadRequestLine);
  return true;
}

void H1ServerCodec::on_head_complete(io::Slice memory) {
  empty_lines_ = 0;
  RequestHead& head = *head_;
  head.memory = std::move(memory);
  const Error error = complete_request_head(head, output_pool_);
  if (error != Error::kNone) return refuse(error);
  const bool end = head.body.kind == BodyKind::kNone ||
                   (head.body.kind == BodyKind::kKnown && head.body.bytes == 0);
  in_ = end ? In::kHeld : In::kBody;
  if (!end) reader_.begin(head.body);
  out_ = Out::kHead;
  http10_ = head.version == Version::k10;
  head_request_ = head.method == Method::kHead;
  keep_alive_ = head.keep_alive && !draining_;
  awaits_continue_ = head.expect_continue;
  upgrade_ = head.upgrade;
  sink_.on_request_head(0, head, end);
}

bool H1ServerCodec::read_body() {
  HeaderList trailers;
  awaits_continue_ = false;
  BodyReader::Result result = reader_.next({input_, gather_, output_pool_, limits_}, trailers);
  switch (result.event) {
    case BodyReader::Event::kMore:
      return true;
    case BodyReader::Event::kData:
      sink_.on_request_body(0, std::move(result.data), false);
      return true;
    case BodyReader::Event::kLastData:
      in_ = In::kHeld;
      sink_.on_request_body(0, std::move(result.data), true);
      return true;
    case BodyReader::Event::kEnd:
      in_ = In::kHeld;
      sink_.on_request_body(0, {}, true);
      return true;
    case BodyReader::Event::kTrailers:
      in_ = In::kHeld;
      sink_.on_request_trailers(0, trailers);
      return true;
    case BodyReader::Event::kError:
      refuse(result.error);
      return true;
  }
  return false;
}

void H1ServerCodec::end_of_input() {
  switch (in_) {
    case In::kHead:
      if (gather_ != nullptr) return refuse(Error::kTruncated);
      in_ = In::kClosed;
      wants_close_ = true;
      return;
    case In::kBody:
      return refuse(Error::kTruncated);
    case In::kTunnel:
      if (paused_) return;
      in_ = In::kClosed;
      sink_.on_request_body(0, {}, true);
      return;
    case In::kHeld:  // Comes again after finish().
    case In::kClosed:
      return;
  }
}

// Nothing is parsed after a refusal. One of a head leaves the response open: the sink answers with
// it.
void H1ServerCodec::refuse(Error error) {
  if (in_ == In::kHead) {
    out_ = Out::kHead;
    http10_ = false;
    head_request_ = head_ != nullptr && head_->method == Method::kHead;
    upgrade_ = false;
  }
  in_ = In::kClosed;
  keep_alive_ = false;
  gather_.reset();
  input_.clear();
  sink_.on_request_error(0, error);
}

void H1ServerCodec::refuse_head(Error error) {
  CHECK(in_ == In::kHead);
  refuse(error);
}

void H1ServerCodec::pause(StreamId) { paused_ = true; }

void H1ServerCodec::resume(StreamId) {
  paused_ = false;
  run();
}

// ---- output ----

void H1ServerCodec::send_interim(StreamId, uint16_t status, const HeaderList& headers) {
  CHECK(status >= 100 && status < 200 && status != 101);
  if (out_ != Out::kHead || http10_) return;  // RFC 9110 section 15.2: never to an HTTP/1.0 client.
  if (status == 100) awaits_continue_ = false;
  write_response_head(output_, output_pool_, status, headers, {}, ConnectionField::kNone);
}

void H1ServerCodec::send_head(StreamId, const ResponseHead& head, bool end, bool close) {
  if (out_ != Out::kHead) return;  // Reset or refused meanwhile.
  CHECK(head.status >= 200 || (head.status == 101 && upgrade_));
  if (head.status == 101) {
    out_ = Out::kBody;
    keep_alive_ = false;
    writer_.begin(BodyWriter::Mode::kRaw);
    return write_response_head(output_, output_pool_, 101, head.headers, {},
                               ConnectionField::kUpgrade);
  }
  // A client told to go on by nothing but this answer may send its body or not: what follows could
  // not be told apart.
  const bool request_unread = in_ == In::kBody && (end || awaits_continue_);
  // What a client sent, or still sends, behind an upgrade that is refused may be of the other
  // protocol: never read as a request.
  if (close || draining_ || request_unread || upgrade_ || (end_of_input_ && input_.empty()))
    keep_alive_ = false;

  HeadFraming framing;
  BodyWriter::Mode mode = BodyWriter::Mode::kDropped;
  const bool declares_only = head_request_ || head.status == 304;
  if (head.status == 204) {
    // RFC 9110 section 8.6: no Content-Length.
  } else if (head.body.kind == BodyKind::kKnown && (declares_only || !end)) {
    framing = {FramingFields::kContentLength, head.body.bytes};
    mode = BodyWriter::Mode::kKnown;
  } else if (declares_only) {
    if (head.body.kind == BodyKind::kChunked && head_request_ && !http10_)
      framing.fields = FramingFields::kChunked;
  } else if (end) {
    framing.fields = FramingFields::kContentLength;
  } else if (!http10_) {
    framing.fields = FramingFields::kChunked;
    mode = BodyWriter::Mode::kChunked;
  } else {
    mode = BodyWriter::Mode::kRaw;  // RFC 9112 section 6.3: ended by closing.
    keep_alive_ = false;
  }
  if (declares_only) mode = BodyWriter::Mode::kDropped;
  const ConnectionField connection = !keep_alive_ ? ConnectionField::kClose
                                     : http10_    ? ConnectionField::kKeepAlive
                                                  : ConnectionField::kNone;
  write_response_head(output_, output_pool_, head.status, head.headers, framing, connection);
  out_ = Out::kBody;
  writer_.begin(mode, framing.content_length);
  if (end) end_response();
}

void H1ServerCodec::send_body(StreamId, io::Slice data, bool end) {
  if (out_ != Out::kBody && out_ != Out::kTunnel) return;
  if (!writer_.send(output_, output_pool_, std::move(data), end)) keep_alive_ = false;
  if (end && out_ == Out::kBody) end_response();
}

void H1ServerCodec::send_trailers(StreamId, const HeaderList& trailers) {
  if (out_ != Out::kBody) return;
  if (!writer_.send_trailers(output_, output_pool_, trailers)) keep_alive_ = false;
  end_response();
}

void H1ServerCodec::end_response() {
  out_ = Out::kEnded;
  if (!keep_alive_) wants_close_ = true;
}

void H1ServerCodec::close_after_output() {
  in_ = In::kClosed;
  out_ = Out::kEnded;
  keep_alive_ = false;
  wants_close_ = true;
  gather_.reset();
  input_.clear();
}

void H1ServerCodec::reset(StreamId) { close_after_output(); }

void H1ServerCodec::switch_to_tunnel(StreamId) {
  CHECK(upgrade_ && in_ == In::kHeld && out_ == Out::kBody);
  in_ = In::kTunnel;
  out_ = Out::kTunnel;
  run();
}

// ---- between requests ----

void H1ServerCodec::finish(StreamId) {
  if (out_ != Out::kEnded || in_ != In::kHeld || !keep_alive_ || draining_) close_after_output();
  head_ = nullptr;
  out_ = Out::kIdle;
  paused_ = false;
  upgrade_ = false;
  awaits_continue_ = false;
  if (wants_close_) return;
  in_ = In::kHead;
  run();
}

bool H1ServerCodec::idle() const {
  return out_ == Out::kIdle && (in_ == In::kHead || in_ == In::kClosed) && gather_ == nullptr &&
         input_.empty();
}

void H1ServerCodec::drain() {
  draining_ = true;
  if (!idle()) return;
  in_ = In::kClosed;
  wants_close_ = true;
}

}  // namespace ringway::http
