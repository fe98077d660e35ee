// A 64-bit content hash that is the same on every machine and in every run (unlike std::hash and
// absl::Hash). Against accident, not against malice.
#pragma once

#include <cstdint>
#include <string_view>

namespace ringway {

uint64_t content_hash(std::string_view bytes);  // Never 0, which stands for "no version".

}  // namespace ringway
