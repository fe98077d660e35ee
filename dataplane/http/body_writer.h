// Puts body slices on the output queue with the framing that the head announced. Used by both
// HTTP/1 codecs.
#pragma once

#include "dataplane/http/message.h"
#include "dataplane/io/buffer_pool.h"
#include "dataplane/io/slice.h"

namespace ringway::http {

class BodyWriter {
 public:
  enum class Mode : uint8_t {
    kDropped,  // No body can follow this head (HEAD, 204, 304): what comes is dropped.
    kKnown,
    kChunked,
    kRaw,  // As it is: until close, or a tunnel.
    kEnded,
  };

  // `bytes`: kKnown only.
  void begin(Mode mode, uint64_t bytes = 0) {
    mode_ = mode;
    left_ = bytes;
  }
  // False: the body is longer (what is too much is dropped) or, at its end, shorter than announced:
  // the connection can't be used for another message.
  bool send(io::SliceQueue& output, io::BufferPool& pool, io::Slice data, bool end);
  // Ends the body. Trailers are written with the chunked coding only; elsewhere they can't be.
  bool send_trailers(io::SliceQueue& output, io::BufferPool& pool, const HeaderList& trailers);
  bool ended() const { return mode_ == Mode::kEnded; }

 private:
  uint64_t left_ = 0;
  Mode mode_ = Mode::kEnded;
};

}  // namespace ringway::http
