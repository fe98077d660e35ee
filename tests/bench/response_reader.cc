#include "tests/bench/response_reader.h"

#include <strings.h>

#include <algorithm>
#include <cstdlib>

namespace ringway::bench {

bool ResponseReader::feed(std::string_view bytes) {
  started_ = started_ || !bytes.empty();
  while (!bytes.empty()) {
    switch (state_) {
      case State::kHead: {
        const size_t before = head_.size();
        head_.append(bytes);
        const size_t end = head_.find("\r\n\r\n", before < 3 ? 0 : before - 3);
        if (end == std::string::npos) return head_.size() < 65536;
        bytes.remove_prefix(end + 4 - before);
        head_.resize(end + 2);
        if (!read_head()) return false;
        break;
      }
      case State::kFixedBody:
      case State::kChunkData: {
        const uint64_t taken = std::min<uint64_t>(left_, bytes.size());
        body_bytes_ += taken;
        left_ -= taken;
        bytes.remove_prefix(taken);
        if (left_ == 0) state_ = state_ == State::kFixedBody ? State::kDone : State::kChunkEnd;
        break;
      }
      case State::kChunkSize:
      case State::kChunkEnd:
      case State::kTrailers:
        if (read_line(bytes) && !read_chunk_line()) return false;
        break;
      case State::kDone:
        return false;
    }
  }
  return true;
}

bool ResponseReader::read_head() {
  if (head_.size() < 14 || !head_.starts_with("HTTP/1.1 ")) return false;
  status_ = atoi(head_.c_str() + 9);
  if (status_ >= 100 && status_ < 200) {  // Interim: the final one follows.
    head_.clear();
    return status_ != 101;
  }
  bool chunked = false, known = false;
  for (size_t at = head_.find("\r\n") + 2; at < head_.size();) {
    const size_t end = head_.find("\r\n", at);
    const std::string line = head_.substr(at, end - at);
    if (strncasecmp(line.c_str(), "content-length:", 15) == 0) {
      left_ = strtoull(line.c_str() + 15, nullptr, 10);
      known = true;
    }
    chunked = chunked || (strncasecmp(line.c_str(), "transfer-encoding:", 18) == 0 && line.find("chunked") != std::string::npos);
    wants_close_ = wants_close_ || (strncasecmp(line.c_str(), "connection:", 11) == 0 && line.find("close") != std::string::npos);
    at = end + 2;
  }
  if (status_ == 204 || status_ == 304) {
    state_ = State::kDone;
  } else if (chunked) {
    state_ = State::kChunkSize;
  } else {
    if (!known) return false;
    state_ = left_ == 0 ? State::kDone : State::kFixedBody;
  }
  return true;
}

bool ResponseReader::read_line(std::string_view& bytes) {
  const size_t end = bytes.find('\n');
  line_.append(bytes.substr(0, end));
  if (end == std::string_view::npos) {
    bytes = {};
    return false;
  }
  bytes.remove_prefix(end + 1);
  if (!line_.empty() && line_.back() == '\r') line_.pop_back();
  return true;
}

bool ResponseReader::read_chunk_line() {
  const std::string line = std::move(line_);
  line_.clear();
  if (state_ == State::kChunkEnd) {
    state_ = State::kChunkSize;
    return line.empty();
  }
  if (state_ == State::kTrailers) {
    if (line.empty()) state_ = State::kDone;
    return true;
  }
  char* end = nullptr;
  left_ = strtoull(line.c_str(), &end, 16);
  if (end == line.c_str()) return false;
  state_ = left_ == 0 ? State::kTrailers : State::kChunkData;
  return true;
}

}  // namespace ringway::bench
