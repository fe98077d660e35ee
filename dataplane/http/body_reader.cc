#include "dataplane/http/body_reader.h"

#include <algorithm>
#include <new>

#include "dataplane/http/trailers.h"

namespace ringway::http {

void BodyReader::begin(BodyLength length) {
  switch (length.kind) {
    case BodyKind::kKnown:
      CHECK(length.bytes > 0);
      left_ = length.bytes;
      state_ = State::kKnown;
      return;
    case BodyKind::kChunked:
      new (&chunks_) ChunkedDecoder();
      state_ = State::kChunks;
      return;
    case BodyKind::kUntilClose:
      state_ = State::kUntilClose;
      return;
    case BodyKind::kNone:
      break;
  }
  CHECK(false);
}

BodyReader::Result BodyReader::next(Source source, HeaderList& trailers) {
  if (source.input.empty()) return {Event::kMore};
  switch (state_) {
    case State::kKnown:
      return read_known(source);
    case State::kChunks:
      return read_chunks(source, trailers);
    case State::kTrailers:
      return read_trailers(source, trailers);
    case State::kUntilClose:
      return {Event::kData, Error::kNone, source.input.pop()};
    case State::kNone:
      break;
  }
  CHECK(false);
  return {Event::kMore};
}

namespace {

// The first `bytes` of the queue's first slice.
io::Slice take_front(io::SliceQueue& input, uint32_t bytes) {
  if (bytes == input.front().size()) return input.pop();
  io::Slice data = input.front().share(0, bytes);
  input.consume(bytes);
  return data;
}

}  // namespace

BodyReader::Result BodyReader::read_known(Source& source) {
  const auto bytes = static_cast<uint32_t>(std::min<uint64_t>(left_, source.input.front().size()));
  left_ -= bytes;
  const bool last = left_ == 0;
  if (last) state_ = State::kNone;
  return {last ? Event::kLastData : Event::kData, Error::kNone, take_front(source.input, bytes)};
}

BodyReader::Result BodyReader::read_chunks(Source& source, HeaderList& trailers) {
  while (!source.input.empty()) {
    const ChunkedDecoder::Step step =
        chunks_.next(source.input.front().view(), source.limits.chunk_extension_bytes_max);
    switch (step.event) {
      case ChunkedDecoder::Event::kData:
        return {Event::kData, Error::kNone, take_front(source.input, step.bytes)};
      case ChunkedDecoder::Event::kMore:
        source.input.consume(step.bytes);
        break;
      case ChunkedDecoder::Event::kError:
        return {Event::kError, Error::kBadChunk};
      case ChunkedDecoder::Event::kLast:
        source.input.consume(step.bytes);
        state_ = State::kTrailers;
        return source.input.empty() ? Result{Event::kMore} : read_trailers(source, trailers);
    }
  }
  return {Event::kMore};
}

BodyReader::Result BodyReader::read_trailers(Source& source, HeaderList& trailers) {
  if (source.gather == nullptr) {
    const io::Slice& front = source.input.front();
    trailers.clear();
    HeadProgress progress;
    const ParseResult parsed = parse_trailers(front.view(), source.limits, progress, trailers);
    if (parsed.status == ParseStatus::kError) return {Event::kError, parsed.error};
    if (parsed.status == ParseStatus::kComplete) {
      return end_with(trailers, take_front(source.input, parsed.bytes));
    }
    source.gather = std::make_unique<HeadGather>(source.pool);
  }
  return read_gathered_trailers(source, trailers);
}

// Lines are judged once each as they come, into `trailers` as scratch; when all are there they are
// read again in one go.
BodyReader::Result BodyReader::read_gathered_trailers(Source& source, HeaderList& trailers) {
  while (!source.input.empty()) {
    bool moved = false;
    HeadGather& gather = *source.gather;
    const uint32_t appended = gather.append(source.input.front().view(), moved);
    trailers.clear();
    ParseResult parsed = parse_trailers(gather.view(), source.limits, gather.progress, trailers);
    if (parsed.status == ParseStatus::kError) return {Event::kError, parsed.error};
    if (parsed.status == ParseStatus::kIncomplete) {
      source.input.consume(appended);
      continue;
    }
    source.input.consume(appended - (gather.view().size() - parsed.bytes));
    trailers.clear();
    gather.progress = {};
    parsed = parse_trailers(gather.view(), source.limits, gather.progress, trailers);
    CHECK(parsed.status == ParseStatus::kComplete);
    Result result = end_with(trailers, gather.take(parsed.bytes));
    source.gather.reset();
    return result;
  }
  return {Event::kMore};
}

BodyReader::Result BodyReader::end_with(HeaderList& trailers, io::Slice memory) {
  state_ = State::kNone;
  if (trailers.size() == 0) return {Event::kEnd};
  return {Event::kTrailers, Error::kNone, std::move(memory)};
}

}  // namespace ringway::http
