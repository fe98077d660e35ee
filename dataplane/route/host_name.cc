#include "dataplane/route/host_name.h"

#include <cstring>

namespace ringway::route {
namespace {

uint64_t load(const char* bytes, size_t size) {
  uint64_t word = 0;
  std::memcpy(&word, bytes, size);
  return word;
}

// Folds the 128-bit product: every input bit reaches every output bit.
uint64_t mix(uint64_t a, uint64_t b) {
  const unsigned __int128 product = static_cast<unsigned __int128>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

// Lower-cases the ASCII capitals of eight bytes at once; bytes above 0x7F stay as they are.
uint64_t lower(uint64_t word) {
  constexpr uint64_t kHigh = 0x8080808080808080u;
  constexpr uint64_t kOnes = 0x0101010101010101u;
  const uint64_t low7 = word & ~kHigh;
  const uint64_t at_least_a = low7 + kOnes * (0x80 - 'A');
  const uint64_t above_z = low7 + kOnes * (0x80 - 'Z' - 1);
  return word | (((at_least_a & ~above_z & ~word) & kHigh) >> 2);
}

}  // namespace

std::string_view normal_host(std::string_view authority, HostBuffer& buffer) {
  size_t size = authority.size();
  if (size != 0 && authority[0] == '[') {
    const size_t end = authority.find(']');
    size = end == std::string_view::npos ? 0 : end + 1;
  } else {
    const void* colon = size == 0 ? nullptr : std::memchr(authority.data(), ':', size);
    if (colon != nullptr)
      size = static_cast<size_t>(static_cast<const char*>(colon) - authority.data());
    if (size != 0 && authority[size - 1] == '.') --size;
  }
  if (size > kHostBytesMax) return {};
  for (size_t i = 0; i < size; i += 8) {
    const size_t part = size - i < 8 ? size - i : 8;
    const uint64_t word = lower(load(authority.data() + i, part));
    std::memcpy(buffer.bytes + i, &word, part);
  }
  return {buffer.bytes, size};
}

uint64_t hash_host(std::string_view host) {
  uint64_t hash = 0x9E3779B97F4A7C15u ^ host.size();
  size_t i = 0;
  for (; i + 8 <= host.size(); i += 8)
    hash = mix(hash ^ load(host.data() + i, 8), 0xE7037ED1A0B428DBu);
  if (i < host.size())
    hash = mix(hash ^ load(host.data() + i, host.size() - i), 0x8EBC6AF09C88C6E3u);
  return mix(hash, 0x589965CC75374CC3u);
}

}  // namespace ringway::route
