// Reads one HTTP/1.1 response: enough of the grammar for a load generator, which asks with GET and wants to know status, body length
// and whether the connection stays open.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace ringway::bench {

class ResponseReader {
 public:
  // False: this is not HTTP/1.1, or there are bytes after the end of the response.
  bool feed(std::string_view bytes);
  bool started() const { return started_; }
  bool complete() const { return state_ == State::kDone; }
  int status() const { return status_; }
  uint64_t body_bytes() const { return body_bytes_; }
  bool wants_close() const { return wants_close_; }

 private:
  enum class State : uint8_t { kHead, kFixedBody, kChunkSize, kChunkData, kChunkEnd, kTrailers, kDone };

  bool read_head();
  bool read_line(std::string_view& bytes);   // Into line_, without CRLF; false: more bytes are needed.
  bool read_chunk_line();

  State state_ = State::kHead;
  std::string head_;
  std::string line_;
  int status_ = 0;
  uint64_t left_ = 0;
  uint64_t body_bytes_ = 0;
  bool started_ = false;
  bool wants_close_ = false;
};

}  // namespace ringway::bench
