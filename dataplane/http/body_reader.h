// The bytes behind a head, cut into body and trailers by the length that framing.h decided. Used by
// both HTTP/1 codecs.
//
// Pull, not push: the codec asks for the next event while its sink is not paused. Data slices are
// passed on, not copied.
#pragma once

#include <memory>

#include "dataplane/http/chunked_decoder.h"
#include "dataplane/http/head_gather.h"
#include "dataplane/http/message.h"
#include "dataplane/io/slice.h"

namespace ringway::http {

class BodyReader {
 public:
  enum class Event : uint8_t {
    kMore,      // Nothing yet: the input is used up.
    kData,      // `data`
    kLastData,  // `data`, the last of a body of known length
    kEnd,       // The body has ended without trailers.
    kTrailers,  // `trailers`, never empty, in memory that `data` holds; the body has ended.
    kError,     // `error`
  };
  struct Result {
    Event event;
    Error error = Error::kNone;
    io::Slice data;
  };

  // What next() needs of the codec. `gather` holds a trailer section that came in pieces.
  struct Source {
    io::SliceQueue& input;
    std::unique_ptr<HeadGather>& gather;
    io::BufferPool& pool;
    const Limits& limits;
  };

  BodyReader() : left_(0) {}

  // REQUIRES: length.kind != kNone, and not a known length of 0.
  void begin(BodyLength length);
  // `trailers` is written for kTrailers only, but may be used as scratch before.
  Result next(Source source, HeaderList& trailers);
  bool until_close() const { return state_ == State::kUntilClose; }

 private:
  enum class State : uint8_t { kNone, kKnown, kChunks, kTrailers, kUntilClose };
  Result read_known(Source& source);
  Result read_chunks(Source& source, HeaderList& trailers);
  Result read_trailers(Source& source, HeaderList& trailers);
  Result read_gathered_trailers(Source& source, HeaderList& trailers);
  Result end_with(HeaderList& trailers, io::Slice memory);

  union {
    uint64_t left_;          // kKnown
    ChunkedDecoder chunks_;  // kChunks
  };
  State state_ = State::kNone;
};

}  // namespace ringway::http
