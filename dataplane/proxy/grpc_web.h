// gRPC-Web (PROTOCOL-WEB.md of the gRPC project) to gRPC and back: what browsers can speak, whose
// scripts see neither trailers nor, in the text form, bytes. Messages have the same frames in both;
// trailers become a frame of their own behind them, with 0x80 in its first byte. The text form is
// all of that in base64, in either direction in pieces of which each may be padded.
//
// Thread rule: a value of one exchange. Nothing is kept but what is left of a quantum of base64, so
// a stream costs no memory.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "dataplane/http/message.h"
#include "dataplane/io/buffer_pool.h"
#include "dataplane/io/slice.h"

namespace ringway::proxy {

class GrpcWeb {
 public:
  // A request of gRPC-Web, by its Content-Type, becomes one of gRPC. False: it is none, and stays
  // as it is.
  bool begin(http::RequestHead& head);
  bool active() const { return active_; }  // The response is to be one of gRPC-Web.
  bool decodes() const { return request_text_; }
  bool encodes() const { return active_ && response_text_; }

  // The next of a request's text. False: it is not base64, or (`end`) ends inside a quantum.
  bool decode(std::string_view text, bool end, io::SliceQueue& out, io::BufferPool& pool);
  bool complete() const { return digits_ == 0; }  // Between two quanta.

  // The response's head. What is not gRPC, a page of an error for instance, makes this inactive: it
  // passes as it is. `end`: the status stands in the head ("Trailers-Only") and stays there.
  void translate(http::ResponseHead& head, bool end);
  // Bytes of the response as text, padded: whatever a message's length, all of it can be read at
  // once.
  static void encode(std::string_view bytes, io::SliceQueue& out, io::BufferPool& pool);
  // The view is good until the next call in this thread.
  static std::string_view trailers_frame(const http::HeaderList& trailers);

  void reset() { active_ = request_text_ = false; }

 private:
  static constexpr size_t kSuffixMax = 40;  // "+proto", "; charset=…"

  bool active_ = false;
  bool request_text_ = false;
  bool response_text_ = false;
  bool padded_ = false;  // A '=' of the quantum came.
  uint8_t digits_ = 0;   // Of the quantum so far, padding included.
  uint32_t bits_ = 0;
  std::array<char, 64> request_type_;  // What the heads refer to.
  std::array<char, 64> response_type_;
};

}  // namespace ringway::proxy
