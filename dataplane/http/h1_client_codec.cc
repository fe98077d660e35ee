#include "dataplane/http/h1_client_codec.h"

#include "dataplane/http/head_writer.h"
#include "dataplane/http/response_parser.h"

namespace ringway::http {

H1ClientCodec::H1ClientCodec(ClientSink& sink, io::SliceQueue& output, io::BufferPool& output_pool,
                             const Limits& limits)
    : sink_(sink), output_(output), output_pool_(output_pool), limits_(limits) {}

H1ClientCodec::~H1ClientCodec() = default;

// ---- output ----

StreamId H1ClientCodec::open() {
  CHECK(available());
  in_ = In::kHead;
  out_ = Out::kHead;
  interim_responses_ = 0;
  paused_ = false;
  return 0;
}

void H1ClientCodec::send_head(StreamId, const RequestHead& head, bool end) {
  if (out_ != Out::kHead) return;  // Refused meanwhile.
  request_method_ = head.method;
  if (head.upgrade) upgrade_ = std::make_unique<UpgradeRequest>(head);
  out_ = Out::kBody;
  HeadFraming framing;
  if (end) {
    // RFC 9110 section 8.6: a method that usually has content says so when it has none.
    const bool says_length = head.body.kind != BodyKind::kNone || head.method == Method::kPost ||
                             head.method == Method::kPut || head.method == Method::kPatch;
    if (says_length) framing.fields = FramingFields::kContentLength;
  } else if (head.body.kind == BodyKind::kKnown) {
    framing = {FramingFields::kContentLength, head.body.bytes};
    writer_.begin(BodyWriter::Mode::kKnown, head.body.bytes);
  } else {
    framing.fields = FramingFields::kChunked;
    writer_.begin(BodyWriter::Mode::kChunked);
  }
  write_request_head(output_, output_pool_, head, framing);
  if (end) end_request();
}

void H1ClientCodec::send_body(StreamId, io::Slice data, bool end) {
  if (out_ != Out::kBody) return;
  if (!writer_.send(output_, output_pool_, std::move(data), end)) broken_ = true;
  if (end) end_request();
}

void H1ClientCodec::send_trailers(StreamId, const HeaderList& trailers) {
  if (out_ != Out::kBody) return;
  if (!writer_.send_trailers(output_, output_pool_, trailers)) broken_ = true;
  end_request();
}

void H1ClientCodec::end_request() { out_ = Out::kEnded; }

void H1ClientCodec::reset(StreamId) {
  in_ = In::kClosed;
  out_ = Out::kEnded;
  broken_ = true;
  head_ = nullptr;
  gather_.reset();
  upgrade_.reset();
  input_.clear();
}

void H1ClientCodec::switch_to_tunnel(StreamId) {
  CHECK(in_ == In::kUpgraded);
  in_ = In::kTunnel;
  out_ = Out::kBody;
  writer_.begin(BodyWriter::Mode::kRaw);
  run();
}

void H1ClientCodec::pause(StreamId) { paused_ = true; }

void H1ClientCodec::resume(StreamId) {
  paused_ = false;
  run();
}

// ---- input ----

void H1ClientCodec::feed(io::Slice data) {
  if (data.empty()) return;
  if (in_ == In::kIdle || in_ == In::kEnded) {
    broken_ = true;
    stray_bytes_ = true;
    return;
  }
  if (in_ == In::kClosed) return;
  input_.push(std::move(data));
  run();
}

void H1ClientCodec::on_end_of_input() {
  end_of_input_ = true;
  run();
}

size_t H1ClientCodec::buffered() const {
  return input_.size() + (gather_ == nullptr ? 0 : gather_->view().size());
}

void H1ClientCodec::run() {
  if (running_) return;
  running_ = true;
  while (!input_.empty() && step()) {
  }
  if (end_of_input_ && input_.empty()) end_of_input();
  running_ = false;
}

// False: no progress before a command or more input comes.
bool H1ClientCodec::step() {
  switch (in_) {
    case In::kHead:
      return gather_ == nullptr ? read_head() : read_gathered_head();
    case In::kBody:
      return !paused_ && read_body();
    case In::kUpgraded:
      return false;
    case In::kTunnel:
      if (paused_) return false;
      sink_.on_response_body(0, input_.pop(), false);
      return true;
    case In::kIdle:
    case In::kEnded:
    case In::kClosed:
      input_.clear();
      return false;
  }
  return false;
}

bool H1ClientCodec::read_head() {
  if (out_ ==
      Out::kHead) {  // An answer to nothing, e.g. 408 for a connection that was idle too long.
    stray_bytes_ = true;
    refuse(Error::kBadResponse);
    return true;
  }
  if (head_ == nullptr) head_ = sink_.new_response_head(0);
  if (head_ == nullptr) return false;
  head_->reset();
  HeadProgress progress;
  const ParseResult parsed = parse_response_head(input_.front().view(), limits_, progress, *head_);
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

bool H1ClientCodec::read_gathered_head() {
  bool moved = false;
  const uint32_t appended = gather_->append(input_.front().view(), moved);
  if (moved) head_->reset();
  const ParseResult parsed =
      parse_response_head(gather_->view(), limits_, gather_->progress, *head_);
  switch (parsed.status) {
    case ParseStatus::kIncomplete:
      input_.consume(appended);
      return true;
    case ParseStatus::kError:
      refuse(parsed.error);
      return true;
    case ParseStatus::kComplete: {
      input_.consume(appended - (gather_->view().size() - parsed.bytes));
      io::Slice memory = gather_->take(parsed.bytes);
      gather_.reset();
      on_head_complete(std::move(memory));
      return true;
    }
  }
  return false;
}

void H1ClientCodec::on_head_complete(io::Slice memory) {
  ResponseHead& head = *head_;
  head_ = nullptr;
  head.memory = std::move(memory);
  const auto framing = complete_response_head(head, request_method_);
  if (!framing) return refuse(framing.error());
  if (head.status == 101) return on_switching_protocols(head);
  if (head.status < 200) return on_interim(head);

  upgrade_.reset();
  if (!head.keep_alive) broken_ = true;
  const bool end = framing->empty || (head.body.kind == BodyKind::kKnown && head.body.bytes == 0);
  if (end) {
    end_response();
  } else {
    in_ = In::kBody;
    reader_.begin(head.body);
  }
  sink_.on_response_head(0, head, end);
}

void H1ClientCodec::on_interim(ResponseHead& head) {
  if (++interim_responses_ > limits_.interim_responses_max) return refuse(Error::kTooManyInterim);
  sink_.on_interim_response(0, head);
}

// RFC 9110 section 15.2.2. Whatever follows a wrong 101 is in a protocol that nobody agreed on.
void H1ClientCodec::on_switching_protocols(ResponseHead& head) {
  if (upgrade_ == nullptr || out_ != Out::kEnded || !upgrade_->answered_by(head))
    return refuse(Error::kBadUpgrade);
  upgrade_.reset();
  broken_ = true;
  in_ = In::kUpgraded;
  sink_.on_response_head(0, head, false);
}

bool H1ClientCodec::read_body() {
  HeaderList trailers;
  BodyReader::Result result = reader_.next({input_, gather_, output_pool_, limits_}, trailers);
  switch (result.event) {
    case BodyReader::Event::kMore:
      return true;
    case BodyReader::Event::kData:
      sink_.on_response_body(0, std::move(result.data), false);
      return true;
    case BodyReader::Event::kLastData:
      end_response();
      sink_.on_response_body(0, std::move(result.data), true);
      return true;
    case BodyReader::Event::kEnd:
      end_response();
      sink_.on_response_body(0, {}, true);
      return true;
    case BodyReader::Event::kTrailers:
      end_response();
      sink_.on_response_trailers(0, trailers);
      return true;
    case BodyReader::Event::kError:
      refuse(result.error);
      return true;
  }
  return false;
}

// Before the event that tells the sink, see invariant (2).
void H1ClientCodec::end_response() {
  if (!input_.empty()) {
    broken_ = true;
    stray_bytes_ = true;
    input_.clear();
  }
  if (out_ == Out::kEnded) {
    in_ = In::kIdle;
    out_ = Out::kIdle;
  } else {
    in_ = In::kEnded;  // An early answer: the rest of the request can't be called off, so the
                       // connection is lost.
    broken_ = true;
  }
}

void H1ClientCodec::end_of_input() {
  switch (in_) {
    case In::kHead:
      return refuse(Error::kTruncated);
    case In::kBody:
      if (!reader_.until_close()) return refuse(Error::kTruncated);
      if (paused_) return;
      end_response();
      sink_.on_response_body(0, {}, true);
      return;
    case In::kTunnel:
      if (paused_) return;
      in_ = In::kClosed;
      sink_.on_response_body(0, {}, true);
      return;
    case In::kIdle:
    case In::kEnded:
    case In::kUpgraded:
    case In::kClosed:
      return;
  }
}

void H1ClientCodec::refuse(Error error) {
  in_ = In::kClosed;
  out_ = Out::kEnded;
  broken_ = true;
  head_ = nullptr;
  gather_.reset();
  upgrade_.reset();
  input_.clear();
  sink_.on_response_error(0, error);
}

}  // namespace ringway::http
