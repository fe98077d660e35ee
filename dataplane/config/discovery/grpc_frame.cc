#include "dataplane/config/discovery/grpc_frame.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace ringway::config {
namespace {

constexpr size_t kKeptBytes = 256 * 1024;  // A larger buffer is given back after its message.

}  // namespace

void append_grpc_frame(std::string& out, std::string_view message) {
  CHECK(message.size() <= UINT32_MAX);
  const auto length = static_cast<uint32_t>(message.size());
  const char head[kGrpcFrameHeadBytes] = {
      0, static_cast<char>(length >> 24), static_cast<char>(length >> 16),
      static_cast<char>(length >> 8), static_cast<char>(length)};
  out.append(head, sizeof head);
  out.append(message);
}

std::string_view frame_error_text(FrameError error) {
  switch (error) {
    case FrameError::kNone:
      return "no error";
    case FrameError::kCompressed:
      return "compressed message, although none was offered";
    case FrameError::kBadFlag:
      return "message with an unknown flag";
    case FrameError::kTooLarge:
      return "message above the size limit";
  }
  return "unknown";
}

GrpcFrameDecoder::~GrpcFrameDecoder() { explicit_bzero(message_.data(), message_.size()); }

bool GrpcFrameDecoder::next(std::string_view& input) {
  if (error_ != FrameError::kNone) return false;
  if (complete_) {
    explicit_bzero(message_.data(), message_.size());
    message_.clear();
    if (message_.capacity() > kKeptBytes) message_.shrink_to_fit();
    complete_ = false;
    head_bytes_ = 0;
  }
  while (head_bytes_ < kGrpcFrameHeadBytes) {
    if (input.empty()) return false;
    head_[head_bytes_++] = static_cast<uint8_t>(input.front());
    input.remove_prefix(1);
    if (head_bytes_ == 1 && head_[0] != 0) {
      error_ = head_[0] == 1 ? FrameError::kCompressed : FrameError::kBadFlag;
      return false;
    }
    if (head_bytes_ < kGrpcFrameHeadBytes) continue;
    length_ =
        uint32_t{head_[1]} << 24 | uint32_t{head_[2]} << 16 | uint32_t{head_[3]} << 8 | head_[4];
    if (length_ > message_bytes_max_) {
      error_ = FrameError::kTooLarge;
      return false;
    }
  }
  const size_t taken = std::min<size_t>(length_ - message_.size(), input.size());
  message_.append(input.substr(0, taken));
  input.remove_prefix(taken);
  complete_ = message_.size() == length_;
  return complete_;
}

}  // namespace ringway::config
