#include "dataplane/http/chunked_decoder.h"

#include <algorithm>

#include "dataplane/http/scan.h"

namespace ringway::http {
namespace {

constexpr uint8_t kDigitsMax = 16;

}  // namespace

ChunkedDecoder::Step ChunkedDecoder::next(std::string_view in, uint32_t extension_bytes_max) {
  switch (state_) {
    case State::kData: {
      const auto bytes = static_cast<uint32_t>(std::min<uint64_t>(left_, in.size()));
      left_ -= bytes;
      if (left_ == 0) state_ = State::kDataCr;
      return {Event::kData, bytes};
    }
    case State::kDataCr:
      if (in[0] != '\r') return {Event::kError, 0};
      state_ = State::kDataLf;
      if (in.size() == 1) return {Event::kMore, 1};
      if (in[1] != '\n') return {Event::kError, 0};
      state_ = State::kSize;
      return {Event::kMore, 2};
    case State::kDataLf:
      if (in[0] != '\n') return {Event::kError, 0};
      state_ = State::kSize;
      return {Event::kMore, 1};
    case State::kSize:
    case State::kExtension:
    case State::kSizeLf:
      return read_line(in, extension_bytes_max);
  }
  return {Event::kError, 0};
}

ChunkedDecoder::Step ChunkedDecoder::read_line(std::string_view in, uint32_t extension_bytes_max) {
  const char* p = in.data();
  const char* const end = p + in.size();
  const auto consumed = [&] { return static_cast<uint32_t>(p - in.data()); };
  if (state_ == State::kSize) {
    for (; p != end; ++p) {
      const int digit = hex_digit(*p);
      if (digit < 0) break;
      if (++digits_ > kDigitsMax || left_ >> 59 != 0) return {Event::kError, 0};
      left_ = left_ * 16 + static_cast<uint64_t>(digit);
    }
    if (p == end) return {Event::kMore, consumed()};
    if (digits_ == 0) return {Event::kError, 0};
    if (*p == '\r') {
      state_ = State::kSizeLf;
    } else if (*p == ';') {
      state_ = State::kExtension;
    } else {
      return {Event::kError, 0};
    }
    ++p;
  }
  if (state_ == State::kExtension) {
    const char* const stop = PortableScan::value_end(p, end);
    const auto bytes = static_cast<size_t>(stop - p);
    if (bytes > extension_bytes_max - extension_bytes_) return {Event::kError, 0};
    extension_bytes_ += static_cast<uint32_t>(bytes);
    p = stop;
    if (p == end) return {Event::kMore, consumed()};
    if (*p != '\r') return {Event::kError, 0};
    state_ = State::kSizeLf;
    ++p;
  }
  if (p == end) return {Event::kMore, consumed()};
  if (*p != '\n') return {Event::kError, 0};
  ++p;
  digits_ = 0;
  state_ = left_ == 0 ? State::kSize : State::kData;
  return {left_ == 0 ? Event::kLast : Event::kMore, consumed()};
}

}  // namespace ringway::http
