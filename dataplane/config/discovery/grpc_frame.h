// gRPC over HTTP/2, the framing of messages: one flag byte, four bytes of length (big endian), the
// message. Source: grpc/doc/PROTOCOL-HTTP2.md, "Length-Prefixed-Message".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace ringway::config {

constexpr uint32_t kGrpcFrameHeadBytes = 5;

// Appends `message` with its frame head. REQUIRES: message.size() < 2^32.
void append_grpc_frame(std::string& out, std::string_view message);

enum class FrameError : uint8_t {
  kNone,
  kCompressed,  // Flag 1: we offered no encoding but identity.
  kBadFlag,     // Flag byte above 1.
  kTooLarge,    // The head announces more than the limit; nothing of it is stored.
};
std::string_view frame_error_text(FrameError error);

// Cuts a byte stream into messages. Memory: one message, at most `message_bytes_max`, allocated as
// bytes arrive.
class GrpcFrameDecoder {
 public:
  explicit GrpcFrameDecoder(uint32_t message_bytes_max) : message_bytes_max_(message_bytes_max) {}
  ~GrpcFrameDecoder();  // Wipes: a message may hold private keys.

  // Takes bytes of `input` up to the end of the first message that becomes complete. Returns false
  // when `input` is used up without one, or after an error (see error(); the decoder stays in it).
  // After true, message() is that message until the next call.
  bool next(std::string_view& input);
  std::string_view message() const { return message_; }
  FrameError error() const { return error_; }
  bool mid_message() const {
    return head_bytes_ != 0 && !complete_;
  }  // The stream must not end here.

 private:
  const uint32_t message_bytes_max_;
  FrameError error_ = FrameError::kNone;
  uint8_t head_[kGrpcFrameHeadBytes] = {};
  uint32_t head_bytes_ = 0;
  uint32_t length_ = 0;
  bool complete_ = false;
  std::string message_;
};

}  // namespace ringway::config
