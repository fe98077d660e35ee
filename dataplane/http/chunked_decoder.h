// The chunked coding (RFC 9112 section 7.1), without its trailer section. Bytes in, how many of
// them are what out. Strict: CRLF only, 1 to 16 hex digits and nothing around them, CRLF right
// behind the data. Extensions are dropped.
#pragma once

#include <cstdint>
#include <string_view>

namespace ringway::http {

class ChunkedDecoder {
 public:
  enum class Event : uint8_t {
    kMore,   // `bytes` of framing were read; more is needed (bytes == in.size()) or data follows.
    kData,   // The first `bytes` are data.
    kLast,   // `bytes` of framing were read, the last of them ends the zero chunk's line: the
             // trailer section follows.
    kError,  // Error::kBadChunk
  };
  struct Step {
    Event event;
    uint32_t bytes;
  };

  // `in`: not empty; what a former step consumed is not given again.
  Step next(std::string_view in, uint32_t extension_bytes_max);

 private:
  enum class State : uint8_t { kSize, kExtension, kSizeLf, kData, kDataCr, kDataLf };
  Step read_line(std::string_view in, uint32_t extension_bytes_max);

  uint64_t left_ = 0;             // Of the chunk's data; while reading its line: its size so far.
  uint32_t extension_bytes_ = 0;  // Of all chunks of the body.
  uint8_t digits_ = 0;
  State state_ = State::kSize;
};

}  // namespace ringway::http
