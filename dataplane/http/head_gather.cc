#include "dataplane/http/head_gather.h"

#include <algorithm>
#include <cstring>

#include "dataplane/http/block.h"

namespace ringway::http {

uint32_t HeadGather::append(std::string_view text, bool& moved) {
  if (memory_.tail().empty()) {
    io::Slice larger = take_block(pool_, memory_.size() * 2);
    std::memcpy(larger.tail().data(), memory_.data(), memory_.size());
    larger.extend(memory_.size());
    memory_ = std::move(larger);
    progress = {};
    moved = true;
  }
  const std::span<std::byte> room = memory_.tail();
  const auto bytes = static_cast<uint32_t>(std::min(room.size(), text.size()));
  std::memcpy(room.data(), text.data(), bytes);
  memory_.extend(bytes);
  return bytes;
}

}  // namespace ringway::http
